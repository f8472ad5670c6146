//! One page against the template: which values moved, which lines are new, which are gone. Nothing of the target
//! changes here; `stage` applies the result once the store has taken it.
//!
//! Two pages of a gateway differ in some values and hardly ever in a line. So `in_step` walks page and template side by
//! side and reads numbers only; `out_of_step` finds the way back where a line differs, `skipped` passes over what no
//! signal needs, `edit` notes what stays, goes and comes, and `difference` is what comes of it all.

mod difference;
mod edit;
mod in_step;
mod out_of_step;
mod skipped;

use std::ops::Range;

use hashbrown::HashMap;

use super::sieve::Sieve;
use super::template::{Chunk, Place};
use crate::exposition::mapper::MapLabels;
use crate::metadata::FamilyType;

pub(crate) use difference::{Always, Change, Metadata, NewKind, Page, Piece};

/// Where and why a page breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

impl std::fmt::Display for PageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for PageError {}

/// Compares `body` with the template. With a sieve, what it does not keep is passed over.
pub(crate) fn compare(
    chunks: &[Chunk],
    body: &[u8],
    map: &mut dyn MapLabels,
    mut sieve: Option<&mut Sieve>,
    page: &mut Page,
) -> Result<(), PageError> {
    page.clear();
    if let Some(sieve) = &mut sieve {
        sieve.restart();
    }
    let mut compare = Compare {
        chunks,
        body,
        honor_timestamps: map.honor_timestamps(),
        map,
        sieve,
        page,
        at: 0,
        place: Place::default(),
        text_at: 0,
        above: 0,
        kept_from: Place::default(),
        old_type: FamilyType::Unknown,
        new_type: FamilyType::Unknown,
        misses: 0,
        run: 0..0,
        ahead: None,
    };
    compare.run().map_err(|reason| PageError {
        line: 1 + memchr::memchr_iter(b'\n', &body[..compare.at]).count(),
        reason,
    })
}

/// One comparison under way.
struct Compare<'a, 'm> {
    chunks: &'a [Chunk],
    body: &'a [u8],
    map: &'m mut dyn MapLabels,
    sieve: Option<&'m mut Sieve>,
    honor_timestamps: bool,
    page: &'m mut Page,
    /// In the body: where the line begins that comes next.
    at: usize,
    /// In the template: the row that is expected next, and where its text begins.
    place: Place,
    text_at: usize,
    /// In the body: the line that was recognised as the row above `place`.
    above: usize,
    kept_from: Place,
    /// The type by the TYPE lines of the template up to `place`, and by those of the page up to `at`.
    old_type: FamilyType,
    new_type: FamilyType,
    /// New lines in a row, to know when to stop guessing.
    misses: usize,
    /// In the body: the newest run of lines that were passed over.
    run: Range<usize>,
    /// Every remaining row by its key, made once guessing has failed.
    ahead: Option<HashMap<Vec<u8>, Place>>,
}

impl Compare<'_, '_> {
    fn run(&mut self) -> Result<(), String> {
        while self.at < self.body.len() {
            self.in_step()?;
            if self.at < self.body.len() {
                self.out_of_step()?;
            }
        }
        self.skip_to(Place {
            chunk: self.chunks.len() as u32,
            row: 0,
        });
        let edited = !self.page.pieces.is_empty() || !self.page.gone.is_empty();
        let end = self.place;
        if edited || self.kept_from != Place::default() {
            self.keep_until(end);
        }
        Ok(())
    }
}

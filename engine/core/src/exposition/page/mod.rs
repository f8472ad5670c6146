//! Compares a page with the target's template: which values changed, which lines are new, which are gone. Nothing of
//! the target is changed here; `stage` applies the result after the store has taken it.
//!
//! Two pages of a gateway differ in some values and rarely in a line. `in_order` walks page and template together and
//! parses numbers only; `resync` finds the matching row again where a line differs,
//! and reads a line that is new (`near_line`, by the one above it); `skipped` handles runs of lines
//! that no signal needs; `edit` records kept, removed and new lines; `diff` is the result.

mod diff;
mod edit;
mod in_order;
mod near_line;
mod resync;
mod skipped;

use std::ops::Range;

use super::dialect::Dialect;
use super::line_lengths::line_breaks;
use super::retain_filter::RetainFilter;
use super::template::{Chunk, Place};
use crate::exposition::mapper::MapLabels;
use crate::metadata::FamilyType;

use near_line::NearLine;
use resync::RowsAhead;

pub(crate) use diff::{
    Change, EditOp, ExemplarOf, ExplicitSample, HistogramSample, Metadata, NewKind, PageDiff,
};

/// Why a page is malformed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageError {
    /// The line, counted from 1; 0 for a page without lines (protobuf).
    pub line: usize,
    /// What is wrong, with the offending text.
    pub reason: String,
}

impl std::fmt::Display for PageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.reason),
            line => write!(f, "line {line}: {}", self.reason),
        }
    }
}

impl std::error::Error for PageError {}

/// Compares `body` with the template. With a filter, lines that it does not keep are skipped.
pub(crate) fn compare(
    chunks: &[Chunk],
    body: &[u8],
    dialect: Dialect,
    map: &mut dyn MapLabels,
    mut retain_filter: Option<&mut RetainFilter>,
    page: &mut PageDiff,
) -> Result<(), PageError> {
    page.clear();
    // Lines that are passed over are not counted. Counting is cheap, reading two million lines is not.
    if retain_filter.is_none() && body.len() > page.lines_max && line_breaks(body) > page.lines_max
    {
        return Err(PageError {
            line: page.lines_max + 1,
            reason: too_many_lines(page.lines_max),
        });
    }
    if let Some(retain_filter) = &mut retain_filter {
        retain_filter.restart();
    }
    let mut compare = Compare {
        chunks,
        body,
        dialect,
        honor_timestamps: map.honor_timestamps(),
        map,
        retain_filter,
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
        near: NearLine::default(),
    };
    compare.run().map_err(|reason| PageError {
        line: 1 + memchr::memchr_iter(b'\n', &body[..compare.at]).count(),
        reason,
    })
}

fn too_many_lines(lines_max: usize) -> String {
    format!("the page has more than {lines_max} lines, the most that fit under the memory limit")
}

/// One comparison under way.
struct Compare<'a, 'm> {
    chunks: &'a [Chunk],
    body: &'a [u8],
    dialect: Dialect,
    map: &'m mut dyn MapLabels,
    retain_filter: Option<&'m mut RetainFilter>,
    honor_timestamps: bool,
    page: &'m mut PageDiff,
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
    ahead: Option<RowsAhead>,
    /// The last new sample.
    near: NearLine<'a>,
}

impl Compare<'_, '_> {
    fn run(&mut self) -> Result<(), String> {
        while self.at < self.body.len() {
            self.match_in_order()?;
            if self.page.new_lines.len() > self.page.lines_max {
                return Err(too_many_lines(self.page.lines_max));
            }
            if self.at < self.body.len() {
                self.resync()?;
            }
        }
        self.skip_to(Place {
            chunk: self.chunks.len() as u32,
            row: 0,
        });
        let edited = !self.page.edits.is_empty() || !self.page.removed.is_empty();
        let end = self.place;
        if edited || self.kept_from != Place::default() {
            self.keep_until(end);
        }
        Ok(())
    }
}

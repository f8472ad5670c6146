//! A target's staging: its template, and the difference that the newest page makes, until the store has taken it.
//!
//! `parse` may run on any thread and changes nothing that lasts; `Writer::commit` takes the whole of it or nothing.

use std::sync::Arc;

use crate::ids::{SeriesId, TargetId};
use crate::labels::Labels;
use crate::scrape::{Retain, TargetSpec};
use crate::signal::Board;

use super::mapper::Mapper;
use super::page::{self, Change, Metadata, NewKind, Page, PageError, Piece};
use super::sieve::Sieve;
use super::template::{Builder, Chunk, NewRow, Place, RowKind};

/// The wire formats of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The Prometheus text format 0.0.4.
    Text,
}

impl Format {
    /// What a `Content-Type` header announces. Without one, or with one that says plain text, it is the text format;
    /// `None` is a format that is not read.
    pub fn from_content_type(header: &str) -> Option<Format> {
        let media_type = header.split(';').next().unwrap_or("").trim();
        let is_text = media_type.is_empty() || media_type.eq_ignore_ascii_case("text/plain");
        is_text.then_some(Format::Text)
    }
}

/// What one target's pages have been, and what the newest one changes.
pub struct Stage {
    target: TargetId,
    mapper: Mapper,
    /// Where only what signals need is kept.
    sieve: Option<Sieve>,
    template: Vec<Chunk>,
    page: Page,
    /// Some line's series belongs to an earlier line or another target: a change of structure may free it.
    contested: bool,
    /// The next page is compared with nothing.
    start_over: bool,
    /// ... and the one after the page that is being committed.
    retry: bool,
    endings_seen: u64,
}

/// A page that parsed as a whole, ready to be committed.
pub struct Staged<'a> {
    pub(crate) stage: &'a mut Stage,
    body: &'a [u8],
}

impl Stage {
    pub(crate) fn new(target: TargetId, spec: TargetSpec, needed: Arc<Board>) -> Stage {
        let sieve = match spec.retain {
            Retain::All => None,
            Retain::Signals => Some(Sieve::new(needed, &spec)),
        };
        Stage {
            target,
            sieve,
            mapper: Mapper::new(spec),
            template: Vec::new(),
            page: Page::default(),
            contested: false,
            start_over: false,
            retry: false,
            endings_seen: 0,
        }
    }

    /// The target whose pages these are.
    pub fn target(&self) -> TargetId {
        self.target
    }

    /// Compares a page with what is known. All or nothing: a page that breaks leaves everything as it was.
    pub fn parse<'a>(
        &'a mut self,
        body: &'a [u8],
        format: Format,
    ) -> Result<Staged<'a>, PageError> {
        let Format::Text = format;
        if u32::try_from(body.len()).is_err() {
            return Err(PageError {
                line: 1,
                reason: format!("a page of {} bytes is past 4 GiB", body.len()),
            });
        }
        // By another set of needed names every line is decided on anew.
        if self.sieve.as_mut().is_some_and(|sieve| sieve.begin(body)) {
            self.compare_whole(body)?;
            return Ok(Staged { stage: self, body });
        }
        let sieve = self.sieve.as_mut();
        page::compare(
            &self.template,
            body,
            &mut self.mapper,
            sieve,
            &mut self.page,
        )?;
        let edited = !self.page.pieces.is_empty();
        if self.start_over || (edited && self.contested) {
            self.compare_whole(body)?;
        }
        Ok(Staged { stage: self, body })
    }

    /// Takes a page as if it were the first: every line is new, every known series is one to give up.
    fn compare_whole(&mut self, body: &[u8]) -> Result<(), PageError> {
        let sieve = self.sieve.as_mut();
        page::compare(&[], body, &mut self.mapper, sieve, &mut self.page)?;
        let Stage { template, page, .. } = self;
        // A page without a line is an edit too: every row goes.
        if page.pieces.is_empty() && !template.is_empty() {
            let start = Place::default();
            page.pieces.push(Piece::Keep(start, start));
        }
        let rows = template.iter().flat_map(|chunk| &chunk.rows);
        page.gone.extend(rows.filter_map(|row| match row.kind() {
            RowKind::Series(id) => Some(id),
            _ => None,
        }));
        Ok(())
    }

    /// Every series on the newest page, in page order.
    pub(crate) fn series(&self) -> impl Iterator<Item = SeriesId> + '_ {
        self.template.iter().flat_map(|chunk| {
            chunk.rows.iter().filter_map(|row| match row.kind() {
                RowKind::Series(id) => Some(id),
                _ => None,
            })
        })
    }

    pub(crate) fn spec(&self) -> &TargetSpec {
        &self.mapper.spec
    }

    /// `endings` counts the series that have ended anywhere. Where a line waits for another's series to end and some
    /// have, the next page is taken as if it were the first.
    pub(crate) fn contest(&mut self, endings: u64) {
        self.retry = self.contested && endings != self.endings_seen;
        self.endings_seen = endings;
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let sieve = self.sieve.as_ref().map_or(0, Sieve::bytes);
        sieve + self.page.bytes() + self.template.iter().map(Chunk::bytes).sum::<usize>()
    }
}

/// Where the sample of a new line went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    Series(SeriesId),
    /// The series has a clock of its own: its sample is handed over at every scrape.
    Own(SeriesId),
    Dropped,
    Duplicate,
    Conflict,
}

/// A new sample line, for the store to place.
pub(crate) struct NewSample<'a> {
    pub(crate) labels: Option<&'a Labels>,
    pub(crate) bits: u64,
    pub(crate) time_ms: Option<i64>,
}

impl Staged<'_> {
    /// The target whose page it is.
    pub fn target(&self) -> TargetId {
        self.stage.target
    }

    /// Lines passed over.
    pub(crate) fn skipped(&self) -> u64 {
        self.stage.page.skipped
    }

    /// Where only what signals need is kept: by what it was decided, and what was met.
    pub(crate) fn sieve(&self) -> Option<&Sieve> {
        self.stage.sieve.as_ref()
    }

    /// Whether the newest page tells when its process started.
    pub(crate) fn set_tells_start(&mut self, tells: bool) {
        if let Some(sieve) = &mut self.stage.sieve {
            sieve.set_tells_start(tells);
        }
    }

    /// Sample lines, and those of them that are kept.
    pub(crate) fn samples(&self) -> (u64, u64) {
        (
            self.stage.page.samples,
            self.stage.page.samples - self.stage.page.dropped,
        )
    }

    pub(crate) fn page(&self) -> &Page {
        &self.stage.page
    }

    /// Every series on the page before this one, in page order.
    pub(crate) fn series(&self) -> impl Iterator<Item = SeriesId> + '_ {
        self.stage.series()
    }

    /// Where only what signals need is kept: the labels of every line of this page that is kept or looked at, whether it
    /// is new or not. Reads the page once more.
    pub(crate) fn needed_labels(&mut self) -> Option<Vec<Labels>> {
        let Stage { sieve, mapper, .. } = &mut *self.stage;
        let sieve = sieve.as_mut()?;
        let mut page = Page::default();
        let read = page::compare(&[], self.body, mapper, Some(sieve), &mut page);
        read.ok()?; // it has been read before
        let kept = page
            .new_lines
            .into_iter()
            .filter_map(|line| match line.kind {
                NewKind::Sample { labels, .. } => labels,
                NewKind::Comment | NewKind::Type(_) | NewKind::Skipped(_) => None,
            });
        Some(page.looked_at.into_iter().chain(kept).collect())
    }

    /// Whether some lines are new while others stay.
    pub(crate) fn mixes(&self) -> bool {
        let mut pieces = self.stage.page.pieces.iter();
        pieces.any(|piece| matches!(piece, Piece::Keep(..)))
            && !self.stage.page.new_lines.is_empty()
    }

    /// The same page as if it were the target's first.
    pub(crate) fn whole(self) -> Result<Self, PageError> {
        self.stage.compare_whole(self.body)?;
        Ok(self)
    }

    /// Samples of lines that the template does not have, in page order.
    pub(crate) fn new_samples(&self) -> impl Iterator<Item = NewSample<'_>> + '_ {
        self.stage
            .page
            .new_lines
            .iter()
            .filter_map(|line| match &line.kind {
                NewKind::Sample {
                    labels,
                    bits,
                    time_ms,
                } => Some(NewSample {
                    labels: labels.as_ref(),
                    bits: *bits,
                    time_ms: *time_ms,
                }),
                NewKind::Comment | NewKind::Type(_) | NewKind::Skipped(_) => None,
            })
    }

    pub(crate) fn metadata(&self) -> &[Metadata] {
        &self.stage.page.metadata
    }

    /// The store has taken the page: remember it. `placed` answers `new_samples`, one for one.
    /// `bytes` becomes what the stage holds, where that may have changed.
    pub(crate) fn apply(self, placed: &[Placed], bytes: &mut usize) {
        let Staged { stage, body } = self;
        // From the last to the first: a longer value moves the text behind it.
        for change in stage.page.changes.iter().rev() {
            let Change {
                place,
                text_at,
                value_at,
                value_len,
                ..
            } = *change;
            let value = &body[value_at as usize..(value_at + value_len) as usize];
            stage.template[place.chunk as usize].set_value(
                place.row as usize,
                text_at as usize,
                value,
            );
        }
        // Only now: a page that the store refuses leaves the next one to start over again.
        stage.start_over = std::mem::take(&mut stage.retry);
        stage.page.looked_at = Vec::new();
        let met = stage.sieve.as_mut().is_some_and(Sieve::applied);
        if stage.page.pieces.is_empty() {
            if met {
                *bytes = stage.bytes();
            }
            return;
        }
        stage.rebuild(body, placed);
        stage.contested = placed
            .iter()
            .any(|placed| matches!(placed, Placed::Duplicate | Placed::Conflict))
            || (stage.contested && stage.has_contested_row());
        *bytes = stage.bytes();
    }
}

impl Stage {
    fn rebuild(&mut self, body: &[u8], placed: &[Placed]) {
        let mut placed = placed.iter();
        let mut builder = Builder::default();
        for piece in &self.page.pieces {
            let line = match *piece {
                Piece::Keep(from, until) => {
                    builder.keep(&mut self.template, from, until);
                    continue;
                }
                Piece::New(at) => &self.page.new_lines[at as usize],
            };
            let (kind, always) = match &line.kind {
                NewKind::Comment => (RowKind::Comment, false),
                NewKind::Type(of) => (RowKind::Type(*of), false),
                NewKind::Skipped(of) => (RowKind::Skipped(*of), false),
                NewKind::Sample { .. } => {
                    let placed = placed.next();
                    let kind = match placed {
                        Some(Placed::Series(id) | Placed::Own(id)) => RowKind::Series(*id),
                        Some(Placed::Duplicate) => RowKind::Duplicate,
                        Some(Placed::Conflict) => RowKind::Conflict,
                        Some(Placed::Dropped) | None => RowKind::Dropped,
                    };
                    (kind, matches!(placed, Some(Placed::Own(_))))
                }
            };
            builder.push(NewRow {
                key: &body[line.key.clone()],
                value: &body[line.value.clone()],
                kind,
                always,
            });
        }
        self.template = builder.finish();
        self.page.new_lines = Vec::new();
        self.page.pieces = Vec::new();
    }

    fn has_contested_row(&self) -> bool {
        let mut rows = self.template.iter().flat_map(|chunk| &chunk.rows);
        rows.any(|row| matches!(row.kind(), RowKind::Duplicate | RowKind::Conflict))
    }
}

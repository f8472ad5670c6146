//! Staging: a target's template with the difference that its newest page makes, until the writer commits it.
//!
//! [`Stage::parse`] may run on any thread and changes nothing that lasts. `Writer::commit` takes the whole page or
//! nothing of it.

use std::ops::Range;
use std::sync::Arc;

use crate::ids::{SeriesId, TargetId};
use crate::labels::Labels;
use crate::scrape::{Retain, TargetSpec};
use crate::signal::RetainHandle;

use super::mapper::Mapper;
use super::page::{self, Change, EditOp, Metadata, NewKind, PageDiff, PageError};
use super::retain_filter::RetainFilter;
use super::template::{Builder, Chunk, NewRow, Place, RowKind};

/// The wire formats of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The Prometheus text format 0.0.4.
    Text,
}

impl Format {
    /// The format that a `Content-Type` header announces. An empty header and `text/plain` mean the text format; `None`
    /// is a format that is not supported.
    pub fn from_content_type(header: &str) -> Option<Format> {
        let media_type = header.split(';').next().unwrap_or("").trim();
        let is_text = media_type.is_empty() || media_type.eq_ignore_ascii_case("text/plain");
        is_text.then_some(Format::Text)
    }
}

/// What is remembered of one target's pages: the template of the last one and the difference of the newest one.
///
/// [`crate::Writer::add_target`] creates it; it stays with whoever scrapes the target.
pub struct Stage {
    target: TargetId,
    mapper: Mapper,
    /// Present for `retain: signals`.
    retain_filter: Option<RetainFilter>,
    template: Vec<Chunk>,
    page: PageDiff,
    /// Some line's series belongs to an earlier line or to another target; a later edit may free it.
    has_conflicts: bool,
    /// The next page is compared as if it were the first.
    start_over: bool,
    /// The page after the one being committed is.
    retry: bool,
    endings_seen: u64,
}

/// A page that was parsed completely and can be committed. Dropping it leaves the stage as it was.
pub struct Staged<'a> {
    pub(crate) stage: &'a mut Stage,
    body: &'a [u8],
    /// The series that were added before the commit; `None` before memory was reserved for them.
    pub(crate) added: Option<Added>,
}

/// Series that exist without a sample, for the new lines of a page that is not committed yet.
#[derive(Default)]
pub(crate) struct Added {
    /// New lines, counted from the first, that were looked at.
    pub(crate) lines: usize,
    /// One entry per sample among them, in page order; `None` where its series existed before.
    pub(crate) series: Vec<Option<SeriesId>>,
}

impl Stage {
    pub(crate) fn new(
        target: TargetId,
        spec: TargetSpec,
        retain_set: Arc<RetainHandle>,
        lines_max: usize,
    ) -> Stage {
        let retain_filter = match spec.retain {
            Retain::All => None,
            Retain::Signals => Some(RetainFilter::new(retain_set, &spec)),
        };
        Stage {
            target,
            retain_filter,
            mapper: Mapper::new(spec),
            template: Vec::new(),
            page: PageDiff::new(lines_max),
            has_conflicts: false,
            start_over: false,
            retry: false,
            endings_seen: 0,
        }
    }

    /// The target that this stage belongs to.
    pub fn target(&self) -> TargetId {
        self.target
    }

    /// Parses a page by comparing it with the previous one. An error means that nothing of the page is used: the stage
    /// stays as it was, and the error names the line.
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
        // A newer set of needed names requires a new decision for every line.
        if self
            .retain_filter
            .as_mut()
            .is_some_and(|retain_filter| retain_filter.begin(body))
        {
            self.compare_as_first(body)?;
            return Ok(Staged::new(self, body));
        }
        let retain_filter = self.retain_filter.as_mut();
        page::compare(
            &self.template,
            body,
            &mut self.mapper,
            retain_filter,
            &mut self.page,
        )?;
        let edited = !self.page.edits.is_empty();
        if self.start_over || (edited && self.has_conflicts) {
            self.compare_as_first(body)?;
        }
        Ok(Staged::new(self, body))
    }

    /// Compares a page as if it were the first: every line is new, and every series of the template is removed.
    fn compare_as_first(&mut self, body: &[u8]) -> Result<(), PageError> {
        let retain_filter = self.retain_filter.as_mut();
        page::compare(&[], body, &mut self.mapper, retain_filter, &mut self.page)?;
        let Stage { template, page, .. } = self;
        // A page without lines is an edit too: every row is removed.
        if page.edits.is_empty() && !template.is_empty() {
            let start = Place::default();
            page.edits.push(EditOp::Keep(start, start));
        }
        let rows = template.iter().flat_map(|chunk| &chunk.rows);
        page.removed.extend(rows.filter_map(|row| match row.kind() {
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

    /// `endings` counts the series that have ended in the whole store. If a line of this target conflicts with a series
    /// elsewhere and some series have ended since, the next page is compared as if it were the first.
    pub(crate) fn retry_conflicts(&mut self, endings: u64) {
        self.retry = self.has_conflicts && endings != self.endings_seen;
        self.endings_seen = endings;
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let retain_filter = self.retain_filter.as_ref().map_or(0, RetainFilter::bytes);
        retain_filter + self.page.bytes() + self.template.iter().map(Chunk::bytes).sum::<usize>()
    }
}

/// What the store did with the sample of a new line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    Series(SeriesId),
    /// The series has explicit timestamps; its sample is passed on at every scrape.
    Own(SeriesId),
    Dropped,
    Duplicate,
    Conflict,
}

/// A sample on a new line.
pub(crate) struct NewSample<'a> {
    pub(crate) labels: Option<&'a Labels>,
    pub(crate) bits: u64,
    pub(crate) time_ms: Option<i64>,
}

impl<'a> Staged<'a> {
    fn new(stage: &'a mut Stage, body: &'a [u8]) -> Staged<'a> {
        Staged {
            stage,
            body,
            added: None,
        }
    }
}

impl Staged<'_> {
    /// The target that the page was scraped from.
    pub fn target(&self) -> TargetId {
        self.stage.target
    }

    /// Lines skipped by the filter.
    pub(crate) fn skipped(&self) -> u64 {
        self.stage.page.skipped
    }

    /// The filter, for `retain: signals`.
    pub(crate) fn retain_filter(&self) -> Option<&RetainFilter> {
        self.stage.retain_filter.as_ref()
    }

    /// Sets whether the newest page reports a process start time.
    pub(crate) fn set_reports_start_time(&mut self, tells: bool) {
        if let Some(retain_filter) = &mut self.stage.retain_filter {
            retain_filter.set_reports_start_time(tells);
        }
    }

    /// Sample lines, and those of them that are kept.
    pub(crate) fn samples(&self) -> (u64, u64) {
        (
            self.stage.page.samples,
            self.stage.page.samples - self.stage.page.dropped,
        )
    }

    pub(crate) fn page(&self) -> &PageDiff {
        &self.stage.page
    }

    /// Every series on the page before this one, in page order.
    pub(crate) fn series(&self) -> impl Iterator<Item = SeriesId> + '_ {
        self.stage.series()
    }

    /// Where only what signals need is kept: the labels of every line of this page that is kept or looked at, whether it
    /// is new or not. Reads the page once more.
    pub(crate) fn needed_labels(&mut self) -> Option<Vec<Labels>> {
        let lines_max = self.stage.page.lines_max();
        let Stage {
            retain_filter,
            mapper,
            ..
        } = &mut *self.stage;
        let retain_filter = retain_filter.as_mut()?;
        let mut page = PageDiff::new(lines_max);
        let read = page::compare(&[], self.body, mapper, Some(retain_filter), &mut page);
        read.ok()?; // it has been read before
        let kept = page
            .new_lines
            .into_iter()
            .filter_map(|line| match line.kind {
                NewKind::Sample { labels, .. } => labels,
                NewKind::Comment | NewKind::Type(_) | NewKind::Skipped(_) => None,
            });
        Some(page.learned.into_iter().chain(kept).collect())
    }

    /// Whether some lines are new while others are kept.
    pub(crate) fn is_partial_edit(&self) -> bool {
        let mut edits = self.stage.page.edits.iter();
        edits.any(|piece| matches!(piece, EditOp::Keep(..)))
            && !self.stage.page.new_lines.is_empty()
    }

    /// The same page as if it were the target's first.
    pub(crate) fn compared_as_first(mut self) -> Result<Self, PageError> {
        self.stage.compare_as_first(self.body)?;
        if let Some(added) = &mut self.added {
            added.series.clear(); // the new lines are others now; their series are found by their labels
        }
        Ok(self)
    }

    /// Samples of lines that the template does not contain, in page order.
    pub(crate) fn new_samples(&self) -> impl Iterator<Item = NewSample<'_>> + '_ {
        self.new_samples_in(0..self.new_lines())
    }

    /// Lines that the template does not contain, samples or not.
    pub fn new_lines(&self) -> usize {
        self.stage.page.new_lines.len()
    }

    /// The samples among some of the new lines.
    pub(crate) fn new_samples_in(
        &self,
        lines: Range<usize>,
    ) -> impl Iterator<Item = NewSample<'_>> + '_ {
        self.stage.page.new_lines[lines]
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

    /// Makes the committed page the template. `placements` has one entry per item of `new_samples`. `bytes` is set to
    /// what the stage holds where that may have changed.
    pub(crate) fn apply(self, placements: &[Placement], bytes: &mut usize) {
        let Staged { stage, body, .. } = self;
        // From the last to the first, because a longer value moves the text behind it.
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
        // Only now: if the store refuses a page, the next one must still start over.
        stage.start_over = std::mem::take(&mut stage.retry);
        stage.page.learned = Vec::new();
        let met = stage
            .retain_filter
            .as_mut()
            .is_some_and(RetainFilter::applied);
        if stage.page.edits.is_empty() {
            if met {
                *bytes = stage.bytes();
            }
            return;
        }
        stage.rebuild(body, placements);
        stage.has_conflicts = placements
            .iter()
            .any(|placements| matches!(placements, Placement::Duplicate | Placement::Conflict))
            || (stage.has_conflicts && stage.has_conflict_row());
        *bytes = stage.bytes();
    }
}

impl Stage {
    fn rebuild(&mut self, body: &[u8], placements: &[Placement]) {
        let mut placements = placements.iter();
        let mut builder = Builder::default();
        for piece in &self.page.edits {
            let line = match *piece {
                EditOp::Keep(from, until) => {
                    builder.keep(&mut self.template, from, until);
                    continue;
                }
                EditOp::New(at) => &self.page.new_lines[at as usize],
            };
            let (kind, explicit) = match &line.kind {
                NewKind::Comment => (RowKind::Comment, false),
                NewKind::Type(of) => (RowKind::Type(*of), false),
                NewKind::Skipped(of) => (RowKind::Skipped(*of), false),
                NewKind::Sample { .. } => {
                    let placements = placements.next();
                    let kind = match placements {
                        Some(Placement::Series(id) | Placement::Own(id)) => RowKind::Series(*id),
                        Some(Placement::Duplicate) => RowKind::Duplicate,
                        Some(Placement::Conflict) => RowKind::Conflict,
                        Some(Placement::Dropped) | None => RowKind::Dropped,
                    };
                    (kind, matches!(placements, Some(Placement::Own(_))))
                }
            };
            builder.push(NewRow {
                key: &body[line.key.clone()],
                value: &body[line.value.clone()],
                kind,
                explicit,
            });
        }
        self.template = builder.finish();
        self.page.new_lines = Vec::new();
        self.page.edits = Vec::new();
    }

    fn has_conflict_row(&self) -> bool {
        let mut rows = self.template.iter().flat_map(|chunk| &chunk.rows);
        rows.any(|row| matches!(row.kind(), RowKind::Duplicate | RowKind::Conflict))
    }
}

//! A parsed page, which the writer commits or refuses as a whole.

use std::ops::{Deref, DerefMut, Range};

use super::added::{Added, AddedSample};
use super::dialect::Dialect;
use super::format::Format;
use super::openmetrics_line::{self, ExemplarLine};
use super::page::{self, Change, EditOp, ExemplarOf, NewKind, PageDiff, PageError};
use super::page_text::{Body, Page};
use super::placement::Placement;
use super::retain_filter::RetainFilter;
use super::stage::Stage;
use crate::histogram::FloatHistogram;
use crate::ids::{SeriesId, TargetId};
use crate::labels::Labels;
use crate::not_known::NotKnown;
use crate::scrape::TargetSpec;
use crate::store::{CountedGrowth, histogram_bytes};

/// A page that was parsed completely and can be committed. Dropping it leaves the stage as it was.
pub struct Staged<'a> {
    pub(crate) stage: StageOfPage<'a>,
    pub(super) page: Page<'a>,
    /// The series that were added before the commit; `None` before memory was reserved for them.
    pub(crate) added: Option<Added>,
    /// What its new series add to the store, where that was counted before the commit.
    pub(crate) growth: Option<CountedGrowth>,
    /// It was found before the commit that no new line has the series of a kept one.
    pub(crate) has_no_conflicts: bool,
    /// What whoever wrote it says not to be known.
    pub(crate) not_known: NotKnown,
}

/// The stage of a page that may be refused. When it is dropped, it frees what the new lines of that page took.
pub(crate) struct StageOfPage<'a>(pub(super) &'a mut Stage);

impl Deref for StageOfPage<'_> {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        self.0
    }
}

impl DerefMut for StageOfPage<'_> {
    fn deref_mut(&mut self) -> &mut Stage {
        self.0
    }
}

impl Drop for StageOfPage<'_> {
    fn drop(&mut self) {
        self.0.page.release();
    }
}

/// Of the sample of a new line: the head of its labels, its entries of `Added` and of the placements.
const PLACED_BYTES: usize = 56;

/// Of a new metric: its name in the facts about its target and its group, and while they are gathered.
const METRIC_BYTES: usize = 240;

/// Of a line of metadata: its texts, once on the page and once kept.
const METADATA_BYTES: usize = 160;

/// A decoded page no larger than this keeps its memory for the next one.
const KEPT_TEXT_BYTES_MAX: usize = 1 << 20;

impl Stage {
    /// Parses a page by comparing it with the previous one. An error means that nothing of the page is used: the stage
    /// stays as it was, and the error names the line.
    pub fn parse<'a>(
        &'a mut self,
        body: &'a [u8],
        format: Format,
    ) -> Result<Staged<'a>, PageError> {
        let page = self.read(body, format)?;
        if u32::try_from(page.text().len()).is_err() {
            return Err(PageError {
                line: 1,
                reason: format!("a page of {} bytes is past 4 GiB", page.text().len()),
            });
        }
        let mut stage = StageOfPage(self);
        match stage.compare(&page) {
            Ok(()) => Ok(Staged {
                stage,
                page,
                added: None,
                growth: None,
                has_no_conflicts: false,
                not_known: NotKnown::default(),
            }),
            // The text is ours: its lines say nothing to whoever sent the page.
            Err(error) if page.dialect == Dialect::Decoded => Err(PageError { line: 0, ..error }),
            Err(error) => Err(error),
        }
    }
}

/// A sample on a new line.
pub(crate) struct NewSample<'a> {
    pub(crate) labels: Option<&'a Labels>,
    pub(crate) bits: u64,
    /// The place of its native histogram, if it is one.
    pub(crate) histogram: Option<u32>,
    pub(crate) time_ms: Option<i64>,
}

impl Staged<'_> {
    /// The target that the page was scraped from.
    pub fn target(&self) -> TargetId {
        self.stage.target
    }

    pub(crate) fn spec(&self) -> &TargetSpec {
        self.stage.spec()
    }

    /// Sets of which series whoever wrote the page does not know the value. Their labels are those of the page.
    pub fn set_not_known(&mut self, not_known: NotKnown) {
        self.not_known = not_known;
    }

    /// Lines skipped by the filter.
    pub(crate) fn skipped(&self) -> u64 {
        self.stage.page.skipped
    }

    /// The filter, for `retain: signals`.
    pub(crate) fn retain_filter(&self) -> Option<&RetainFilter> {
        self.stage.retain_filter.as_ref()
    }

    /// Where only what signals need is kept and the page was read again ([`Staged::needed_labels`]): metrics that are on it and
    /// not kept.
    pub(crate) fn passed_over(&self) -> impl Iterator<Item = &str> {
        let filter = self.stage.retain_filter.iter();
        filter.flat_map(RetainFilter::passed_over)
    }

    /// Whether the page was read again.
    pub(crate) fn is_read_again(&self) -> bool {
        let filter = self.stage.retain_filter.as_ref();
        filter.is_some_and(RetainFilter::tells_again)
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

    /// A native histogram on the page.
    pub(crate) fn histogram(&self, index: u32) -> Option<&FloatHistogram> {
        self.page.histograms.get(index as usize)
    }

    /// Bytes of the native histograms on the page.
    pub(crate) fn histogram_bytes(&self) -> usize {
        self.page.histograms.iter().map(histogram_bytes).sum()
    }

    /// The exemplars at this place of the page's list, with the sample to which they belong: one, or several of a native
    /// histogram. None of them if they cannot be read.
    pub(crate) fn exemplars(
        &self,
        at: usize,
    ) -> Option<(ExemplarOf, impl Iterator<Item = ExemplarLine> + '_)> {
        let (of, text) = self.stage.page.exemplars.get(at)?;
        let text = &self.page.text()[text.clone()];
        Some((*of, openmetrics_line::exemplars(text, self.page.dialect)))
    }

    /// The samples of the new lines for which series were added, and how many lines those are.
    pub(crate) fn added_samples(&self) -> (&[AddedSample], usize) {
        match &self.added {
            // Compared anew, the new lines are others.
            Some(added) if !added.samples.is_empty() => (&added.samples, added.lines),
            _ => (&[], 0),
        }
    }

    pub(crate) fn page(&self) -> &PageDiff {
        &self.stage.page
    }

    /// Bytes that the new lines hold until the page is its target's template: beside their list, labels and what is known of
    /// where they go.
    pub(crate) fn parsed_bytes(&self) -> usize {
        let page = self.page();
        let (series, label_bytes) = (page.new_series.series, page.new_label_bytes);
        let families = page.new_metrics * METRIC_BYTES + page.metadata.len() * METADATA_BYTES;
        page.bytes() + label_bytes + series * PLACED_BYTES + families
    }

    /// Every series on the page before this one, in page order.
    pub(crate) fn series(&self) -> impl Iterator<Item = SeriesId> + '_ {
        self.stage.series()
    }

    /// Where only what signals need is kept and another process gives the page: the labels of every line of it that is kept or
    /// looked at, whether it is new or not. Reads the page once more, as if no metric had been seen before.
    pub(crate) fn needed_labels(&mut self) -> Option<Vec<Labels>> {
        let lines_max = self.stage.page.lines_max();
        let Stage {
            retain_filter,
            mapper,
            ..
        } = &mut *self.stage;
        let retain_filter = retain_filter.as_mut()?;
        retain_filter.tell_again();
        let mut page = PageDiff::new(lines_max);
        let (body, dialect) = (self.page.text(), self.page.dialect);
        let read = page::compare(&[], body, dialect, mapper, Some(retain_filter), &mut page);
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
        self.stage
            .compare_as_first(self.page.text(), self.page.dialect)?;
        if let Some(added) = &mut self.added {
            added.samples.clear(); // the new lines are others now; their series are found by their labels
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
        let lines = self.stage.page.new_lines[lines].iter();
        lines.filter_map(|line| new_sample(&line.kind))
    }

    /// The sample on a new line.
    pub(crate) fn new_sample(&self, line: u32) -> Option<NewSample<'_>> {
        new_sample(&self.stage.page.new_lines.get(line as usize)?.kind)
    }

    /// The labels of the sample on a new line.
    pub(crate) fn new_labels(&self, line: u32) -> Option<&Labels> {
        self.new_sample(line)?.labels
    }

    /// How many new samples have a series.
    pub(crate) fn new_series(&self) -> usize {
        self.stage.page.new_series.series
    }

    /// The most that these add to the store.
    pub(crate) fn new_series_bytes(&self) -> usize {
        let page = &self.stage.page;
        page.new_label_bytes + page.new_series.bytes()
    }

    /// Makes the committed page the template. `placements` has one entry per item of `new_samples`. `bytes` is set to
    /// what the stage holds where that may have changed.
    pub(crate) fn apply(self, placements: &[Placement], bytes: &mut usize) {
        let Staged {
            mut stage, page, ..
        } = self;
        let stage: &mut Stage = &mut stage;
        let body = page.text();
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
        stage.dialect = page.dialect;
        stage.restored = Vec::new();
        stage.page.learned = Vec::new();
        let met = stage
            .retain_filter
            .as_mut()
            .is_some_and(RetainFilter::applied);
        let edited = !stage.page.edits.is_empty();
        if edited {
            stage.rebuild(body, placements);
        }
        if let Body::Decoded(text) = page.body
            && text.capacity() <= KEPT_TEXT_BYTES_MAX
        {
            stage.text = text;
        }
        if !edited {
            if met {
                *bytes = stage.bytes();
            }
            return;
        }
        stage.has_conflicts = placements.iter().any(|placements| {
            matches!(
                placements,
                Placement::Duplicate { .. } | Placement::Conflict
            )
        }) || (stage.has_conflicts && stage.has_conflict_row());
        *bytes = stage.bytes();
    }
}

fn new_sample(kind: &NewKind) -> Option<NewSample<'_>> {
    match kind {
        NewKind::Sample {
            labels,
            bits,
            histogram,
            time_ms,
        } => Some(NewSample {
            labels: labels.as_ref(),
            bits: *bits,
            histogram: *histogram,
            time_ms: *time_ms,
        }),
        NewKind::Comment | NewKind::Type(_) | NewKind::Skipped(_) => None,
    }
}

//! Staging: a target's template with the difference that its newest page makes, until the writer commits it.
//!
//! [`Stage::parse`] may run on any thread and changes nothing that lasts. `Writer::commit` takes the whole page or
//! nothing of it.

use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use crate::histogram::FloatHistogram;
use crate::ids::{SeriesId, TargetId};
use crate::labels::Labels;
use crate::scrape::{Retain, TargetSpec};
use crate::signal::RetainHandle;
use crate::store::{CountedGrowth, histogram_bytes};

use super::added::{Added, AddedSample};
use super::classic_text;
use super::decoded::Decoded;
use super::dialect::Dialect;
use super::mapper::Mapper;
use super::openmetrics_line::{self, ExemplarLine};
use super::page::{self, Change, EditOp, ExemplarOf, NewKind, PageDiff, PageError};
use super::placement::Placement;
use super::protobuf;
use super::retain_filter::RetainFilter;
use super::template::{Builder, Chunk, NewRow, Place, RowKind};

/// The wire formats of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The Prometheus text format 0.0.4 or 1.0.0.
    Text,
    /// OpenMetrics 1.0 (and 0.0.1), as Prometheus reads it.
    OpenMetrics,
    /// Messages `io.prometheus.client.MetricFamily`, each behind its length.
    Protobuf,
}

impl Format {
    /// The format that a `Content-Type` header announces; `None` for an empty header and for what is not read (rule:
    /// Prometheus model/textparse, `extractMediaType`).
    pub fn from_content_type(header: &str) -> Option<Format> {
        let media_type = header.split(';').next().unwrap_or("").trim();
        const MEDIA_TYPES: [(&str, Format); 3] = [
            ("text/plain", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("application/vnd.google.protobuf", Format::Protobuf),
        ];
        let known = MEDIA_TYPES
            .iter()
            .find(|(known, _)| media_type.eq_ignore_ascii_case(known));
        known.map(|(_, format)| *format)
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
    /// Series of the newest page of an earlier run of this program, whose template is not known.
    restored: Vec<SeriesId>,
    /// Of the template.
    dialect: Dialect,
    /// Memory for decoded pages, empty between two of them or ready for the next.
    text: Vec<u8>,
}

/// A page that was parsed completely and can be committed. Dropping it leaves the stage as it was.
pub struct Staged<'a> {
    pub(crate) stage: StageOfPage<'a>,
    page: Page<'a>,
    /// The series that were added before the commit; `None` before memory was reserved for them.
    pub(crate) added: Option<Added>,
    /// What its new series add to the store, where that was counted before the commit.
    pub(crate) growth: Option<CountedGrowth>,
    /// It was found before the commit that no new line has the series of a kept one.
    pub(crate) has_no_conflicts: bool,
}

/// The stage of a page that may be refused. When it is dropped, it frees what the new lines of that page took.
pub(crate) struct StageOfPage<'a>(&'a mut Stage);

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

/// A page as text.
struct Page<'a> {
    body: Body<'a>,
    dialect: Dialect,
    /// Native histograms that the text names.
    histograms: Vec<FloatHistogram>,
}

enum Body<'a> {
    /// As it was sent.
    Sent(&'a [u8]),
    Decoded(Vec<u8>),
}

/// Of the sample of a new line: the head of its labels, its entries of `Added` and of the placements.
const PLACED_BYTES: usize = 56;

/// Of a new metric: its name in the facts about its target and its group, and while they are gathered.
const METRIC_BYTES: usize = 240;

/// Of a line of metadata: its texts, once on the page and once kept.
const METADATA_BYTES: usize = 160;

/// A decoded page no larger than this keeps its memory for the next one.
const KEPT_TEXT_BYTES_MAX: usize = 1 << 20;

/// The body without the line that ends it, which no template holds. An empty body is a page, as in Prometheus.
fn without_eof(body: &[u8]) -> Result<&[u8], PageError> {
    if body.is_empty() {
        return Ok(body);
    }
    let page = body.strip_suffix(b"\n").unwrap_or(body);
    match page.strip_suffix(b"# EOF") {
        Some(page) if page.is_empty() || page.ends_with(b"\n") => Ok(page),
        _ => Err(PageError {
            line: 1 + memchr::memchr_iter(b'\n', page).count(),
            reason: "data does not end with # EOF".to_owned(),
        }),
    }
}

impl From<Decoded> for Page<'_> {
    fn from(decoded: Decoded) -> Self {
        Page {
            body: Body::Decoded(decoded.text),
            dialect: Dialect::Decoded,
            histograms: decoded.histograms,
        }
    }
}

impl Page<'_> {
    fn text(&self) -> &[u8] {
        match &self.body {
            Body::Sent(text) => text,
            Body::Decoded(text) => text,
        }
    }
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
            restored: Vec::new(),
            dialect: Dialect::Text,
            text: Vec::new(),
        }
    }

    /// The stage of a target whose newest page had these series; the next page is compared as if it were the first.
    pub(crate) fn restored(
        target: TargetId,
        spec: TargetSpec,
        retain_set: Arc<RetainHandle>,
        lines_max: usize,
        series: Vec<SeriesId>,
    ) -> Stage {
        Stage {
            restored: series,
            ..Stage::new(target, spec, retain_set, lines_max)
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
            }),
            // The text is ours: its lines say nothing to whoever sent the page.
            Err(error) if page.dialect == Dialect::Decoded => Err(PageError { line: 0, ..error }),
            Err(error) => Err(error),
        }
    }

    /// The page as text.
    fn read<'a>(&mut self, body: &'a [u8], format: Format) -> Result<Page<'a>, PageError> {
        let options = self.mapper.spec.histograms;
        let (body, dialect) = match format {
            Format::Text => (body, Dialect::Text),
            Format::OpenMetrics => (without_eof(body)?, Dialect::OpenMetrics),
            Format::Protobuf => {
                let text = std::mem::take(&mut self.text);
                let decoded = protobuf::decode(body, options, text);
                return match decoded {
                    Ok(decoded) => Ok(Page::from(decoded)),
                    Err(reason) => Err(PageError { line: 0, reason }),
                };
            }
        };
        if options.convert_classic {
            let text = std::mem::take(&mut self.text);
            let converted = classic_text::convert(body, dialect, options.always_classic, text)?;
            return Ok(Page::from(converted));
        }
        Ok(Page {
            body: Body::Sent(body),
            dialect,
            histograms: Vec::new(),
        })
    }

    fn compare(&mut self, page: &Page<'_>) -> Result<(), PageError> {
        let body = page.text();
        // A newer set of needed names requires a new decision for every line, and keys of another dialect mean other series.
        let newer_set = self
            .retain_filter
            .as_mut()
            .is_some_and(|retain_filter| retain_filter.begin(body));
        if newer_set || page.dialect != self.dialect || !self.restored.is_empty() {
            return self.compare_as_first(body, page.dialect);
        }
        let retain_filter = self.retain_filter.as_mut();
        page::compare(
            &self.template,
            body,
            page.dialect,
            &mut self.mapper,
            retain_filter,
            &mut self.page,
        )?;
        let edited = !self.page.edits.is_empty();
        if self.start_over || (edited && self.has_conflicts) {
            self.compare_as_first(body, page.dialect)?;
        }
        Ok(())
    }

    /// Compares a page as if it were the first: every line is new, and every series of the template is removed.
    fn compare_as_first(&mut self, body: &[u8], dialect: Dialect) -> Result<(), PageError> {
        let retain_filter = self.retain_filter.as_mut();
        page::compare(
            &[],
            body,
            dialect,
            &mut self.mapper,
            retain_filter,
            &mut self.page,
        )?;
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
        page.removed.extend_from_slice(&self.restored);
        Ok(())
    }

    /// Every series on the newest page, in page order.
    pub(crate) fn series(&self) -> impl Iterator<Item = SeriesId> + '_ {
        let rows = self.template.iter().flat_map(|chunk| &chunk.rows);
        let series = rows.filter_map(|row| match row.kind() {
            RowKind::Series(id) => Some(id),
            _ => None,
        });
        series.chain(self.restored.iter().copied())
    }

    pub(crate) fn spec(&self) -> &TargetSpec {
        &self.mapper.spec
    }

    /// `endings` counts the series that have ended in the whole store. If a line of this target conflicts with a series
    /// elsewhere and some series have ended since, or one of a line of this page has a sample that `is_late`, the next page is
    /// compared as if it were the first.
    pub(crate) fn retry_conflicts(&mut self, endings: u64, is_late: bool) {
        self.retry = is_late || self.has_conflicts && endings != self.endings_seen;
        self.endings_seen = endings;
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let retain_filter = self.retain_filter.as_ref().map_or(0, RetainFilter::bytes);
        retain_filter
            + self.text.capacity()
            + self.restored.capacity() * size_of::<SeriesId>()
            + self.page.bytes()
            + self.template.iter().map(Chunk::bytes).sum::<usize>()
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
        let (series, label_bytes) = self.new_series();
        let page = self.page();
        let families = page.new_metrics * METRIC_BYTES + page.metadata.len() * METADATA_BYTES;
        page.bytes() + label_bytes + series * PLACED_BYTES + families
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

    /// How many new samples have a series, and the bytes of their labels.
    pub(crate) fn new_series(&self) -> (usize, usize) {
        let page = &self.stage.page;
        (page.new_series, page.new_label_bytes)
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
        stage.has_conflicts = placements
            .iter()
            .any(|placements| matches!(placements, Placement::Duplicate | Placement::Conflict))
            || (stage.has_conflicts && stage.has_conflict_row());
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

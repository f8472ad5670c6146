//! Staging: a target's template with the difference that its newest page makes, until the writer commits it.
//!
//! [`Stage::parse`] may run on any thread and changes nothing that lasts. `Writer::commit` takes the whole page or
//! nothing of it.

use std::sync::Arc;

use hashbrown::HashSet;

use super::classic_text;
use super::dialect::Dialect;
use super::format::Format;
use super::mapper::Mapper;
use super::page::{self, EditOp, NewKind, PageDiff, PageError};
use super::page_text::{Body, Page, without_eof};
use super::placement::Placement;
use super::protobuf;
use super::retain_filter::RetainFilter;
use super::template::{Builder, Chunk, NewRow, Place, RowKind};
use crate::ids::{SeriesId, TargetId};
use crate::scrape::{Retain, TargetSpec};
use crate::signal::RetainHandle;

/// What is remembered of one target's pages: the template of the last one and the difference of the newest one.
///
/// [`crate::Writer::add_target`] creates it; it stays with whoever scrapes the target.
pub struct Stage {
    pub(super) target: TargetId,
    pub(super) mapper: Mapper,
    /// Present for `retain: signals`.
    pub(super) retain_filter: Option<RetainFilter>,
    pub(super) template: Vec<Chunk>,
    pub(super) page: PageDiff,
    /// Some line's series belongs to an earlier line or to another target; a later edit may free it.
    pub(super) has_conflicts: bool,
    /// Rows of series that have several lines, ascending: where one has another value, all of them are looked at anew.
    twins: Vec<Place>,
    /// The next page is compared as if it were the first.
    pub(super) start_over: bool,
    /// The page after the one being committed is.
    pub(super) retry: bool,
    pub(super) endings_seen: u64,
    /// Series of the newest page of an earlier run of this program, whose template is not known.
    pub(super) restored: Vec<SeriesId>,
    /// Of the template.
    pub(super) dialect: Dialect,
    /// Memory for decoded pages, empty between two of them or ready for the next.
    pub(super) text: Vec<u8>,
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
            twins: Vec::new(),
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

    /// Keeps of the newest page only which series it has: the next one is compared as if it were the first. Takes time by the
    /// lines of the page.
    pub fn forget_page(&mut self) {
        let series: Vec<SeriesId> = self.series().collect();
        self.template = Vec::new();
        self.restored = series;
    }

    /// The series of the newest page, of a stage that has forgotten what else was on it.
    pub(crate) fn into_series(mut self) -> Vec<SeriesId> {
        if !self.template.is_empty() {
            self.forget_page();
        }
        self.restored
    }

    /// The target that this stage belongs to.
    pub fn target(&self) -> TargetId {
        self.target
    }

    /// The page as text.
    pub(super) fn read<'a>(
        &mut self,
        body: &'a [u8],
        format: Format,
    ) -> Result<Page<'a>, PageError> {
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

    pub(super) fn compare(&mut self, page: &Page<'_>) -> Result<(), PageError> {
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
        if self.start_over || (edited && self.has_conflicts) || self.moves_twin() {
            self.compare_as_first(body, page.dialect)?;
        }
        Ok(())
    }

    /// Compares a page as if it were the first: every line is new, and every series of the template is removed.
    pub(super) fn compare_as_first(
        &mut self,
        body: &[u8],
        dialect: Dialect,
    ) -> Result<(), PageError> {
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
            + self.twins.capacity() * size_of::<Place>()
            + self.page.bytes()
            + self.template.iter().map(Chunk::bytes).sum::<usize>()
    }
}

impl Stage {
    pub(super) fn rebuild(&mut self, body: &[u8], placements: &[Placement]) {
        let (all, mut placements) = (placements, placements.iter());
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
                        Some(Placement::Duplicate { .. }) => RowKind::Duplicate,
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
        self.find_twins(all);
        self.page.new_lines = Vec::new();
        self.page.edits = Vec::new();
    }

    /// Finds the rows of series that have several lines.
    fn find_twins(&mut self, placements: &[Placement]) {
        self.twins.clear();
        let of = placements.iter().filter_map(|placement| match placement {
            Placement::Duplicate { of, .. } => Some(*of),
            _ => None,
        });
        let of: HashSet<SeriesId> = of.collect();
        if of.is_empty() {
            return;
        }
        for (chunk, rows) in self.template.iter().enumerate() {
            for (row, kind) in rows.rows.iter().enumerate() {
                let is_twin = match kind.kind() {
                    RowKind::Duplicate => true,
                    RowKind::Series(id) => of.contains(&id),
                    _ => false,
                };
                if is_twin {
                    self.twins.push(Place {
                        chunk: chunk as u32,
                        row: row as u32,
                    });
                }
            }
        }
    }

    /// Whether the page has another value than the one before for a series of several lines.
    fn moves_twin(&self) -> bool {
        let is_twin = |place| self.twins.binary_search(place).is_ok();
        !self.twins.is_empty() && self.page.changes.iter().any(|one| is_twin(&one.place))
    }

    pub(super) fn has_conflict_row(&self) -> bool {
        let mut rows = self.template.iter().flat_map(|chunk| &chunk.rows);
        rows.any(|row| matches!(row.kind(), RowKind::Duplicate | RowKind::Conflict))
    }
}

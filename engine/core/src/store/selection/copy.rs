//! Copying, under the lock.

use std::cell::RefCell;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::super::clock::{Clock, ScrapeEntry};
use super::super::label_shapes::Pair;
use super::super::matching::{OverBudget, ReadBudget, for_each_match_within};
use super::super::series::Row;
use super::super::store::Store;
use super::super::symbol::Symbol;
use super::super::visible_ticks::{ClockVisibility, ClockWindow, Ticks};
use super::Visibility;
use super::snapshot::{Segment, SelectionSnapshot, SnapshotSeries};
use crate::ids::{ClockId, SeriesId};
use crate::labels::{Labels, METRIC_NAME};
use crate::promql::QueryError;
use crate::promql::select::{Projection, SelectRequest};

impl SelectionSnapshot {
    /// Copies the series of a request, as far as its memory and the budget go and nobody stops it.
    pub(crate) fn copy(
        store: &RwLock<Store>,
        request: &SelectRequest<'_>,
        visibility: &dyn Visibility,
        budget: Option<ReadBudget>,
    ) -> Result<SelectionSnapshot, QueryError> {
        let ends = ends(&store.read());
        SelectionSnapshot::copy_until(&ends, store, request, visibility, budget)
    }

    /// The same with the ends of clocks as of an earlier moment.
    pub(super) fn copy_until(
        ends: &[i64],
        store: &RwLock<Store>,
        request: &SelectRequest<'_>,
        visibility: &dyn Visibility,
        budget: Option<ReadBudget>,
    ) -> Result<SelectionSnapshot, QueryError> {
        let mut copier = {
            let store = store.read();
            Copier {
                snapshot: SelectionSnapshot {
                    items: Vec::new(),
                    segments: Vec::new(),
                    data: Vec::new(),
                    label_bytes: 0,
                    clocks: HashMap::new(),
                    native_histograms: Vec::new(),
                    after_ms: request.after_ms,
                    until_ms: request.until_ms,
                    lists_unread: false,
                },
                visibility,
                last_only: request.last_only,
                ends: ends.to_vec(),
                entries: Vec::new(),
                projector: Projector::new(&store, request.projection),
            }
        };
        let failed = RefCell::new(None);
        let goes_on = || {
            let mut failed = failed.borrow_mut();
            if failed.is_none() {
                *failed = request.stop.and_then(|stop| stop().err());
            }
            failed.is_none()
        };
        let copied =
            for_each_match_within(store, request.matchers, budget, &goes_on, |store, id| {
                let held_before = copier.snapshot.held_bytes();
                let bytes = copier.copy_series(store, id);
                let more = copier.snapshot.held_bytes() - held_before;
                if let Some(Err(error)) = request.memory.map(|memory| memory.hold(more)) {
                    failed.borrow_mut().get_or_insert(error);
                }
                bytes
            });
        if let Some(error) = failed.into_inner() {
            return Err(error);
        }
        copied.map_err(|OverBudget| {
            QueryError::Execution(
                "a selector reads more than a query that is answered at once may".to_owned(),
            )
        })?;
        Ok(copier.snapshot)
    }
}

/// The end of each clock.
pub(super) fn ends(store: &Store) -> Vec<i64> {
    store.clocks.iter().map(Clock::next_tick).collect()
}

/// A snapshot being filled.
struct Copier<'a> {
    snapshot: SelectionSnapshot,
    visibility: &'a dyn Visibility,
    last_only: bool,
    /// The end of each clock when the query began.
    ends: Vec<i64>,
    entries: Vec<ScrapeEntry>,
    projector: Projector,
}

impl Copier<'_> {
    /// Copies a series if it has samples in the range. Returns the bytes of history copied.
    fn copy_series(&mut self, store: &Store, id: SeriesId) -> usize {
        let bytes_before = self.snapshot.data.len();
        let row = *store.series.row(id);
        if row.clock != ClockId::EXPLICIT
            && self.visibility.clock_visibility(row.clock) == ClockVisibility::Hidden
        {
            return 0;
        }
        let first_segment = self.snapshot.segments.len() as u32;
        let (after, until) = self.tick_range(store, row.clock);
        // Where the current run covers the end of the range, the newest sample needs no history.
        if !(self.last_only && row.since < until) {
            self.copy_blocks(store, &row);
        }
        let current = match row.clock {
            ClockId::EXPLICIT => row.since >= after && row.since < until,
            _ if row.is_present() => row.since < until && until > after,
            _ => row.since >= after && row.since < until,
        };
        let segments = first_segment..self.snapshot.segments.len() as u32;
        let is_empty = !current && segments.is_empty();
        self.snapshot.lists_unread |=
            is_empty && row.clock == ClockId::EXPLICIT && store.listed.contains(id);
        if !is_empty {
            let clamp_negative = self.clamps_negative(store, id);
            self.copy_histograms(store, id, row.clock);
            let labels = self.projector.labels(store, id);
            self.snapshot.label_bytes += labels.bytes();
            self.snapshot.items.push(SnapshotSeries {
                labels,
                segments,
                clock: row.clock,
                since: row.since,
                bits: row.bits,
                clamp_negative,
            });
        }
        self.snapshot.data.len() - bytes_before
    }

    /// Copies the native histograms of the item that is added next, at the times at which its clock is seen.
    fn copy_histograms(&mut self, store: &Store, id: SeriesId, clock: ClockId) {
        let later_ms = match clock {
            ClockId::EXPLICIT => 0,
            clock => match self.visibility.clock_visibility(clock) {
                ClockVisibility::Delayed(ms) => ms,
                ClockVisibility::AsScraped | ClockVisibility::Hidden => 0,
            },
        };
        let after_ms = self.snapshot.after_ms.saturating_sub(later_ms);
        let until_ms = self.snapshot.until_ms.saturating_sub(later_ms);
        if let Some(mut histograms) = store.native_histograms.between(id, after_ms, until_ms) {
            histograms
                .iter_mut()
                .for_each(|(at_ms, _)| *at_ms += later_ms);
            let item = self.snapshot.items.len();
            self.snapshot.native_histograms.push((item, histograms));
        }
    }

    fn clamps_negative(&mut self, store: &Store, id: SeriesId) -> bool {
        let symbols = &store.series.symbols;
        let name = symbols
            .find(METRIC_NAME)
            .and_then(|name| store.series.label(id, name));
        name.is_some_and(|name| self.visibility.clamps_negative(symbols.text(name)))
    }

    /// The ticks of a clock that the query may see, `start..end`.
    fn tick_range(&mut self, store: &Store, clock: ClockId) -> (i64, i64) {
        let (after_ms, until_ms) = (self.snapshot.after_ms, self.snapshot.until_ms);
        if clock == ClockId::EXPLICIT {
            return (after_ms.saturating_add(1), until_ms.saturating_add(1));
        }
        let ticks = self.snapshot.clocks.entry(clock.0).or_insert_with(|| {
            // A clock created after the query began has nothing visible.
            let end = self.ends.get(clock.index()).copied().unwrap_or(i64::MIN);
            let window = ClockWindow {
                after_ms,
                until_ms,
                end,
                clock_visibility: self.visibility.clock_visibility(clock),
            };
            Ticks::copy(&store.clocks[clock.index()], window, &mut self.entries)
        });
        (ticks.first, ticks.end())
    }

    fn copy_blocks(&mut self, store: &Store, row: &Row) {
        let mut at = row.oldest;
        while let Some(block) = at.some() {
            let header = *store.slab.header(block);
            at = header.next();
            let (after, until) = self.tick_range(store, header.clock);
            let end = match at.some().map(|next| store.slab.header(next)) {
                Some(next) if next.clock == header.clock => next.first_tick,
                None if row.clock == header.clock => row.since,
                _ => i64::MAX,
            };
            if header.first_tick < until && end > after {
                let ops = store.slab.ops_alone(block);
                let data = &mut self.snapshot.data;
                let start = data.len();
                data.extend_from_slice(ops.heads);
                let heads = start..data.len();
                data.extend_from_slice(ops.bodies);
                self.snapshot.segments.push(Segment {
                    clock: header.clock,
                    first_tick: header.first_tick,
                    heads,
                    end: data.len(),
                });
            }
        }
    }
}

/// Builds the labels that a query needs; consecutive series with equal labels share them.
struct Projector {
    only: Option<Vec<Symbol>>,
    pairs: Vec<Pair>,
    last: Option<(Vec<Pair>, Labels)>,
}

impl Projector {
    fn new(store: &Store, projection: Projection<'_>) -> Projector {
        let only = match projection {
            Projection::All => None,
            Projection::Only(names) => Some(
                names
                    .iter()
                    .filter_map(|name| store.series.symbols.find(name))
                    .collect(),
            ),
        };
        Projector {
            only,
            pairs: Vec::new(),
            last: None,
        }
    }

    fn labels(&mut self, store: &Store, id: SeriesId) -> Labels {
        let Some(only) = &self.only else {
            return store.series.labels(id);
        };
        self.pairs.clear();
        self.pairs
            .extend(store.series.pairs(id).filter(|pair| only.contains(&pair.0)));
        if let Some((pairs, labels)) = &self.last
            && *pairs == self.pairs
        {
            return labels.clone();
        }
        let symbols = &store.series.symbols;
        let labels = Labels::from_sorted(
            self.pairs
                .iter()
                .map(|&(n, v)| (symbols.text(n), symbols.text(v))),
        );
        self.last = Some((self.pairs.clone(), labels.clone()));
        labels
    }
}

//! Snapshots for queries: the series of one selector are copied out of the store in batches under the lock, still
//! compressed, and decoded after the lock is released, series by series.
//!
//! A query sees one moment of the store: the end of every clock is recorded when it starts, and nothing later is
//! read.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::clock::{Clock, ScrapeEntry};
use super::codec::{Encoded, STALE};
use super::explicit_times;
use super::history::Store;
use super::label_shapes::Pair;
use super::matching::{OverBudget, ReadBudget, for_each_match_within};
use super::native_histograms::{self, HISTOGRAM, TimedHistogram};
use super::series::Row;
use super::symbol::Symbol;
use super::visible_ticks::{ClockVisibility, ClockWindow, Ticks};
use crate::ids::{ClockId, SeriesId};
use crate::labels::{Labels, METRIC_NAME};
use crate::promql::QueryError;
use crate::promql::select::{LastSample, Projection, Samples, SelectRequest, Selection, View};

/// A view of the store exactly as Prometheus would show it: with stale markers where a series was absent or its target
/// failed. Cheap to clone. All of its selections show the moment of the first, so that `sum(x) - sum(x)` is 0 while pages are
/// committed.
#[derive(Clone)]
pub struct PlainView {
    store: Arc<RwLock<Store>>,
    budget: Option<ReadBudget>,
    /// The end of each clock when the first selector was read: what was committed since then none of the others sees.
    ends: Arc<OnceLock<Vec<i64>>>,
}

impl PlainView {
    pub(crate) fn new(store: Arc<RwLock<Store>>, budget: Option<ReadBudget>) -> PlainView {
        PlainView {
            store,
            budget,
            ends: Arc::default(),
        }
    }
}

impl View for PlainView {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn Selection>, QueryError> {
        let ends = self.ends.get_or_init(|| ends(&self.store.read()));
        let (store, budget) = (&self.store, self.budget);
        let snapshot = SelectionSnapshot::copy_until(ends, store, request, &AsScraped, budget)?;
        Ok(Box::new(snapshot))
    }
}

/// How a view presents clocks and values.
pub(crate) trait Visibility {
    /// How the series of a clock are presented.
    fn clock_visibility(&self, clock: ClockId) -> ClockVisibility;
    /// Whether negative samples of this metric are read as 0.
    fn clamps_negative(&self, metric: &str) -> bool;
}

/// The end of each clock.
fn ends(store: &Store) -> Vec<i64> {
    store.clocks.iter().map(Clock::next_tick).collect()
}

struct AsScraped;

impl Visibility for AsScraped {
    fn clock_visibility(&self, _: ClockId) -> ClockVisibility {
        ClockVisibility::AsScraped
    }

    fn clamps_negative(&self, _: &str) -> bool {
        false
    }
}

/// The series of one selector, copied out of the store.
pub(crate) struct SelectionSnapshot {
    items: Vec<SnapshotSeries>,
    segments: Vec<Segment>,
    data: Vec<u8>,
    label_bytes: usize,
    clocks: HashMap<u32, Ticks>,
    /// By index of the series, ascending: those that have native histograms.
    native_histograms: Vec<(usize, Vec<TimedHistogram>)>,
    after_ms: i64,
    until_ms: i64,
    /// Whether a page lists a series of which nothing is in the range, because its page states another time.
    lists_unread: bool,
}

/// One series of a snapshot: runs in some segments, then the current run.
struct SnapshotSeries {
    labels: Labels,
    segments: std::ops::Range<u32>,
    clock: ClockId,
    since: i64,
    bits: u64,
    clamp_negative: bool,
}

/// The ops of one block: heads, then bodies.
struct Segment {
    clock: ClockId,
    first_tick: i64,
    heads: std::ops::Range<usize>,
    end: usize,
}

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
    fn copy_until(
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

    /// Whether the newest page of a target lists a series of which the range has no sample, because the page states a time
    /// of its own for it.
    pub(crate) fn lists_unread(&self) -> bool {
        self.lists_unread
    }

    /// Bytes that it holds: series, their labels, history.
    fn held_bytes(&self) -> u64 {
        let series = self.items.len() * size_of::<SnapshotSeries>();
        let segments = self.segments.len() * size_of::<Segment>();
        (series + segments + self.label_bytes + self.data.len()) as u64
    }

    fn ops(&self, segment: &Segment) -> Encoded<'_> {
        Encoded {
            heads: &self.data[segment.heads.clone()],
            bodies: &self.data[segment.heads.end..segment.end],
        }
    }

    /// The value that a series has now.
    fn push_current(&self, item: &SnapshotSeries, samples: &mut Samples) {
        let (tick, bits) = (item.since, item.bits);
        if item.clock == ClockId::EXPLICIT {
            if tick > self.after_ms && tick <= self.until_ms {
                samples.times_ms.push(tick);
                samples.values.push(f64::from_bits(bits));
            }
        } else if let Some(ticks) = self.clocks.get(&item.clock.0) {
            if bits == STALE {
                ticks.push_absent(tick, samples);
            } else {
                ticks.push_run(tick, i64::MAX, bits, samples);
            }
        }
    }
}

impl Selection for SelectionSnapshot {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        &self.items[index].labels
    }

    /// A byte of history is about a sample, and so is a tick at which a value stood.
    fn samples_about(&self) -> usize {
        let ticks = self.clocks.values().map(Ticks::len).max();
        self.data.len() + self.items.len().saturating_mul(ticks.unwrap_or(0))
    }

    fn read(&self, index: usize, samples: &mut Samples) {
        samples.clear();
        let item = &self.items[index];
        for segment in &self.segments[item.segments.start as usize..item.segments.end as usize] {
            let ops = self.ops(segment);
            if segment.clock == ClockId::EXPLICIT {
                let window = (self.after_ms, self.until_ms);
                explicit_times::push(ops, segment.first_tick, window, samples);
            } else if let Some(ticks) = self.clocks.get(&segment.clock.0) {
                ticks.push_ops(segment.first_tick, ops, samples);
            }
        }
        self.push_current(item, samples);
        if item.clamp_negative {
            samples.values.iter_mut().for_each(clamp_negative);
        }
        if let Some(histograms) = self.histograms_of(index) {
            native_histograms::fill(samples, histograms);
        }
    }

    fn last(&self, index: usize, scratch: &mut Samples) -> Option<LastSample> {
        let item = &self.items[index];
        let quick = self
            .clocks
            .get(&item.clock.0)
            .and_then(|ticks| ticks.newest_good());
        if let Some((tick, time_ms)) =
            quick.filter(|(tick, _)| item.bits != STALE && item.since <= *tick)
        {
            debug_assert!(tick >= item.since);
            if item.bits == HISTOGRAM {
                let histograms = self.histograms_of(index)?;
                let at = histograms.binary_search_by_key(&time_ms, |(at_ms, _)| *at_ms);
                return Some(LastSample {
                    time_ms,
                    value: 0.0,
                    histogram: Some(Arc::clone(&histograms[at.ok()?].1)),
                });
            }
            let mut value = f64::from_bits(item.bits);
            if item.clamp_negative {
                clamp_negative(&mut value);
            }
            return Some(LastSample {
                time_ms,
                value,
                histogram: None,
            });
        }
        self.read(index, scratch);
        let at = scratch.times_ms.len().checked_sub(1)?;
        let (time_ms, value) = (scratch.times_ms[at], scratch.values[at]);
        Some(LastSample {
            time_ms,
            value,
            histogram: scratch.histograms.get(at).cloned().flatten(),
        })
    }
}

/// A negative queue length is a known race of the gateway and means an empty queue.
fn clamp_negative(value: &mut f64) {
    if *value < 0.0 {
        *value = 0.0;
    }
}

impl SelectionSnapshot {
    /// The clock of a series; `None` if its samples have explicit timestamps.
    pub(crate) fn clock(&self, index: usize) -> Option<ClockId> {
        let clock = self.items[index].clock;
        (clock != ClockId::EXPLICIT).then_some(clock)
    }

    fn histograms_of(&self, index: usize) -> Option<&[TimedHistogram]> {
        if self.native_histograms.is_empty() {
            return None;
        }
        let at = self
            .native_histograms
            .binary_search_by_key(&index, |(item, _)| *item);
        at.ok().map(|at| self.native_histograms[at].1.as_slice())
    }
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

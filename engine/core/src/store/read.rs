//! Reading: a selector's series are copied out in batches under the lock, compressed as they are, and decoded
//! outside it, series by series. What a query sees is one moment: it notes every clock's end when it starts and
//! looks at nothing later.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::clock::{Clock, Entry};
use super::codec::{Runs, STALE};
use super::history::Store;
use super::matching::{OutOfReach, Reach, for_each_match_within};
use super::natives::{self, Timed};
use super::series::Row;
use super::stems::Pair;
use super::symbol::Symbol;
use super::ticks::{Shown, Ticks, Window};
use crate::ids::{ClockId, SeriesId};
use crate::labels::{Labels, METRIC_NAME};
use crate::promql::QueryError;
use crate::promql::select::{LastSample, Projection, Samples, SelectRequest, Selection, View};

/// The store exactly as Prometheus would show it: stale markers where a series or its target was gone.
#[derive(Clone)]
pub struct PlainView {
    store: Arc<RwLock<Store>>,
    reach: Option<Reach>,
}

impl PlainView {
    pub(crate) fn new(store: Arc<RwLock<Store>>, reach: Option<Reach>) -> PlainView {
        PlainView { store, reach }
    }
}

impl View for PlainView {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn Selection>, QueryError> {
        let frame = Frame::copy_within(&self.store, request, &Plain, self.reach);
        match frame {
            Ok(frame) => Ok(Box::new(frame)),
            Err(OutOfReach) => Err(QueryError::Execution(
                "a selector looks at more than a brief query may".to_owned(),
            )),
        }
    }
}

/// What a view makes of clocks and values.
pub(crate) trait Lens {
    /// How the series of a clock are shown.
    fn shown(&self, clock: ClockId) -> Shown;
    /// Whether negative samples of this metric read 0.
    fn clamps_negative(&self, metric: &str) -> bool;
}

struct Plain;

impl Lens for Plain {
    fn shown(&self, _: ClockId) -> Shown {
        Shown::Plain
    }

    fn clamps_negative(&self, _: &str) -> bool {
        false
    }
}

/// The series of one selector, copied out of the store.
pub(crate) struct Frame {
    items: Vec<Item>,
    segments: Vec<Segment>,
    data: Vec<u8>,
    clocks: HashMap<u32, Ticks>,
    /// By item, ascending: only those that have native histograms.
    natives: Vec<(usize, Vec<Timed>)>,
    after_ms: i64,
    until_ms: i64,
}

/// One series of a frame: runs in some segments, then the current one.
struct Item {
    labels: Labels,
    segments: std::ops::Range<u32>,
    clock: ClockId,
    since: i64,
    bits: u64,
    clamp_negative: bool,
}

/// The used bytes of one block.
struct Segment {
    clock: ClockId,
    first_tick: i64,
    data: std::ops::Range<usize>,
}

impl Frame {
    /// Copies what a request asks for, as the lens shows it.
    pub(crate) fn copy(
        store: &RwLock<Store>,
        request: &SelectRequest<'_>,
        lens: &dyn Lens,
    ) -> Frame {
        match Frame::copy_within(store, request, lens, None) {
            Ok(frame) => frame,
            Err(OutOfReach) => unreachable!("without a reach nothing is out of it"),
        }
    }

    /// The same, as long as it stays within a reach.
    fn copy_within(
        store: &RwLock<Store>,
        request: &SelectRequest<'_>,
        lens: &dyn Lens,
        reach: Option<Reach>,
    ) -> Result<Frame, OutOfReach> {
        let mut copier = {
            let store = store.read();
            Copier {
                frame: Frame {
                    items: Vec::new(),
                    segments: Vec::new(),
                    data: Vec::new(),
                    clocks: HashMap::new(),
                    natives: Vec::new(),
                    after_ms: request.after_ms,
                    until_ms: request.until_ms,
                },
                lens,
                last_only: request.last_only,
                ends: store.clocks.iter().map(Clock::next_tick).collect(),
                entries: Vec::new(),
                projector: Projector::new(&store, request.projection),
            }
        };
        for_each_match_within(store, request.matchers, reach, |store, id| {
            copier.copy_series(store, id)
        })?;
        Ok(copier.frame)
    }

    fn push(&self, clock: ClockId, tick: i64, end: i64, bits: u64, samples: &mut Samples) {
        if clock == ClockId::OWN {
            if tick > self.after_ms && tick <= self.until_ms {
                samples.times_ms.push(tick);
                samples.values.push(f64::from_bits(bits));
            }
            return;
        }
        let Some(ticks) = self.clocks.get(&clock.0) else {
            return;
        };
        if bits == STALE {
            ticks.push_absent(tick, samples);
        } else {
            ticks.push_run(tick, end, bits, samples);
        }
    }
}

impl Selection for Frame {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        &self.items[index].labels
    }

    fn read(&self, index: usize, samples: &mut Samples) {
        samples.clear();
        let item = &self.items[index];
        for segment in &self.segments[item.segments.start as usize..item.segments.end as usize] {
            let mut tick = segment.first_tick;
            for run in Runs::new(&self.data[segment.data.clone()]) {
                self.push(segment.clock, tick, tick + run.gap, run.bits, samples);
                tick += run.gap;
            }
        }
        self.push(item.clock, item.since, i64::MAX, item.bits, samples);
        if item.clamp_negative {
            samples.values.iter_mut().for_each(clamp_negative);
        }
        if let Some(histograms) = self.natives_of(index) {
            natives::fill(samples, histograms);
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

/// A queue gauge below zero is a known race of the gateway, and means that nothing waits.
fn clamp_negative(value: &mut f64) {
    if *value < 0.0 {
        *value = 0.0;
    }
}

impl Frame {
    /// The clock of a series; `None` where its samples have times of their own.
    pub(crate) fn clock(&self, index: usize) -> Option<ClockId> {
        let clock = self.items[index].clock;
        (clock != ClockId::OWN).then_some(clock)
    }

    fn natives_of(&self, index: usize) -> Option<&[Timed]> {
        if self.natives.is_empty() {
            return None;
        }
        let at = self.natives.binary_search_by_key(&index, |(item, _)| *item);
        at.ok().map(|at| self.natives[at].1.as_slice())
    }
}

/// A frame being filled.
struct Copier<'a> {
    frame: Frame,
    lens: &'a dyn Lens,
    last_only: bool,
    /// Where each clock ended when the query began.
    ends: Vec<i64>,
    entries: Vec<Entry>,
    projector: Projector,
}

impl Copier<'_> {
    /// Copies a series, if it has samples in the range; the bytes of history copied.
    fn copy_series(&mut self, store: &Store, id: SeriesId) -> usize {
        let bytes_before = self.frame.data.len();
        let row = *store.series.row(id);
        if row.clock != ClockId::OWN && self.lens.shown(row.clock) == Shown::Hidden {
            return 0;
        }
        let first_segment = self.frame.segments.len() as u32;
        let (after, until) = self.tick_range(store, row.clock);
        // Where the current run covers the end of the range, the newest sample needs no history.
        if !(self.last_only && row.since < until) {
            self.copy_blocks(store, &row);
        }
        let current = match row.clock {
            ClockId::OWN => row.since >= after && row.since < until,
            _ if row.is_present() => row.since < until && until > after,
            _ => row.since >= after && row.since < until,
        };
        let segments = first_segment..self.frame.segments.len() as u32;
        if current || !segments.is_empty() {
            let clamp_negative = self.clamps_negative(store, id);
            let (after_ms, until_ms) = (self.frame.after_ms, self.frame.until_ms);
            if let Some(histograms) = store.natives.between(id, after_ms, until_ms) {
                let item = self.frame.items.len();
                self.frame.natives.push((item, histograms));
            }
            self.frame.items.push(Item {
                labels: self.projector.labels(store, id),
                segments,
                clock: row.clock,
                since: row.since,
                bits: row.bits,
                clamp_negative,
            });
        }
        self.frame.data.len() - bytes_before
    }

    fn clamps_negative(&mut self, store: &Store, id: SeriesId) -> bool {
        let symbols = &store.series.symbols;
        let name = symbols
            .find(METRIC_NAME)
            .and_then(|name| store.series.label(id, name));
        name.is_some_and(|name| self.lens.clamps_negative(symbols.text(name)))
    }

    /// The ticks of a clock that the query may see, `start..end`.
    fn tick_range(&mut self, store: &Store, clock: ClockId) -> (i64, i64) {
        let (after_ms, until_ms) = (self.frame.after_ms, self.frame.until_ms);
        if clock == ClockId::OWN {
            return (after_ms.saturating_add(1), until_ms.saturating_add(1));
        }
        let ticks = self.frame.clocks.entry(clock.0).or_insert_with(|| {
            // A clock that is younger than the query has nothing to show it.
            let end = self.ends.get(clock.index()).copied().unwrap_or(i64::MIN);
            let window = Window {
                after_ms,
                until_ms,
                end,
                shown: self.lens.shown(clock),
            };
            Ticks::copy(&store.clocks[clock.index()], window, &mut self.entries)
        });
        (ticks.first, ticks.end())
    }

    fn copy_blocks(&mut self, store: &Store, row: &Row) {
        let mut at = row.oldest;
        while let Some(block) = at.some() {
            let header = *store.slab.header(block);
            at = header.next;
            let (after, until) = self.tick_range(store, header.clock);
            let end = match header.next.some().map(|next| store.slab.header(next)) {
                Some(next) if next.clock == header.clock => next.first_tick,
                None if row.clock == header.clock => row.since,
                _ => i64::MAX,
            };
            if header.first_tick < until && end > after {
                let start = self.frame.data.len();
                self.frame.data.extend_from_slice(store.slab.used(block));
                self.frame.segments.push(Segment {
                    clock: header.clock,
                    first_tick: header.first_tick,
                    data: start..self.frame.data.len(),
                });
            }
        }
    }
}

/// Makes the labels that a query needs; series in a row with equal ones share them.
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

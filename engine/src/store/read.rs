//! Reading: a selector's series are copied out in batches under the lock, compressed as they are, and decoded
//! outside it, series by series. What a query sees is one moment: it notes every clock's end when it starts and
//! looks at nothing later.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::clock::{Clock, Entry};
use super::codec::{Runs, STALE};
use super::history::Store;
use super::ids::{ClockId, SeriesId, Symbol};
use super::matching::for_each_match;
use super::series::{Pair, Row};
use crate::labels::Labels;
use crate::promql::QueryError;
use crate::promql::select::{LastSample, Projection, Samples, SelectRequest, Selection, View};

/// The store exactly as Prometheus would show it: stale markers where a series or its target was gone.
#[derive(Clone)]
pub struct PlainView {
    store: Arc<RwLock<Store>>,
}

impl PlainView {
    pub(crate) fn new(store: Arc<RwLock<Store>>) -> PlainView {
        PlainView { store }
    }
}

impl View for PlainView {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn Selection>, QueryError> {
        Ok(Box::new(Frame::copy(&self.store, request)))
    }
}

/// The series of one selector, copied out of the store.
pub(crate) struct Frame {
    items: Vec<Item>,
    segments: Vec<Segment>,
    data: Vec<u8>,
    clocks: HashMap<u32, Ticks>,
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
}

/// The used bytes of one block.
struct Segment {
    clock: ClockId,
    first_tick: i64,
    data: std::ops::Range<usize>,
}

/// The part of a clock that a query may see.
struct Ticks {
    /// The tick of `times_ms[0]`.
    first: i64,
    times_ms: Vec<i64>,
    /// Ticks of failed scrapes, ascending.
    failed: Vec<i64>,
    /// Whether the scrape before the first was good.
    good_before: bool,
}

impl Ticks {
    fn copy(
        clock: &Clock,
        after_ms: i64,
        until_ms: i64,
        end: i64,
        buffer: &mut Vec<Entry>,
    ) -> Ticks {
        let first = clock.tick_after(after_ms);
        let end = end.min(clock.tick_after(until_ms));
        buffer.clear();
        clock.copy(first, end, buffer);
        let failed = buffer.iter().enumerate().filter(|(_, entry)| !entry.good);
        Ticks {
            first,
            times_ms: buffer.iter().map(|entry| entry.time_ms).collect(),
            failed: failed.map(|(at, _)| first + at as i64).collect(),
            good_before: clock.at(first - 1).is_none_or(|entry| entry.good),
        }
    }

    fn end(&self) -> i64 {
        self.first + self.times_ms.len() as i64
    }

    /// The series was absent from `tick` on: one marker there, as Prometheus writes it.
    fn push_absent(&self, tick: i64, samples: &mut Samples) {
        if (self.first..self.end()).contains(&tick) {
            samples
                .times_ms
                .push(self.times_ms[(tick - self.first) as usize]);
            samples.values.push(f64::from_bits(STALE));
        }
    }

    /// The series stood at `bits` from `tick` until before `end`; failed scrapes in between cut it.
    fn push_run(&self, tick: i64, end: i64, bits: u64, samples: &mut Samples) {
        let (start, end) = (tick.max(self.first), end.min(self.end()));
        if start >= end {
            return;
        }
        let from_failed = self.failed.partition_point(|&failed| failed < start);
        if self
            .failed
            .get(from_failed)
            .is_none_or(|&failed| failed >= end)
        {
            return self.push_good(start, end, bits, samples);
        }
        let mut good_before = start > tick || self.good_before;
        if start > self.first {
            good_before = start == tick || self.failed.binary_search(&(start - 1)).is_err();
        }
        let mut at = start;
        for &failed in self.failed[from_failed..]
            .iter()
            .take_while(|&&failed| failed < end)
        {
            self.push_good(at, failed, bits, samples);
            if failed > at || good_before {
                self.push_absent(failed, samples);
            }
            good_before = false;
            at = failed + 1;
        }
        self.push_good(at, end, bits, samples);
    }

    fn push_good(&self, start: i64, end: i64, bits: u64, samples: &mut Samples) {
        if start < end {
            let times = &self.times_ms[(start - self.first) as usize..(end - self.first) as usize];
            samples.times_ms.extend_from_slice(times);
            samples
                .values
                .resize(samples.values.len() + times.len(), f64::from_bits(bits));
        }
    }
}

impl Frame {
    /// Copies what a request asks for.
    pub(crate) fn copy(store: &RwLock<Store>, request: &SelectRequest<'_>) -> Frame {
        let mut frame = Frame {
            items: Vec::new(),
            segments: Vec::new(),
            data: Vec::new(),
            clocks: HashMap::new(),
            after_ms: request.after_ms,
            until_ms: request.until_ms,
        };
        let (ends, mut projector) = {
            let store = store.read();
            let ends: Vec<i64> = store.clocks.iter().map(Clock::next_tick).collect();
            (ends, Projector::new(&store, request.projection))
        };
        let mut entries = Vec::new();
        for_each_match(store, request.matchers, |store, id| {
            let before = frame.data.len();
            frame.copy_series(
                store,
                id,
                request.last_only,
                &ends,
                &mut entries,
                &mut projector,
            );
            frame.data.len() - before
        });
        frame
    }

    fn copy_series(
        &mut self,
        store: &Store,
        id: SeriesId,
        last_only: bool,
        ends: &[i64],
        entries: &mut Vec<Entry>,
        projector: &mut Projector,
    ) {
        let row = *store.series.row(id);
        let first_segment = self.segments.len() as u32;
        let (_, until) = self.tick_range(store, row.clock, ends, entries);
        // Where the current run covers the end of the range, the newest sample needs no history.
        if !(last_only && row.since < until) {
            self.copy_blocks(store, &row, ends, entries);
        }
        let (after, until) = self.tick_range(store, row.clock, ends, entries);
        let current = match row.clock {
            ClockId::OWN => row.since >= after && row.since < until,
            _ if row.is_present() => row.since < until && until > after,
            _ => row.since >= after && row.since < until,
        };
        let segments = first_segment..self.segments.len() as u32;
        if !current && segments.is_empty() {
            return;
        }
        self.items.push(Item {
            labels: projector.labels(store, id),
            segments,
            clock: row.clock,
            since: row.since,
            bits: row.bits,
        });
    }

    /// The ticks of a clock that the query may see, `start..end`.
    fn tick_range(
        &mut self,
        store: &Store,
        clock: ClockId,
        ends: &[i64],
        entries: &mut Vec<Entry>,
    ) -> (i64, i64) {
        if clock == ClockId::OWN {
            return (
                self.after_ms.saturating_add(1),
                self.until_ms.saturating_add(1),
            );
        }
        let (after_ms, until_ms) = (self.after_ms, self.until_ms);
        let ticks = self.clocks.entry(clock.0).or_insert_with(|| {
            // A clock that is younger than the query has nothing to show it.
            let end = ends.get(clock.index()).copied().unwrap_or(i64::MIN);
            Ticks::copy(
                &store.clocks[clock.index()],
                after_ms,
                until_ms,
                end,
                entries,
            )
        });
        (ticks.first, ticks.end())
    }

    fn copy_blocks(&mut self, store: &Store, row: &Row, ends: &[i64], entries: &mut Vec<Entry>) {
        let mut at = row.oldest;
        while let Some(block) = at.some() {
            let header = *store.slab.header(block);
            at = header.next;
            let (after, until) = self.tick_range(store, header.clock, ends, entries);
            let end = match header.next.some().map(|next| store.slab.header(next)) {
                Some(next) if next.clock == header.clock => next.first_tick,
                Some(_) => i64::MAX,
                None if row.clock == header.clock => row.since,
                None => i64::MAX,
            };
            if header.first_tick < until && end > after {
                let start = self.data.len();
                self.data.extend_from_slice(store.slab.used(block));
                self.segments.push(Segment {
                    clock: header.clock,
                    first_tick: header.first_tick,
                    data: start..self.data.len(),
                });
            }
        }
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
    }

    fn last(&self, index: usize, scratch: &mut Samples) -> Option<LastSample> {
        let item = &self.items[index];
        let quick = (item.clock != ClockId::OWN)
            .then(|| self.clocks.get(&item.clock.0))
            .flatten();
        if let Some(ticks) = quick {
            let newest = ticks.end() - 1;
            let covers = item.bits != STALE && item.since <= newest && newest >= ticks.first;
            if covers && ticks.failed.last() != Some(&newest) {
                let time_ms = ticks.times_ms[(newest - ticks.first) as usize];
                return Some(LastSample {
                    time_ms,
                    value: f64::from_bits(item.bits),
                    histogram: None,
                });
            }
        }
        self.read(index, scratch);
        let at = scratch.times_ms.len().checked_sub(1)?;
        Some(LastSample {
            time_ms: scratch.times_ms[at],
            value: scratch.values[at],
            histogram: None,
        })
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
        self.pairs.extend(
            store
                .series
                .pairs(id)
                .iter()
                .filter(|pair| only.contains(&pair.0)),
        );
        if let Some((pairs, labels)) = &self.last {
            if *pairs == self.pairs {
                return labels.clone();
            }
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

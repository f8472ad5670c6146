//! One window of a feed: for every clock where it ends, and how far its series were read.

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::cursor::Cursor;
use super::passed_over::PassedOver;
use super::{FedSeries, Interest, WindowOptions};
use crate::ids::{ClockId, SeriesId};
use crate::labels::Labels;
use crate::limits::{READ_BATCH_ROWS, READ_BATCH_SERIES};
use crate::promql::select::Samples;
use crate::store::{Clock, STALE, Store, Ticks, TimedHistogram, ValueRun, fill_histograms};

/// A window under way.
pub(super) struct Window {
    /// Per clock, the tick before which it ends.
    ends: Vec<i64>,
    /// Whether some clock or series goes on beyond it.
    is_cut: bool,
    /// Nothing before the cursor is new, so the newest block of a series is enough where it reaches back so far.
    is_level: bool,
    next: u32,
    id_end: u32,
    options: WindowOptions,
    /// The times of each clock that some series needed.
    ticks: HashMap<u32, Ticks>,
    /// The newest time that was read of each series with explicit timestamps.
    explicit: Vec<(SeriesId, i64)>,
    /// The number of the exemplar after those that were read.
    pub(super) exemplars: Option<u64>,
    has_scrapes: bool,
    /// Samples that the memory limit had taken, at most.
    lost: u64,
    /// Samples of series in which there is no interest, at least.
    samples_passed_over: u64,
    batch: Batch,
}

/// Series copied under one lock.
#[derive(Default)]
struct Batch {
    series: Vec<Copied>,
    runs: Vec<ValueRun>,
    samples: Samples,
}

struct Copied {
    id: SeriesId,
    /// Of `Series::removals_near`, while the id named this series.
    removals: u32,
    labels: Labels,
    runs: std::ops::Range<usize>,
    histograms: Option<Vec<TimedHistogram>>,
}

impl Window {
    pub(super) fn new(
        store: &Store,
        cursor: &Cursor,
        options: &WindowOptions,
        is_level: bool,
    ) -> Window {
        let mut window = Window {
            ends: Vec::with_capacity(store.clocks.len()),
            is_cut: false,
            is_level,
            next: 0,
            id_end: store.series.id_end(),
            options: *options,
            ticks: HashMap::new(),
            explicit: Vec::new(),
            exemplars: None,
            has_scrapes: false,
            lost: 0,
            samples_passed_over: 0,
            batch: Batch::default(),
        };
        for (number, clock) in store.clocks.iter().enumerate() {
            let from = cursor.tick(ClockId(number as u32)).max(clock.first_tick());
            let end = window.end_of(clock, from).max(from);
            window.is_cut |= end < clock.next_tick();
            window.has_scrapes |= end > from;
            window.ends.push(end);
        }
        window
    }

    /// Whether it has scrapes of some target.
    pub(super) fn has_scrapes(&self) -> bool {
        self.has_scrapes
    }

    /// Whether something lies beyond it already.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Reads from its beginning.
    pub(super) fn rewind(&mut self) {
        self.next = 0;
        self.lost = 0;
        self.samples_passed_over = 0;
        self.explicit.clear();
        self.exemplars = None;
    }

    /// Samples that the memory limit had taken, at most.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Samples that were passed over, at least.
    pub(super) fn samples_passed_over(&self) -> u64 {
        self.samples_passed_over
    }

    /// Where a clock ends for this window.
    fn end_of(&self, clock: &Clock, from: i64) -> i64 {
        let samples_max = i64::try_from(self.options.samples_max).unwrap_or(i64::MAX);
        let end = clock.next_tick().min(from.saturating_add(samples_max));
        let Some(interval_ms) = self.options.interval_ms else {
            return end;
        };
        let (Some(last), Some(first)) = (clock.last(), clock.at(from)) else {
            return end;
        };
        let whole_ms = self.whole_until_ms(last.time_ms, interval_ms);
        let end_ms = clock.at(end).map_or(i64::MAX, |entry| entry.time_ms);
        // One interval at least, however many scrapes it has.
        let cut_ms =
            floor(end_ms, interval_ms).max(floor(first.time_ms, interval_ms) + interval_ms);
        clock.tick_after(whole_ms.min(cut_ms) - 1)
    }

    /// The end of the newest interval that gets no more samples, where the newest sample is this old: whoever gives none
    /// for a whole interval gives none for the one before.
    fn whole_until_ms(&self, newest_ms: i64, interval_ms: i64) -> i64 {
        let overdue_ms = floor(self.options.now.ms() - interval_ms, interval_ms);
        floor(newest_ms, interval_ms).max(overdue_ms)
    }

    fn end(&self, clock: ClockId) -> i64 {
        self.ends.get(clock.index()).copied().unwrap_or(i64::MIN)
    }

    /// Reads some series and shows those that have samples.
    pub(super) fn read(
        &mut self,
        store: &RwLock<Store>,
        cursor: &Cursor,
        passed_over: &mut PassedOver,
        visit: &mut dyn FnMut(FedSeries<'_>) -> Interest,
    ) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        batch.series.clear();
        batch.runs.clear();
        {
            let store = store.read();
            let rows_end = self.id_end.min(self.next.saturating_add(READ_BATCH_ROWS));
            let rows_end = rows_end.min(store.series.id_end());
            while self.next < rows_end && batch.series.len() < READ_BATCH_SERIES {
                let id = SeriesId(self.next);
                self.next += 1;
                match passed_over.contains(&store.series, id) {
                    true => self.pass_over(&store, cursor, id),
                    false => self.copy(&store, cursor, id, &mut batch),
                }
            }
            if self.next >= store.series.id_end() {
                self.next = self.id_end;
            }
        }
        let Batch {
            series,
            runs,
            samples,
        } = &mut batch;
        for copied in series.iter() {
            self.decode(&runs[copied.runs.clone()], samples);
            if let Some(histograms) = &copied.histograms {
                fill_histograms(samples, histograms);
            }
            if samples.times_ms.is_empty() {
                continue;
            }
            let interest = visit(FedSeries {
                number: copied.id.0,
                labels: &copied.labels,
                samples,
            });
            if interest == Interest::Never {
                passed_over.add(copied.id, copied.removals);
            }
        }
        self.batch = batch;
        self.next < self.id_end
    }

    /// Counts the samples of a series in which there is no interest, and moves past them.
    fn pass_over(&mut self, store: &Store, cursor: &Cursor, id: SeriesId) {
        let row = store.series.row(id);
        match row.clock {
            ClockId::NONE => {}
            ClockId::EXPLICIT => {
                let taken_ms = cursor.explicit.get(&id).copied().unwrap_or(i64::MIN);
                if row.since > taken_ms {
                    self.samples_passed_over += 1;
                    self.explicit.push((id, row.since));
                }
            }
            clock if row.is_present() => {
                let from = cursor.tick(clock).max(row.since);
                self.samples_passed_over += (self.end(clock) - from).max(0) as u64;
            }
            _ => {}
        }
    }

    /// Copies the runs of a series that the window holds.
    fn copy(&mut self, store: &Store, cursor: &Cursor, id: SeriesId, batch: &mut Batch) {
        let row = *store.series.row(id);
        let first = batch.runs.len();
        match row.clock {
            ClockId::NONE => return,
            ClockId::EXPLICIT => self.copy_explicit(store, cursor, id, batch),
            clock => {
                let from = cursor.tick(clock);
                let idle = from >= self.end(clock) || (!row.is_present() && row.since < from);
                let newest_only = self.is_level && store.newest_block_reaches(id, from);
                if newest_only && idle {
                    return;
                }
                if !newest_only {
                    self.lost += self.lost_of(store, id, from);
                }
                let keep = |run: ValueRun| {
                    if run.clock != ClockId::EXPLICIT && self.holds(cursor, &run) {
                        batch.runs.push(run);
                    }
                };
                match newest_only {
                    true => store.newest_runs(id, from, keep),
                    false => store.each_run(id, from, keep),
                }
            }
        }
        if batch.runs.len() == first {
            return;
        }
        let (mut after_ms, mut until_ms) = (i64::MAX, i64::MIN);
        for run in &batch.runs[first..] {
            let times_ms = self.times(store, cursor, run);
            after_ms = after_ms.min(times_ms.0);
            until_ms = until_ms.max(times_ms.1);
        }
        batch.series.push(Copied {
            id,
            removals: store.series.removals_near(id),
            labels: store.series.labels(id),
            runs: first..batch.runs.len(),
            histograms: store.native_histograms.between(id, after_ms, until_ms),
        });
    }

    /// Ticks of the window that a series on a clock has no samples of, where the memory limit took history of their times.
    fn lost_of(&self, store: &Store, id: SeriesId, from: i64) -> u64 {
        let row = store.series.row(id);
        let clock = &store.clocks[row.clock.index()];
        let from = from.max(clock.first_tick());
        let Some(until_ms) = store.dropped.history_until_ms else {
            return 0;
        };
        let dropped_until = clock.tick_after(until_ms).min(self.end(row.clock));
        let held_from = store.oldest_tick(id).unwrap_or(row.since);
        (dropped_until.min(held_from) - from).max(0) as u64
    }

    /// Whether a part of a run is in the window.
    fn holds(&self, cursor: &Cursor, run: &ValueRun) -> bool {
        let (from, end) = (cursor.tick(run.clock), self.end(run.clock));
        match run.bits {
            // A stale marker stands where the run begins.
            STALE => (from..end).contains(&run.first_tick),
            _ => run.end_tick > from && run.first_tick < end && from < end,
        }
    }

    /// The samples of a series with explicit timestamps: each is a run of one.
    fn copy_explicit(&mut self, store: &Store, cursor: &Cursor, id: SeriesId, batch: &mut Batch) {
        let taken_ms = cursor.explicit.get(&id).copied().unwrap_or(i64::MIN);
        let since = store.series.row(id).since;
        if since <= taken_ms {
            return;
        }
        let until_ms = match self.options.interval_ms {
            Some(interval_ms) => self.whole_until_ms(since, interval_ms),
            None => i64::MAX,
        };
        let (first, samples_max) = (batch.runs.len(), self.options.samples_max);
        let mut is_cut = false;
        store.each_run(id, taken_ms.saturating_add(1), |run| {
            if run.clock != ClockId::EXPLICIT || run.first_tick <= taken_ms {
                return;
            }
            match run.first_tick < until_ms && batch.runs.len() - first < samples_max {
                true => batch.runs.push(run),
                false => is_cut = true,
            }
        });
        self.is_cut |= is_cut;
        if let Some(last) = batch.runs[first..].last() {
            self.explicit.push((id, last.first_tick));
        }
    }

    /// The times between which the samples of a run lie; the first is before them.
    fn times(&mut self, store: &Store, cursor: &Cursor, run: &ValueRun) -> (i64, i64) {
        if run.clock == ClockId::EXPLICIT {
            return (run.first_tick - 1, run.first_tick);
        }
        let (from, end) = (cursor.tick(run.clock), self.end(run.clock));
        let copy = || Ticks::between(&store.clocks[run.clock.index()], from, end);
        let ticks = self.ticks.entry(run.clock.0).or_insert_with(copy);
        ticks.span_ms()
    }

    fn decode(&self, runs: &[ValueRun], samples: &mut Samples) {
        samples.clear();
        for run in runs {
            if run.clock == ClockId::EXPLICIT {
                samples.times_ms.push(run.first_tick);
                samples.values.push(f64::from_bits(run.bits));
                continue;
            }
            let Some(ticks) = self.ticks.get(&run.clock.0) else {
                continue;
            };
            match run.bits {
                STALE => ticks.push_absent(run.first_tick, samples),
                bits => ticks.push_run(run.first_tick, run.end_tick, bits, samples),
            }
        }
    }

    /// Moves the cursor past what was read.
    pub(super) fn advance(self, cursor: &mut Cursor) {
        cursor.ticks = self.ends;
        cursor.explicit.extend(self.explicit);
        if let Some(exemplars) = self.exemplars {
            cursor.exemplars = exemplars;
        }
    }
}

fn floor(time_ms: i64, interval_ms: i64) -> i64 {
    time_ms - time_ms.rem_euclid(interval_ms.max(1))
}

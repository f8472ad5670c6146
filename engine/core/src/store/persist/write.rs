//! Writes what was copied.

use std::sync::Arc;

use parking_lot::RwLock;

use super::bits::put_runs;
use super::copy::{Copied, CopiedSeries, Copier, Texts, Wanted};
use super::numbers::put_gone;
use super::{ClockWriter, Cut};
use crate::ids::ClockId;
use crate::store::codec::STALE;
use crate::store::epoch_reclaim::Pin;
use crate::store::persist_histograms;
use crate::store::store::Store;
use crate::store::symbol::Symbol;
use crate::store::value_runs::ValueRun;
use crate::waits::Durations;
use crate::wire::{put_list, put_text, put_u};

/// How long the lock is held.
#[derive(Default)]
struct Holds {
    now_ns: Option<fn() -> u64>,
    took: Arc<Durations>,
}

impl Holds {
    fn hold<T>(&self, store: &RwLock<Store>, work: impl FnOnce(&Store) -> T) -> T {
        let store = store.read();
        let began = self.now_ns.map(|now_ns| (now_ns, now_ns()));
        let done = work(&store);
        if let Some((now_ns, began)) = began {
            self.took.record(now_ns().saturating_sub(began));
        }
        done
    }
}

/// Writes clocks and series, some at a time.
pub(crate) struct SeriesWriter {
    cut: Cut,
    /// That of the part before; what was written then is left out.
    before: Cut,
    /// Whether this is the first part of a file.
    is_start: bool,
    clocks: ClockWriter,
    copier: Copier,
    copied: Copied,
    texts: Texts,
    /// Whether series are left to be copied.
    has_more: bool,
    /// The number written last in the section.
    number: i64,
    runs: Vec<ValueRun>,
    holds: Holds,
    /// No symbol gets another text meanwhile.
    _pins: [Pin; 2],
}

impl SeriesWriter {
    /// The cut is now. What came before another one is left out, but for what the first part of a file needs.
    pub(crate) fn new(store: &Store, mut before: Cut, is_start: bool) -> SeriesWriter {
        let mut cut = Cut::of(store);
        if !is_start {
            cut.numbers = std::mem::take(&mut before.numbers);
        }
        SeriesWriter {
            cut,
            before,
            is_start,
            clocks: ClockWriter::default(),
            copier: Copier::default(),
            copied: Copied::default(),
            texts: Texts::default(),
            has_more: true,
            number: 0,
            runs: Vec::new(),
            holds: Holds::default(),
            _pins: store.series.pin(),
        }
    }

    /// All is written: its cut.
    pub(crate) fn into_cut(self) -> Cut {
        self.cut
    }

    /// Measures the holds of the lock by this clock.
    pub(crate) fn time_holds(&mut self, now_ns: fn() -> u64) -> Arc<Durations> {
        self.holds.now_ns = Some(now_ns);
        Arc::clone(&self.holds.took)
    }

    /// Writes scrapes of a clock, or nothing. The lock is held once. False: there are no more clocks.
    pub(crate) fn clock(&mut self, store: &RwLock<Store>, out: &mut Vec<u8>) -> bool {
        let cuts = (&self.before, &self.cut);
        let clocks = &mut self.clocks;
        let copy = |store: &Store| clocks.copy(store, cuts, self.is_start);
        let is_told = self.holds.hold(store, copy);
        if let Some(Some((number, first))) = is_told {
            self.clocks.put(number, first, out);
        }
        is_told.is_some()
    }

    /// Writes some series, or nothing, because they were copied in part only. The lock is held once. False: there are no
    /// more.
    pub(crate) fn step(&mut self, store: &RwLock<Store>, out: &mut Vec<u8>) -> bool {
        if out.is_empty() {
            self.number = 0;
        }
        if self.texts.is_missing() {
            self.holds.hold(store, |store| self.texts.copy(store));
        } else if self.has_more {
            let mut wanted = Wanted {
                before: &self.before,
                cut: &mut self.cut,
                is_start: self.is_start,
            };
            let copied = &mut self.copied;
            let copier = &mut self.copier;
            let copy = |store: &Store| copier.copy(store, &mut wanted, copied);
            self.has_more = self.holds.hold(store, copy);
            if self.copier.is_within_series() {
                return true;
            }
            self.want_texts();
        }
        if self.texts.is_missing() {
            return true;
        }
        let mut copied = std::mem::take(&mut self.copied);
        for series in &copied.series {
            self.series(&copied, series, out);
        }
        copied.clear();
        self.copied = copied;
        self.has_more
    }

    /// Writes some of the numbers of series that are gone, after all series. False: there are no more.
    pub(crate) fn gone(&mut self, out: &mut Vec<u8>) -> bool {
        if !self.copier.gone.is_empty() {
            put_gone(&mut self.copier.gone, out);
        }
        !self.copier.gone.is_empty()
    }

    fn want_texts(&mut self) {
        for series in &self.copied.series {
            if self.known_number(&self.copied, series).is_none() {
                for (name, value) in self.copied.pairs(series) {
                    self.texts.want(*name);
                    self.texts.want(*value);
                }
            }
        }
    }

    /// Writes a series, if anything of it is new.
    fn series(&mut self, copied: &Copied, series: &CopiedSeries, out: &mut Vec<u8>) {
        let mut runs = std::mem::take(&mut self.runs);
        runs.clear();
        let (mut is_over, mut is_new) = (false, false);
        copied.each_run(series, |run| {
            is_over |= run.first_tick >= self.cut.end(run.clock);
            if is_over {
                return;
            }
            // Runs are in the order of time, so with one that began before the cut all before it were written, though they
            // may have times of their own, of which there is no cut.
            match run.first_tick >= self.end_before(series, run.clock) {
                true => is_new = true,
                false if run.clock != ClockId::EXPLICIT => is_new = false,
                false => {}
            }
            if !is_new {
                runs.clear(); // only the last of those that were written is of use
            }
            runs.push(run);
        });
        // One that has gone to another clock since the cut may have been absent before: its old clock has no run of that.
        let absent = runs
            .last()
            .copied()
            .filter(|run| run.clock != ClockId::EXPLICIT && run.end_tick < self.cut.end(run.clock));
        if let Some(run) = absent.filter(|run| run.bits != STALE) {
            is_new |= run.end_tick >= self.end_before(series, run.clock);
            if !is_new {
                runs.clear();
            }
            runs.push(ValueRun {
                first_tick: run.end_tick,
                end_tick: i64::MAX,
                bits: STALE,
                ..run
            });
        }
        let histograms = copied.histograms(series);
        let shows = runs.last().is_some_and(|run| run.bits != STALE);
        if !runs.is_empty() && (is_new || shows && (self.is_start || !histograms.is_empty())) {
            self.head(copied, series, &runs, out);
            persist_histograms::put(histograms.iter(), out);
        }
        self.runs = runs;
    }

    /// The tick or time from which on a run of the series was not written before.
    fn end_before(&self, series: &CopiedSeries, clock: ClockId) -> i64 {
        match clock {
            ClockId::EXPLICIT => series.own_before,
            clock => self.before.end(clock),
        }
    }

    /// The number of a series that goes on from the run that was current at the cut before. Whoever reads has that run; here it
    /// may have been dropped meanwhile.
    fn known_number(&self, copied: &Copied, series: &CopiedSeries) -> Option<i64> {
        let number = self.cut.numbers.get(series.id, series.generation)?;
        let (clock, tick) = copied.first(series)?;
        let has_run = clock != ClockId::EXPLICIT && tick < self.before.end(clock);
        has_run.then_some(i64::from(number))
    }

    /// Writes which series it is, and its runs.
    fn head(&mut self, copied: &Copied, of: &CopiedSeries, runs: &[ValueRun], out: &mut Vec<u8>) {
        match (self.known_number(copied, of), runs) {
            (Some(number), [known, new @ ..]) => {
                let difference = number - self.number;
                self.number = number;
                put_u(out, 1 + (((difference << 1) ^ (difference >> 63)) as u64));
                put_runs(Some(*known), new, out);
            }
            _ => {
                put_u(out, 0);
                let pairs = copied.pairs(of);
                put_list(out, pairs.iter(), |out, (name, value)| {
                    self.text(*name, out);
                    self.text(*value, out);
                });
                self.number = i64::from(self.cut.numbers.give(of.id, of.generation));
                put_runs(None, runs, out);
            }
        }
        // Where it is absent it may be dropped, and so may one whose samples have times of their own.
        match runs.last() {
            Some(run) if run.bits != STALE && run.clock == ClockId::EXPLICIT => {
                self.cut.numbers.tell_labels(of.id);
            }
            Some(run) if run.bits != STALE => {}
            _ => self.cut.numbers.forget(of.id),
        }
    }

    fn text(&mut self, symbol: Symbol, out: &mut Vec<u8>) {
        let (number, text) = self.texts.number(symbol);
        put_u(out, number);
        if let Some(text) = text {
            put_text(out, &text);
        }
    }
}

//! Leaves that read ranges: the samples of each series' window, kept from page to page.
//!
//! Every good scrape has a running number per target (`Ticks`), which is the place of a series' sample in its ring. The
//! sample of the newest page is taken from the row of the series; history is read only for series that are new here (`bind`),
//! and after several pages without an evaluation.
//!
//! Budget: 100 ns a series where the function looks at bits (measured: `rate` 43, `max_over_time` 18), 15 ns a sample
//! where it goes over them (60 samples: `avg` 126 ns, `deriv` 530, `stddev` 720; bench `query`, group `compiled`).

mod bind;

use crate::store::{ClockId, HISTOGRAM, SeriesId, ValueRun};

use super::fold::{Folds, Step};
use super::halt::{Blocked, Halt};
use super::range::{Function, Samples};
use super::summed::Summed;
use super::ticks::Ticks;
use super::vector::Vector;
use super::visibility::EvalSnapshot;

/// The series of one leaf and their samples.
pub(super) struct Window {
    clocks: Vec<Ticks>,
    series: Vec<Series>,
    /// Series in a row of one clock and group.
    spans: Vec<Span>,
    /// Behind the spans: series that are read as their sums.
    sums: Vec<Summed>,
    /// By series, then by sum: the last step of a subquery at which it had a value.
    seen: Vec<u64>,
    samples: Samples,
}

#[derive(Clone, Copy, Debug)]
struct Series {
    id: SeriesId,
    column: u32,
    clamp_negative: bool,
    /// It has disappeared from the page, and its id may belong to another series by now. If it appears again, the structure
    /// changes.
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    clock: u32,
    group: u32,
    end: usize,
    /// Its series are no elements, but parts of a sum.
    of_sum: bool,
}

impl Window {
    pub(super) fn new(function: Function) -> Window {
        Window {
            clocks: Vec::new(),
            series: Vec::new(),
            spans: Vec::new(),
            sums: Vec::new(),
            seen: Vec::new(),
            samples: Samples::new(function, 0),
        }
    }

    pub(super) fn series_count(&self) -> usize {
        self.series.len()
    }

    pub(super) fn clocks(&self) -> &[Ticks] {
        &self.clocks
    }

    /// How long ago a sample may be that any of its windows has.
    pub(super) fn span_ms(&self) -> i64 {
        self.samples.function.span_ms()
    }

    pub(super) fn bytes(&self) -> usize {
        self.samples.bytes() + Ticks::bytes_for(self.samples.rings.places()) * self.clocks.len()
    }

    /// Removes every sample.
    pub(super) fn forget(&mut self) {
        *self = Window::new(self.samples.function);
    }

    /// Reads the samples `from..until` of a series from history. Error: some visible sample belongs to another target, whose
    /// scrape times differ, or is a native histogram.
    fn read(
        &mut self,
        clock: u32,
        series: &Series,
        (from, until): (u64, u64),
        snapshot: &EvalSnapshot<'_>,
    ) -> Result<(), Blocked> {
        let mut read = Ok(());
        let span_ms = self.samples.function.span_ms();
        let mut at = from;
        let from_tick = self.clocks[clock as usize].tick(from.min(until.saturating_sub(1)));
        snapshot
            .store
            .each_run(series.id, from_tick, |run: ValueRun| {
                let ticks = &self.clocks[clock as usize];
                if run.clock != ticks.clock {
                    if is_visible(&run, snapshot, span_ms) {
                        read = Err(OF_ANOTHER);
                    }
                    return;
                }
                while at < until && ticks.tick(at) < run.first_tick {
                    self.samples.rings.put_absent(series.column, at);
                    at += 1;
                }
                while at < until && self.clocks[clock as usize].tick(at) < run.end_tick {
                    if run.bits == HISTOGRAM {
                        read = Err(HAS_HISTOGRAMS);
                    }
                    self.samples
                        .append(series.column, at, run.bits, series.clamp_negative);
                    at += 1;
                }
            });
        read
    }

    /// Adds the samples since the last evaluation.
    pub(super) fn sync(&mut self, snapshot: &EvalSnapshot<'_>) -> Result<(), Halt> {
        let reach = self.samples.function.reach();
        for ticks in &mut self.clocks {
            ticks.advance(&snapshot.store.clocks[ticks.clock.index()], reach)?;
        }
        let mut at = 0;
        for index in 0..self.spans.len() {
            let span = self.spans[index];
            let ticks = &self.clocks[span.clock as usize];
            let (clock, news) = (ticks.clock, ticks.news());
            if news.0 == news.1 {
                at = span.end;
                continue;
            }
            let first_tick = ticks.tick(news.0);
            while at < span.end {
                let mut series = self.series[at];
                let row = snapshot.store.series.row(series.id);
                let ended = series.ended || row.clock != clock;
                if !ended && row.since > first_tick {
                    // Several pages have passed, and it changed in one that is not the first of them.
                    self.read(span.clock, &series, news, snapshot)
                        .map_err(|_| Halt::Unbound)?;
                } else if !ended && row.bits == HISTOGRAM {
                    return Err(Halt::Unbound);
                } else {
                    let sample = if ended { crate::store::STALE } else { row.bits };
                    for number in news.0..news.1 {
                        self.samples
                            .append(series.column, number, sample, series.clamp_negative);
                    }
                }
                series.ended = ended || !row.is_present();
                self.series[at] = series;
                at += 1;
            }
        }
        for sum in &self.sums {
            let news = self.clocks[sum.clock as usize].news();
            sum.append(&mut self.samples, news);
        }
        Ok(())
    }

    /// Adds the function of each series' window to its group.
    pub(super) fn fold(&mut self, snapshot: &EvalSnapshot<'_>, step: Step, folds: &mut Folds) {
        for ticks in &mut self.clocks {
            ticks.set_window(snapshot, &self.samples.function);
        }
        let mut at = 0;
        for index in 0..self.spans.len() {
            let span = self.spans[index];
            let ticks = &self.clocks[span.clock as usize];
            if ticks.is_visible() && !span.of_sum {
                for member in at..span.end {
                    let column = self.series[member].column;
                    if let Some(value) = self.samples.value(ticks, column) {
                        folds.add(step, span.group, value);
                        if let Some(step) = snapshot.step {
                            self.seen[member] = step;
                        }
                    }
                }
            }
            at = span.end;
        }
        for (index, sum) in self.sums.iter().enumerate() {
            let ticks = &self.clocks[sum.clock as usize];
            let value = match ticks.is_visible() {
                true => self.samples.value(ticks, sum.column()),
                false => None,
            };
            if let Some(value) = value {
                folds.add(step, sum.group, value);
                if let Some(step) = snapshot.step {
                    self.seen[at + index] = step;
                }
            }
        }
    }

    /// Forgets which series had values at earlier steps.
    pub(super) fn forget_steps(&mut self) {
        self.seen.fill(0);
    }

    /// Puts the groups into the order of their first series that have a value at any step from `first_step` on.
    pub(super) fn place(&self, first_step: u64, out: &mut Vector) {
        let mut at = 0;
        for span in &self.spans {
            let mut seen = self.seen[at..span.end].iter();
            if seen.any(|seen| *seen >= first_step) {
                out.place(span.group, first_step);
            }
            at = span.end;
        }
        for (sum, seen) in self.sums.iter().zip(&self.seen[at..]) {
            if *seen >= first_step {
                out.place(sum.group, first_step);
            }
        }
    }
}

const OF_ANOTHER: Blocked = Blocked::ForNow("a series has samples of another target in its window");

const HAS_HISTOGRAMS: Blocked = Blocked::ForNow("a series has native histograms in its window");

/// Whether a run on another clock than the series' own is visible in the window.
fn is_visible(run: &ValueRun, snapshot: &EvalSnapshot<'_>, span_ms: i64) -> bool {
    if run.bits == crate::store::STALE {
        return false;
    }
    if run.clock == ClockId::EXPLICIT {
        return true;
    }
    let Some(last) = snapshot.store.clocks[run.clock.index()].at(run.end_tick - 1) else {
        return false;
    };
    let target = snapshot.facts.target_of(run.clock);
    let end_ms = target
        .and_then(|target| target.last_good_ms)
        .unwrap_or(snapshot.at_ms)
        .min(snapshot.at_ms);
    last.time_ms > end_ms.saturating_sub(span_ms)
}

//! How samples come into a window: from the newest page where one page has passed, otherwise from history.

use super::super::halt::{Blocked, Halt};
use super::super::visibility::EvalSnapshot;
use super::{Series, Window};
use crate::store::{ClockId, HISTOGRAM, STALE, ValueRun};

impl Window {
    /// Adds the samples since the last evaluation.
    pub(in super::super) fn sync(&mut self, snapshot: &EvalSnapshot<'_>) -> Result<(), Halt> {
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
                    let sample = if ended { STALE } else { row.bits };
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

    /// Reads the samples `from..until` of a series from history. Error: some visible sample belongs to another target, whose
    /// scrape times differ, or is a native histogram.
    pub(super) fn read(
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
}

const OF_ANOTHER: Blocked = Blocked::ForNow("a series has samples of another target in its window");

const HAS_HISTOGRAMS: Blocked = Blocked::ForNow("a series has native histograms in its window");

/// Whether a run on another clock than the series' own is visible in the window.
fn is_visible(run: &ValueRun, snapshot: &EvalSnapshot<'_>, span_ms: i64) -> bool {
    if run.bits == STALE {
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

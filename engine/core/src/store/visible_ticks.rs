//! The part of one clock that a query sees: translates ticks into times, and applies the view's treatment of failed
//! scrapes.

use super::clock::{Clock, ScrapeEntry};
use super::codec::{Encoded, STALE};
use crate::promql::select::Samples;

/// How a view presents the series of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockVisibility {
    /// As scraped: a failed scrape ends the series, as in Prometheus.
    AsScraped,
    /// Without failed scrapes, and shifted later by this many milliseconds.
    Delayed(i64),
    /// Not at all.
    Hidden,
}

/// The range of a clock that a query reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockWindow {
    /// Later than this, in milliseconds ...
    pub(crate) after_ms: i64,
    /// ... and no later than this.
    pub(crate) until_ms: i64,
    /// Before this tick: the end of the clock when the query began.
    pub(crate) end: i64,
    /// How the clock's series are presented.
    pub(crate) clock_visibility: ClockVisibility,
}

/// The visible times of a clock.
#[derive(Default)]
pub(crate) struct Ticks {
    /// The tick of `times_ms[0]`.
    pub(crate) first: i64,
    times_ms: Vec<i64>,
    /// Ticks of failed scrapes, ascending.
    failed: Vec<i64>,
    /// Whether the scrape before the first was good.
    good_before: bool,
    /// Whether a failed scrape ends a series.
    failure_ends: bool,
}

impl Ticks {
    pub(crate) fn copy(clock: &Clock, window: ClockWindow, buffer: &mut Vec<ScrapeEntry>) -> Ticks {
        let later_ms = match window.clock_visibility {
            ClockVisibility::AsScraped => 0,
            ClockVisibility::Delayed(ms) => ms,
            ClockVisibility::Hidden => return Ticks::default(),
        };
        let first = clock.tick_after(window.after_ms.saturating_sub(later_ms));
        let end = window
            .end
            .min(clock.tick_after(window.until_ms.saturating_sub(later_ms)));
        buffer.clear();
        clock.copy(first, end, buffer);
        let failed = buffer.iter().enumerate().filter(|(_, entry)| !entry.good);
        Ticks {
            first,
            times_ms: buffer
                .iter()
                .map(|entry| entry.time_ms + later_ms)
                .collect(),
            failed: failed.map(|(at, _)| first + at as i64).collect(),
            good_before: clock.at(first - 1).is_none_or(|entry| entry.good),
            failure_ends: window.clock_visibility == ClockVisibility::AsScraped,
        }
    }

    /// The ticks `from..end` of a clock as scraped, as far as it still knows them.
    pub(crate) fn between(clock: &Clock, from: i64, end: i64) -> Ticks {
        let first = from.max(clock.first_tick());
        let mut entries = Vec::new();
        clock.copy(first, end, &mut entries);
        let failed = entries.iter().enumerate().filter(|(_, entry)| !entry.good);
        Ticks {
            first,
            times_ms: entries.iter().map(|entry| entry.time_ms).collect(),
            failed: failed.map(|(at, _)| first + at as i64).collect(),
            good_before: clock.at(first - 1).is_none_or(|entry| entry.good),
            failure_ends: true,
        }
    }

    /// The times between which they lie, the first before them: `(i64::MAX, i64::MIN)` where there are none.
    pub(crate) fn span_ms(&self) -> (i64, i64) {
        match (self.times_ms.first(), self.times_ms.last()) {
            (Some(first), Some(last)) => (first - 1, *last),
            _ => (i64::MAX, i64::MIN),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.times_ms.len()
    }

    pub(crate) fn end(&self) -> i64 {
        self.first + self.times_ms.len() as i64
    }

    /// The newest tick at which a present series has a sample: the last tick if its scrape was good. After a failed
    /// scrape it is the last good tick, or none where a failure ends series.
    pub(crate) fn newest_good(&self) -> Option<(i64, i64)> {
        let mut tick = self.end() - 1;
        for &failed in self
            .failed
            .iter()
            .rev()
            .take_while(|&&failed| failed >= self.first)
        {
            if failed != tick {
                break;
            }
            if self.failure_ends {
                return None;
            }
            tick -= 1;
        }
        (tick >= self.first).then(|| (tick, self.times_ms[(tick - self.first) as usize]))
    }

    /// The series was absent from `tick` on: adds one stale marker, as Prometheus writes it.
    pub(crate) fn push_absent(&self, tick: i64, samples: &mut Samples) {
        if (self.first..self.end()).contains(&tick) {
            samples
                .times_ms
                .push(self.times_ms[(tick - self.first) as usize]);
            samples.values.push(f64::from_bits(STALE));
        }
    }

    /// Adds the runs of a block that begins at `tick`.
    pub(crate) fn push_ops(&self, tick: i64, ops: Encoded<'_>, samples: &mut Samples) {
        let mut tick = tick;
        if !self.failed.is_empty() {
            return ops.each(|bits, gap| {
                match bits {
                    STALE => self.push_absent(tick, samples),
                    bits => self.push_run(tick, tick.wrapping_add(gap), bits, samples),
                }
                tick = tick.wrapping_add(gap);
            });
        }
        // Ticks whose values are there and whose times are not yet.
        let (mut from, mut until) = (self.first, self.first);
        ops.each(|bits, gap| {
            let next = tick.wrapping_add(gap);
            if bits == STALE {
                self.push_times(from, until, samples);
                self.push_absent(tick, samples);
                (from, until) = (next, next);
            } else {
                let (start, end) = (tick.max(self.first), next.min(self.end()));
                if start < end {
                    if from == until {
                        from = start;
                    }
                    until = end;
                    let value = f64::from_bits(bits);
                    match end - start {
                        1 => samples.values.push(value),
                        more => {
                            let len = samples.values.len() + more as usize;
                            samples.values.resize(len, value);
                        }
                    }
                }
            }
            tick = next;
        });
        self.push_times(from, until, samples);
    }

    fn push_times(&self, from: i64, until: i64, samples: &mut Samples) {
        if from < until {
            let times = &self.times_ms[(from - self.first) as usize..(until - self.first) as usize];
            samples.times_ms.extend_from_slice(times);
        }
    }

    /// The series had the value `bits` in the ticks `tick..end`; failed scrapes in between are left out.
    pub(crate) fn push_run(&self, tick: i64, end: i64, bits: u64, samples: &mut Samples) {
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
        // A run that begins before the window was ended there already, where the scrape before it failed.
        let mut good_before = start > self.first || self.good_before;
        let mut at = start;
        for &failed in self.failed[from_failed..]
            .iter()
            .take_while(|&&failed| failed < end)
        {
            self.push_good(at, failed, bits, samples);
            if self.failure_ends && (failed > at || good_before) {
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

//! When the processes behind a page started, as its series `process_start_time_seconds` tell (S6a, S6e).

use crate::limits::STARTS_PER_TARGET_MAX;
use crate::store::SeriesId;

/// The start times of a page.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// The series of the page, as far as there is place, each with its value.
    series: Vec<(SeriesId, Option<u64>)>,
    /// One of several of them has left the page that is being taken.
    one_left: bool,
    /// The value of the only one, or of the last that was the only one while the page has none.
    only: Option<u64>,
    /// The newest of them, in milliseconds.
    newest_ms: Option<i64>,
}

impl Starts {
    /// What a snapshot keeps: the value of the only one, and when the newest process started.
    pub(super) fn restored(only: Option<u64>, newest_ms: Option<i64>) -> Starts {
        Starts {
            only,
            newest_ms,
            ..Starts::default()
        }
    }

    pub(super) fn only(&self) -> Option<u64> {
        self.only
    }

    /// Adds a series of the page.
    pub(super) fn add(&mut self, series: SeriesId) {
        if self.series.len() < STARTS_PER_TARGET_MAX {
            self.series.push((series, None));
        }
    }

    /// Adds those of another.
    pub(super) fn add_all(&mut self, others: Starts) {
        others
            .series
            .iter()
            .for_each(|(series, _)| self.add(*series));
    }

    /// Removes series that have left the page.
    pub(super) fn remove(&mut self, has_left: impl Fn(SeriesId) -> bool) {
        let before = self.series.len();
        self.series.retain(|(series, _)| !has_left(*series));
        self.one_left |= before > 1 && self.series.len() < before;
    }

    /// Whether the page has none.
    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Whether the page speaks for several processes.
    pub(super) fn are_several(&self) -> bool {
        self.series.len() > 1
    }

    /// Whether the only process is another than before, by the value of its series; `None` where the page does not say.
    pub(super) fn is_other(&self, value: impl Fn(SeriesId) -> f64) -> Option<bool> {
        let [(series, bits)] = self.series[..] else {
            return None;
        };
        let now = value(series).to_bits();
        let before = bits.or(self.only);
        Some(before.is_some_and(|before| !is_same_start(before, now)))
    }

    /// Whether one of several is another, on a page on which these series have left and that has these values.
    pub(super) fn is_one_other(
        &self,
        value: impl Fn(SeriesId) -> f64,
        has_left: impl Fn(SeriesId) -> bool,
    ) -> bool {
        let is_other = |(series, bits): &(SeriesId, Option<u64>)| {
            let other = |before| !is_same_start(before, value(*series).to_bits());
            has_left(*series) || bits.is_some_and(other)
        };
        self.are_several() && self.series.iter().any(is_other)
    }

    /// Takes the values of a page. Whether one of several is another than before, or has left.
    pub(super) fn update(&mut self, value: impl Fn(SeriesId) -> f64, wall_offset_ms: i64) -> bool {
        let are_several = self.are_several();
        let mut changed = std::mem::take(&mut self.one_left);
        let only = self.only.filter(|_| !are_several); // of which of them would it be
        let mut newest_ms = None;
        for (series, bits) in &mut self.series {
            let now = value(*series).to_bits();
            let before = bits.or(only);
            let is_other = before.is_some_and(|before| !is_same_start(before, now));
            changed |= is_other && are_several;
            // Of a start that wavers the first one stays, so that it cannot move away in small steps.
            let kept = before.filter(|_| !is_other).unwrap_or(now);
            *bits = Some(kept);
            newest_ms = newest_ms.max(started_ms(kept));
        }
        self.only = match self.series[..] {
            [] => self.only,
            [(_, bits)] => bits,
            _ => None,
        };
        if !self.series.is_empty() {
            self.newest_ms = newest_ms.map(|ms| ms.saturating_sub(wall_offset_ms));
        }
        changed
    }

    /// When the newest process behind the page started, in milliseconds.
    pub(super) fn newest_ms(&self) -> Option<i64> {
        self.newest_ms
    }

    /// The same of the only one.
    pub(super) fn only_ms(&self) -> Option<i64> {
        self.only.and(self.newest_ms)
    }
}

/// Whether two start times are of one process. On Linux it is counted in hundredths of a second from the kernel's time of boot,
/// which clients read again at each scrape and which moves by a whole second where the clock is corrected
/// (prometheus/client_golang#289).
fn is_same_start(before: u64, now: u64) -> bool {
    let (before_s, now_s) = (f64::from_bits(before), f64::from_bits(now));
    let difference_s = (before_s - now_s).abs();
    // Who tells whole seconds counts otherwise.
    let wavers = now_s.fract() != 0.0
        && difference_s <= 1.5
        && (difference_s - difference_s.round()).abs() < 0.005;
    before == now || wavers
}

/// The start time of a process in milliseconds, from the value of `process_start_time_seconds`; `None` if it cannot be
/// one.
fn started_ms(bits: u64) -> Option<i64> {
    let seconds = f64::from_bits(bits);
    (seconds > 0.0 && seconds < STARTED_S_MAX).then_some((seconds * 1000.0) as i64)
}

/// The year 5138; a later start time is taken for garbage.
const STARTED_S_MAX: f64 = 1e11;

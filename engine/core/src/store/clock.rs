//! The scrape times of a target, shared by all its series.
//!
//! Each scrape has a *tick*, its running number. A series stores ticks; the clock translates them into times. An
//! entry also records whether the scrape was good. A failed scrape ends every series of the clock there: Prometheus
//! writes a stale marker into each series, here it is one bit, which the view for signals can ignore.

use std::collections::VecDeque;

use crate::limits::CLOCK_ENTRIES_MAX;

/// Scrape times of one target, oldest first.
#[derive(Default)]
pub(crate) struct Clock {
    /// Tick of the first entry.
    first: i64,
    /// Time in milliseconds, doubled, plus one where the scrape failed.
    entries: VecDeque<i64>,
}

/// One scrape: its time and whether it was good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScrapeEntry {
    pub(crate) time_ms: i64,
    pub(crate) good: bool,
}

fn unpack(packed: i64) -> ScrapeEntry {
    ScrapeEntry {
        time_ms: packed >> 1,
        good: packed & 1 == 0,
    }
}

impl Clock {
    /// A clock with these entries, the first at tick `first`.
    pub(super) fn restored(first: i64, entries: &[ScrapeEntry]) -> Clock {
        let mut clock = Clock {
            first,
            entries: VecDeque::with_capacity(entries.len()),
        };
        entries.iter().for_each(|entry| clock.push(*entry));
        clock
    }

    /// Reserves room for `entries`, so that `push` does not allocate. The memory is touched only as it fills.
    pub(crate) fn reserve(&mut self, entries: usize) {
        let entries = entries.min(CLOCK_ENTRIES_MAX);
        self.entries
            .reserve(entries.saturating_sub(self.entries.len()));
    }

    /// The tick of the next entry. Samples stored under it are not visible to readers yet.
    pub(crate) fn next_tick(&self) -> i64 {
        self.first + self.entries.len() as i64
    }

    /// The oldest tick whose time is held.
    pub(crate) fn first_tick(&self) -> i64 {
        self.first
    }

    /// Adds an entry; times must ascend.
    pub(crate) fn push(&mut self, entry: ScrapeEntry) {
        debug_assert!(self.last().is_none_or(|last| last.time_ms < entry.time_ms));
        if self.entries.len() == CLOCK_ENTRIES_MAX {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries
            .push_back(entry.time_ms << 1 | i64::from(!entry.good));
    }

    /// The newest entry.
    pub(crate) fn last(&self) -> Option<ScrapeEntry> {
        self.entries.back().map(|&packed| unpack(packed))
    }

    /// The entry of a tick; `None` if it was dropped or does not exist yet.
    pub(crate) fn at(&self, tick: i64) -> Option<ScrapeEntry> {
        let index = usize::try_from(tick - self.first).ok()?;
        self.entries.get(index).map(|&packed| unpack(packed))
    }

    /// The first tick whose time is later than `time_ms`.
    pub(crate) fn tick_after(&self, time_ms: i64) -> i64 {
        // An entry counts as no later than `time_ms` whether good (doubled) or failed (doubled plus one).
        let bound = time_ms.saturating_mul(2).saturating_add(1);
        self.first + self.entries.partition_point(|&packed| packed <= bound) as i64
    }

    /// Copies the entries of `from..until` onto `out`.
    pub(crate) fn copy(&self, from: i64, until: i64, out: &mut Vec<ScrapeEntry>) {
        let from = from.max(self.first);
        let until = until.min(self.next_tick());
        if from < until {
            let range = (from - self.first) as usize..(until - self.first) as usize;
            out.extend(self.entries.range(range).map(|&packed| unpack(packed)));
        }
    }

    /// Drops entries before `time_ms`, but never the newest one.
    pub(crate) fn drop_before(&mut self, time_ms: i64) {
        while self.entries.len() > 1 && unpack(self.entries[0]).time_ms < time_ms {
            self.entries.pop_front();
            self.first += 1;
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.len() * size_of::<i64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(times: &[(i64, bool)]) -> Clock {
        let mut clock = Clock::default();
        for &(time_ms, good) in times {
            clock.push(ScrapeEntry { time_ms, good });
        }
        clock
    }

    #[test]
    fn ticks_and_times_translate_both_ways() {
        let mut clock = clock(&[(-5, true), (10, false), (20, true), (30, false)]);
        for (time_ms, tick) in [
            (-6, 0),
            (-5, 1),
            (9, 1),
            (10, 2),
            (19, 2),
            (20, 3),
            (30, 4),
            (99, 4),
        ] {
            assert_eq!(clock.tick_after(time_ms), tick, "{time_ms}");
        }
        clock.drop_before(20);
        assert_eq!((clock.first_tick(), clock.next_tick()), (2, 4));
        assert_eq!(clock.at(1), None);
        assert_eq!(
            clock.at(2),
            Some(ScrapeEntry {
                time_ms: 20,
                good: true
            })
        );
        assert_eq!(
            clock.at(3),
            Some(ScrapeEntry {
                time_ms: 30,
                good: false
            })
        );
        clock.drop_before(1000);
        assert_eq!(
            clock.at(3),
            Some(ScrapeEntry {
                time_ms: 30,
                good: false
            })
        );
        assert_eq!(clock.tick_after(i64::MAX), 4);
        assert_eq!(clock.tick_after(i64::MIN), 3);
    }
}

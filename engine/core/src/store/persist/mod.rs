//! The store's part of a snapshot: clocks, and series with their history.
//!
//! A snapshot shows the store as of one moment, the *cut*, although its series are copied in batches between which pages
//! are committed: for every clock the next tick at the cut is noted first, and what a series has from that tick on is left
//! out. So no series shows a value at a time at which it had another.
//!
//! A later part writes what came since the cut of the one before: the scrapes from its ticks on, and of every series that
//! has changed the runs that follow the one that was current then. The first part of another file writes in addition what
//! every present series shows, and the newest scrape of every clock, so that it can be read without the files before.
//!
//! ```text
//!  clock    | number u | first tick i | scrapes: list of (milliseconds since the one before i, failed) |
//!  series   | 0 | labels: list of (name, value) | runs: list | histograms: list |
//!       or  | 1 + number i | runs after the last one that was read: list | histograms: list |
//!  text     | number u | the text, if the number is a new one |
//!  run      | gap << 1 | on another clock u | ... | value |
//!  value    | difference of whole numbers, zigzag << 1 u |  or  | 1 u | bits xor those before, byte-swapped u |
//!  ... on another clock:  | clock u | end of the run before i | first tick i |
//! ```
//!
//! Series with labels are numbered in the order in which a file has them; a number is told as the difference to that before
//! it in the section. It is of use while the series is present at the end of every part: one that is absent may be dropped by
//! whoever reads. A series that was present at the cut before and has been removed since, with all of its history, is told by its
//! number alone (`numbers`), or in the first part of a file that goes on from another by not being told there: whoever reads ends
//! it at the cut before.

mod bits;
mod clocks;
mod copy;
mod numbers;
mod read;
mod write;

use hashbrown::HashMap;

use super::clock::Clock;
use super::store::Store;
use crate::ids::ClockId;

pub(crate) use clocks::ClockWriter;
use numbers::Numbers;
pub(crate) use read::SeriesReader;
pub(crate) use write::SeriesWriter;

/// Up to where an engine was written.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    /// Per clock, the next tick. Ticks are never given twice.
    ends: Vec<i64>,
    /// Of series with timestamps of their own, by id: the checksum of the labels, because an id may be given to another
    /// series, and the newest time.
    explicit: HashMap<u32, (u64, i64)>,
    numbers: Numbers,
}

impl Cut {
    /// Now.
    fn of(store: &Store) -> Cut {
        Cut {
            ends: store.clocks.iter().map(Clock::next_tick).collect(),
            ..Cut::default()
        }
    }

    /// The next tick of a clock then; the least there is, if it was no clock yet.
    fn end(&self, clock: ClockId) -> i64 {
        match clock {
            ClockId::EXPLICIT => i64::MAX,
            clock => self.ends.get(clock.index()).copied().unwrap_or(i64::MIN),
        }
    }

    /// The time of the scrape that was so many before its end; the least there is, if that is not known.
    fn time_ms(&self, store: &Store, clock: ClockId, ticks_before: i64) -> i64 {
        let end = self.ends.get(clock.index());
        let scrape = end.and_then(|end| store.clocks[clock.index()].at(end - ticks_before));
        scrape.map_or(i64::MIN, |scrape| scrape.time_ms)
    }
}

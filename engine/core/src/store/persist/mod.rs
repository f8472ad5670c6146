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
//! whoever reads.

mod bits;
mod clocks;
mod copy;
mod read;
mod write;

use hashbrown::HashMap;

use super::clock::Clock;
use super::history::Store;
use crate::ids::{ClockId, SeriesId};

pub(crate) use clocks::ClockWriter;
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

/// The numbers that a file gives to series, by id.
#[derive(Debug, Default)]
struct Numbers {
    of: Vec<u32>,
    /// Per [`REMOVALS_CHUNK`](super::series::REMOVALS_CHUNK) ids, their removals when the numbers were given.
    removals: Vec<u32>,
    next: u32,
}

const NO_NUMBER: u32 = u32::MAX;

impl Numbers {
    /// The number of a series; none where its id may have named another one since.
    fn get(&self, id: SeriesId, removals: u32) -> Option<u32> {
        let chunk = (id.0 / super::series::REMOVALS_CHUNK) as usize;
        let known = self.removals.get(chunk) == Some(&removals);
        let number = self.of.get(id.index()).copied();
        number.filter(|number| known && *number != NO_NUMBER)
    }

    /// The next number, for a series that is written with its labels.
    fn give(&mut self, id: SeriesId, removals: u32) -> u32 {
        let chunk = (id.0 / super::series::REMOVALS_CHUNK) as usize;
        let size = super::series::REMOVALS_CHUNK as usize;
        if self.removals.len() <= chunk {
            self.removals.resize(chunk + 1, removals);
            self.of.resize((chunk + 1) * size, NO_NUMBER);
        }
        if self.removals[chunk] != removals {
            self.removals[chunk] = removals;
            self.of[chunk * size..(chunk + 1) * size].fill(NO_NUMBER);
        }
        let number = self.next;
        self.of[id.index()] = number;
        self.next += 1;
        number
    }

    /// Whoever reads may drop the series.
    fn forget(&mut self, id: SeriesId) {
        if let Some(number) = self.of.get_mut(id.index()) {
            *number = NO_NUMBER;
        }
    }
}

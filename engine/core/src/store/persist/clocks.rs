//! Clocks of a snapshot, some scrapes at a time.

use super::Cut;
use crate::limits::CLOCK_ENTRIES_MAX;
use crate::limits::{READ_BATCH_BYTES, READ_BATCH_SERIES};
use crate::store::clock::{Clock, ScrapeEntry};
use crate::store::store::Store;
use crate::wire::{In, WireError, put_bool, put_i, put_list, put_u};

/// Scrapes that are copied at a time.
const ENTRIES: i64 = (READ_BATCH_BYTES / size_of::<ScrapeEntry>()) as i64;

/// Writes clocks.
#[derive(Default)]
pub(crate) struct ClockWriter {
    number: usize,
    /// The tick up to which the clock is written.
    done: Option<i64>,
    entries: Vec<ScrapeEntry>,
}

impl ClockWriter {
    /// Copies the next scrapes of a clock: answers its number and the tick of the first, or nothing where those that were
    /// looked at did not advance. `None`: there are no more clocks.
    #[expect(clippy::option_option, reason = "nothing to write is not the end")]
    pub(super) fn copy(
        &mut self,
        store: &Store,
        (before, cut): (&Cut, &Cut),
        is_start: bool,
    ) -> Option<Option<(usize, i64)>> {
        self.entries.clear();
        for _ in 0..READ_BATCH_SERIES {
            let number = self.number;
            let end = *cut.ends.get(number)?;
            let clock = &store.clocks[number];
            let known = before.ends.get(number).copied();
            // Who reads a first part alone needs the newest scrape before it, too.
            let known = known.map(|end| end - i64::from(is_start));
            let first = self.done.or(known).unwrap_or(i64::MIN);
            let first = first.max(clock.first_tick());
            let until = end.min(first.saturating_add(ENTRIES));
            clock.copy(first, until, &mut self.entries);
            let is_told = self.done.is_some() || (known.is_some() && !is_start);
            if until >= end {
                (self.number, self.done) = (number + 1, None);
            } else {
                self.done = Some(until);
            }
            if !self.entries.is_empty() || !is_told {
                return Some(Some((number, first)));
            }
        }
        Some(None)
    }

    /// Writes what was copied.
    pub(super) fn put(&self, number: usize, first: i64, out: &mut Vec<u8>) {
        put_u(out, number as u64);
        put_i(out, first);
        let mut before_ms = 0;
        put_list(out, self.entries.iter(), |out, entry| {
            put_i(out, entry.time_ms - before_ms);
            put_bool(out, !entry.good);
            before_ms = entry.time_ms;
        });
    }
}

impl Store {
    /// Reads scrapes of one clock. What it has of them already is left out.
    pub(crate) fn take_clock(&mut self, bytes: &mut In<'_>) -> Result<(), WireError> {
        let number = usize::try_from(bytes.u()?).unwrap_or(usize::MAX);
        let first = bytes.time()?;
        let entries = entries(bytes)?;
        let clock = self
            .clocks
            .get_mut(number)
            .ok_or("a clock has an unknown number")?;
        let Some(last) = clock.last() else {
            *clock = Clock::restored(first, &entries);
            return Ok(());
        };
        let have = usize::try_from(clock.next_tick() - first).unwrap_or(0);
        let is_later = first > clock.next_tick();
        let Some(new) = entries.get(have..).filter(|new| !new.is_empty()) else {
            return Ok(());
        };
        if new
            .first()
            .is_some_and(|entry| entry.time_ms <= last.time_ms)
        {
            return Err("scrapes are not in order");
        }
        match is_later {
            // All that was read of it was dropped in the meantime.
            true => *clock = Clock::restored(first, new),
            false => new.iter().for_each(|entry| clock.push(*entry)),
        }
        Ok(())
    }
}

fn entries(bytes: &mut In<'_>) -> Result<Vec<ScrapeEntry>, WireError> {
    let mut time_ms = 0i64;
    let mut is_first = true;
    let entries = bytes.list(|bytes| {
        let delta = bytes.time()?;
        if !is_first && delta <= 0 {
            return Err("scrapes are not in order");
        }
        is_first = false;
        time_ms = time_ms.checked_add(delta).ok_or("a time is no time")?;
        let good = !bytes.bool()?;
        Ok(ScrapeEntry { time_ms, good })
    })?;
    match entries.len() > CLOCK_ENTRIES_MAX || time_ms.unsigned_abs() > 1 << 52 {
        true => Err("a clock has more scrapes than it may hold"),
        false => Ok(entries),
    }
}

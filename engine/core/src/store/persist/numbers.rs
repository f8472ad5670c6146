//! The numbers that a file gives to series.
//!
//! ```text
//!  gone  | the numbers of series that are no more: list of differences to the one before i |
//! ```

use super::Cut;
use super::read::SeriesReader;
use crate::ids::{ClockId, SeriesId};
use crate::store::codec::STALE;
use crate::store::order::Onward;
use crate::store::store::Store;
use crate::wire::{In, WireError, put_i, put_list};

/// The numbers that a file has given, by id: those of series that whoever reads it takes to be present.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// The number of the series; with [`LABELS`] where what follows of it is told with its labels.
    of: Vec<u32>,
    /// [`Series::generation`](crate::store::Series::generation) of each id when its number was given.
    generations: Vec<u8>,
    next: u32,
}

const NO_NUMBER: u32 = u32::MAX;
/// No file has so many series.
const LABELS: u32 = 1 << 31;

impl Numbers {
    /// The number by which what follows of a series can be told.
    pub(super) fn get(&self, id: SeriesId, generation: u8) -> Option<u32> {
        let number = *self.of.get(id.index())?;
        let goes_on = number & LABELS == 0 && self.generations[id.index()] == generation;
        goes_on.then_some(number)
    }

    /// The next number, for a series that is written with its labels.
    pub(super) fn give(&mut self, id: SeriesId, generation: u8) -> u32 {
        if self.of.len() <= id.index() {
            let chunk = crate::store::REMOVALS_CHUNK as usize;
            let size = (id.index() + 1).next_multiple_of(chunk);
            self.of.resize(size, NO_NUMBER);
            self.generations.resize(size, 0);
        }
        let number = self.next;
        self.of[id.index()] = number;
        self.generations[id.index()] = generation;
        self.next += 1;
        number
    }

    /// What follows of the series is told with its labels.
    pub(super) fn tell_labels(&mut self, id: SeriesId) {
        if let Some(number) = self.of.get_mut(id.index()) {
            *number |= LABELS; // none stays none
        }
    }

    /// Whoever reads knows that the series is absent.
    pub(super) fn forget(&mut self, id: SeriesId) {
        if let Some(number) = self.of.get_mut(id.index()) {
            *number = NO_NUMBER;
        }
    }

    /// The number of the series that an id named, if that is no more.
    pub(super) fn take_gone(&mut self, id: SeriesId, generation: u8) -> Option<u32> {
        let number = self.of.get_mut(id.index())?;
        if *number == NO_NUMBER || self.generations[id.index()] == generation {
            return None;
        }
        Some(std::mem::replace(number, NO_NUMBER) & !LABELS)
    }
}

/// Numbers of one section.
const GONE_MAX: usize = 1 << 16;

/// Writes some of the numbers of series that are gone.
pub(super) fn put_gone(gone: &mut Vec<u32>, out: &mut Vec<u8>) {
    let some = gone.split_off(gone.len().saturating_sub(GONE_MAX));
    let mut before = 0;
    put_list(out, some.iter(), |out, number| {
        put_i(out, i64::from(*number) - before);
        before = i64::from(*number);
    });
}

impl SeriesReader {
    /// Reads which series of the file are no more since the cut before, and ends them there.
    pub(crate) fn gone(&mut self, store: &mut Store, mut bytes: In<'_>) -> Result<(), WireError> {
        let mut number = 0_i64;
        let before = self.before.as_ref();
        let gone = bytes.list(|bytes| {
            number = number.wrapping_add(bytes.i()?);
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            let named = self.numbers.get(number).copied();
            named.ok_or("a series has an unknown number")
        })?;
        for named in gone {
            // One with the same labels that came after it is told in this part.
            if named.is_in(store) && !self.told.contains(named.id) {
                end(store, named.id, before);
            }
        }
        Ok(())
    }

    /// All that is present was told since the cut before: what was not is no more.
    pub(crate) fn end_others(&mut self, store: &mut Store) {
        for id in (0..store.series.id_end()).map(SeriesId) {
            if store.series.row(id).clock != ClockId::NONE && !self.told.contains(id) {
                end(store, id, self.before.as_ref());
            }
        }
    }
}

/// Ends a series right after the cut before, where it is present.
fn end(store: &mut Store, id: SeriesId, before: Option<&Cut>) {
    let row = *store.series.row(id);
    let Some(before) = before.filter(|_| row.is_present()) else {
        return;
    };
    if row.clock == ClockId::EXPLICIT {
        store.append_explicit(id, row.since.saturating_add(1), STALE);
        return;
    }
    let tick = before.end(row.clock);
    let clock = &store.clocks[row.clock.index()];
    if tick > row.since && tick < clock.next_tick() {
        return store.change(id, tick, STALE);
    }
    // It has left its clock before the next scrape.
    let last_ms = clock.last().map_or(i64::MIN, |last| last.time_ms);
    store.move_to_clock(id, Onward::explicit(last_ms.saturating_add(1), STALE));
}

//! Where a feed stands, and that as bytes:
//!
//! ```text
//!  cursor  | version u8 | clocks: list of option of time i | explicit: list of (XXH64 of the labels u, time i) |
//! ```
//!
//! A time is that of the newest sample that was taken. Numbers of scrapes would not do: a store that goes on from a
//! snapshot counts the scrapes after the snapshot anew.

use std::hash::Hasher;

use hashbrown::HashMap;
use parking_lot::RwLock;
use twox_hash::XxHash64;

use super::Pending;
use crate::ids::{ClockId, SeriesId};
use crate::labels::Labels;
use crate::limits::{READ_BATCH_ROWS, READ_BATCH_SERIES};
use crate::store::{Clock, Store};
use crate::wire::{In, WireError, put_i, put_list, put_option, put_u};

const VERSION: u8 = 1;

/// So few series that are gone do no harm.
const FORGET_AT_MIN: usize = 1_024;

/// Before every tick that a clock has.
const FIRST: i64 = i64::MIN / 2;

/// Where a feed stands.
pub(super) struct Cursor {
    /// Per clock, the next tick; a clock that is not listed begins at its first.
    pub(super) ticks: Vec<i64>,
    /// Per series with explicit timestamps, the newest time that was taken. The id of a series that is gone may name another:
    /// that one has no sample as old, for a series goes when its samples are older than any that is still taken.
    pub(super) explicit: HashMap<SeriesId, i64>,
    /// How many series with explicit timestamps are remembered before those that are gone are forgotten.
    forget_at: usize,
    /// The number of the next exemplar.
    pub(super) exemplars: u64,
}

impl Cursor {
    /// After everything that is in the store.
    pub(super) fn end_of(store: &Store) -> Cursor {
        let rows = (0..store.series.id_end()).map(SeriesId);
        let explicit = rows.filter_map(|id| {
            let row = store.series.row(id);
            (row.clock == ClockId::EXPLICIT).then_some((id, row.since))
        });
        Cursor {
            ticks: store.clocks.iter().map(Clock::next_tick).collect(),
            explicit: explicit.collect(),
            forget_at: 0,
            exemplars: store.exemplars.added(),
        }
    }

    /// The next tick of a clock.
    pub(super) fn tick(&self, clock: ClockId) -> i64 {
        let tick = self.ticks.get(clock.index()).copied();
        tick.unwrap_or(FIRST)
    }

    /// Forgets series that are gone, once there may be as many of them as others.
    pub(super) fn forget_ended(&mut self, store: &RwLock<Store>) {
        if self.explicit.len() < self.forget_at {
            return;
        }
        let ids: Vec<SeriesId> = self.explicit.keys().copied().collect();
        for some in ids.chunks(READ_BATCH_ROWS as usize) {
            let store = store.read();
            for id in some.iter().filter(|id| !lives(&store, **id)) {
                self.explicit.remove(id);
            }
        }
        self.forget_at = 2 * self.explicit.len() + FORGET_AT_MIN;
    }

    /// Whether a series with explicit timestamps has samples that were not taken.
    pub(super) fn has_explicit(&self, store: &RwLock<Store>) -> bool {
        let mut next = 0;
        loop {
            let store = store.read();
            let end = store.series.id_end();
            let until = end.min(next + READ_BATCH_ROWS);
            let is_new = (next..until).map(SeriesId).any(|id| {
                let row = store.series.row(id);
                row.clock == ClockId::EXPLICIT
                    && self
                        .explicit
                        .get(&id)
                        .is_none_or(|taken| row.since > *taken)
            });
            if is_new || until == end {
                return is_new;
            }
            next = until;
        }
    }

    /// What lies after it on clocks.
    pub(super) fn pending(&self, store: &Store) -> Pending {
        let mut pending = Pending::default();
        for (number, clock) in store.clocks.iter().enumerate() {
            let from = self.tick(ClockId(number as u32)).max(clock.first_tick());
            let last_ms = clock.last().map(|entry| entry.time_ms);
            pending.newest_ms = pending.newest_ms.max(last_ms);
            if let Some(oldest) = clock.at(from) {
                let before = pending.oldest_ms.unwrap_or(i64::MAX);
                pending.oldest_ms = Some(before.min(oldest.time_ms));
                pending.scrapes += (clock.next_tick() - from) as u64;
            }
        }
        pending
    }

    /// As bytes.
    pub(super) fn bytes(&self, store: &RwLock<Store>) -> Vec<u8> {
        let mut out = vec![VERSION];
        let locked = store.read();
        let taken = |(number, tick): (usize, &i64)| {
            let newest = tick.checked_sub(1).filter(|newest| *newest > FIRST)?;
            let entry = locked.clocks.get(number)?.at(newest)?;
            Some(entry.time_ms)
        };
        put_list(&mut out, self.ticks.iter().enumerate(), |out, one| {
            put_option(out, taken(one), put_i);
        });
        drop(locked);
        let mut hashed = Vec::with_capacity(self.explicit.len());
        let ids: Vec<(SeriesId, i64)> = self.explicit.iter().map(|(id, at)| (*id, *at)).collect();
        for some in ids.chunks(READ_BATCH_SERIES) {
            let store = store.read();
            let lives = some.iter().filter(|(id, _)| lives(&store, *id));
            hashed.extend(lives.map(|(id, at)| (hash(&store.series.labels(*id)), *at)));
        }
        put_list(&mut out, hashed.iter(), |out, (hash, at)| {
            put_u(out, *hash);
            put_i(out, *at);
        });
        out
    }

    /// From bytes, for a store that holds what was restored of the one that they are about.
    pub(super) fn read(store: &Store, bytes: &[u8]) -> Result<Cursor, WireError> {
        let Some((&VERSION, rest)) = bytes.split_first() else {
            return Err("it has another version");
        };
        let mut bytes = In::new(rest);
        let times = bytes.list(|bytes| bytes.option(In::time))?;
        let explicit = bytes.list(|bytes| Ok((bytes.u()?, bytes.time()?)))?;
        let explicit: HashMap<u64, i64> = explicit.into_iter().collect();
        let tick = |(number, at): (usize, &Option<i64>)| match (store.clocks.get(number), at) {
            (Some(clock), Some(at_ms)) => clock.tick_after(*at_ms),
            _ => FIRST,
        };
        let rows = (0..store.series.id_end()).map(SeriesId);
        let rows = rows.filter(|id| store.series.row(*id).clock == ClockId::EXPLICIT);
        let known = rows.filter_map(|id| {
            let at = explicit.get(&hash(&store.series.labels(id)))?;
            Some((id, *at))
        });
        Ok(Cursor {
            ticks: times.iter().enumerate().map(tick).collect(),
            explicit: known.collect(),
            forget_at: 0,
            // Exemplars are not in a snapshot.
            exemplars: store.exemplars.added(),
        })
    }
}

fn lives(store: &Store, id: SeriesId) -> bool {
    id.0 < store.series.id_end() && store.series.row(id).clock != ClockId::NONE
}

fn hash(labels: &Labels) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    for (name, value) in labels.iter() {
        for text in [name, value] {
            hasher.write(text.as_bytes());
            hasher.write(&[0xff]); // no byte of UTF-8
        }
    }
    hasher.finish()
}

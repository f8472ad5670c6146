//! The good scrapes of one target that a window can reach: their running numbers, ticks and times.

use crate::store::{Clock, ClockId};

use super::halt::Halt;
use super::visibility::{EvalSnapshot, PageVisibility};

/// One target's good scrapes, as far back as any window may reach.
pub(super) struct Ticks {
    pub(super) clock: ClockId,
    /// The first tick that has not been read yet.
    next_tick: i64,
    /// The number that the next good scrape gets.
    next: u64,
    /// How many at the front were there when this began.
    initial: usize,
    /// Tick and time of the newest, each at its number modulo the length.
    entries: Vec<(i64, i64)>,
    /// The first number that came with the last `advance`.
    news: u64,
    /// The first number in the window.
    from: u64,
    end_ms: i64,
    is_visible: bool,
}

impl Ticks {
    /// The scrapes that a window of this length may still reach.
    pub(super) fn new(id: ClockId, clock: &Clock, range_ms: i64) -> Ticks {
        let mut entries = Vec::new();
        let mut tick = clock.next_tick() - 1;
        let mut newest_ms = None;
        while let Some(entry) = clock.at(tick) {
            if newest_ms.is_some_and(|newest_ms: i64| entry.time_ms <= newest_ms - range_ms) {
                break;
            }
            if entry.good {
                newest_ms = newest_ms.or(Some(entry.time_ms));
                entries.push((tick, entry.time_ms));
            }
            tick -= 1;
        }
        entries.reverse();
        let samples = entries.len();
        Ticks {
            clock: id,
            next_tick: clock.next_tick(),
            next: samples as u64,
            initial: samples,
            entries,
            news: samples as u64,
            from: 0,
            end_ms: 0,
            is_visible: false,
        }
    }

    /// How many scrapes there were at the start.
    pub(super) fn samples(&self) -> usize {
        self.initial
    }

    /// Bytes of one target's ring.
    pub(super) fn bytes_for(places: usize) -> usize {
        places * size_of::<(i64, i64)>()
    }

    /// Sets the number of places of the ring.
    pub(super) fn resize(&mut self, places: usize) {
        self.entries.resize(places, (i64::MIN, i64::MIN));
    }

    /// Whether it can be continued: nothing that came after it has been dropped.
    pub(super) fn can_continue(&self, clock: &Clock) -> bool {
        clock.at(self.next_tick - 1).is_some()
    }

    /// Whether there is nothing new.
    pub(super) fn is_current(&self, clock: &Clock) -> bool {
        clock.next_tick() == self.next_tick
    }

    fn entry(&self, number: u64) -> (i64, i64) {
        self.entries[(number % self.entries.len() as u64) as usize]
    }

    pub(super) fn tick(&self, number: u64) -> i64 {
        self.entry(number).0
    }

    #[inline]
    pub(super) fn time_ms(&self, number: u64) -> i64 {
        self.entry(number).1
    }

    /// The numbers whose samples are kept.
    pub(super) fn numbers(&self) -> (u64, u64) {
        let oldest = self.next.saturating_sub(self.entries.len() as u64);
        (oldest, self.next)
    }

    /// The tick of the oldest of them.
    pub(super) fn oldest_tick(&self) -> i64 {
        match self.numbers() {
            (from, until) if from < until => self.tick(from),
            _ => self.next_tick,
        }
    }

    /// Adds the scrapes since the last call. Error: some of them are no longer in the store, or the ring is too small.
    pub(super) fn advance(&mut self, clock: &Clock, range_ms: i64) -> Result<(), Halt> {
        self.news = self.next;
        while self.next_tick < clock.next_tick() {
            let entry = clock.at(self.next_tick).ok_or(Halt::Unbound)?;
            if entry.good {
                let place = (self.next % self.entries.len() as u64) as usize;
                let is_full = self.next >= self.entries.len() as u64;
                if is_full && self.entries[place].1 > entry.time_ms - range_ms {
                    return Err(Halt::Unbound);
                }
                self.entries[place] = (self.next_tick, entry.time_ms);
                self.next += 1;
            }
            self.next_tick += 1;
        }
        Ok(())
    }

    /// The numbers that came with the last `advance`, as far back as samples are kept.
    pub(super) fn news(&self) -> (u64, u64) {
        let (oldest, next) = self.numbers();
        (self.news.max(oldest), next)
    }

    /// Sets the window for this evaluation.
    pub(super) fn set_window(&mut self, snapshot: &EvalSnapshot<'_>, range_ms: i64) {
        let end_ms = match snapshot.visibility(self.clock) {
            PageVisibility::Hidden => {
                self.is_visible = false;
                return;
            }
            PageVisibility::Visible { end_ms, .. } => end_ms,
        };
        let (oldest, next) = self.numbers();
        // Scrapes whose times the store has dropped are gone for everybody.
        let times = &snapshot.store.clocks[self.clock.index()];
        let first_ms = times
            .at(times.first_tick())
            .map_or(i64::MIN, |entry| entry.time_ms);
        let after_ms = end_ms
            .saturating_sub(range_ms)
            .max(first_ms.saturating_sub(1));
        (self.is_visible, self.end_ms) = (true, end_ms);
        let (mut low, mut high) = (oldest, next);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.time_ms(middle) <= after_ms {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.from = low;
    }

    pub(super) fn is_visible(&self) -> bool {
        self.is_visible
    }

    /// Where the window ends.
    pub(super) fn end_ms(&self) -> i64 {
        self.end_ms
    }

    /// The numbers in the window.
    #[inline]
    pub(super) fn window(&self) -> (u64, u64) {
        (self.from, self.next)
    }
}

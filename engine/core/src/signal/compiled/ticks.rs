//! The good scrapes of one target that a window can reach: their running numbers, ticks and times.

use crate::store::{Clock, ClockId};

use super::halt::Halt;
use super::range::Function;
use super::scale::{Reach, Scale};
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
    /// The numbers in the window.
    window: (u64, u64),
    end_ms: i64,
    eval_ms: i64,
    is_visible: bool,
}

impl Ticks {
    /// The scrapes that a window may still reach.
    pub(super) fn new(id: ClockId, clock: &Clock, reach: Reach) -> Ticks {
        let mut entries = Vec::new();
        let mut tick = clock.next_tick() - 1;
        let mut newest_ms = None;
        while let Some(entry) = clock.at(tick) {
            let is_before =
                newest_ms.is_some_and(|newest_ms: i64| entry.time_ms <= newest_ms - reach.ms);
            if is_before && !reach.one_before {
                break;
            }
            if entry.good {
                newest_ms = newest_ms.or(Some(entry.time_ms));
                entries.push((tick, entry.time_ms));
                if is_before {
                    break;
                }
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
            window: (0, 0),
            end_ms: 0,
            eval_ms: 0,
            is_visible: false,
        }
    }

    /// How many scrapes there were at the start.
    pub(super) fn samples(&self) -> usize {
        self.initial
    }

    /// Bytes of one target's ring.
    pub(super) fn bytes_for(places: usize) -> usize {
        places.saturating_mul(size_of::<(i64, i64)>())
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
    pub(super) fn advance(&mut self, clock: &Clock, reach: Reach) -> Result<(), Halt> {
        self.news = self.next;
        while self.next_tick < clock.next_tick() {
            let entry = clock.at(self.next_tick).ok_or(Halt::Unbound)?;
            if entry.good {
                let place = (self.next % self.entries.len() as u64) as usize;
                if self.needs_oldest(reach, entry.time_ms) {
                    return Err(Halt::Unbound);
                }
                self.entries[place] = (self.next_tick, entry.time_ms);
                self.next += 1;
            }
            self.next_tick += 1;
        }
        Ok(())
    }

    /// Whether the ring is full, and a scrape at `time_ms` would replace one that a window may reach.
    fn needs_oldest(&self, reach: Reach, time_ms: i64) -> bool {
        let places = self.entries.len() as u64;
        let Some(oldest) = self.next.checked_sub(places) else {
            return false;
        };
        // The one before is needed as long as its successor is no substitute.
        let decides = oldest + u64::from(reach.one_before);
        decides < self.next && self.time_ms(decides) > time_ms - reach.ms
    }

    /// The time of the oldest of the scrapes that came with the last `advance`.
    pub(super) fn news_ms(&self) -> Option<i64> {
        let (from, until) = self.news();
        (from < until).then(|| self.time_ms(from))
    }

    /// The numbers that came with the last `advance`, as far back as samples are kept.
    pub(super) fn news(&self) -> (u64, u64) {
        let (oldest, next) = self.numbers();
        (self.news.max(oldest), next)
    }

    /// Sets the window for this evaluation.
    pub(super) fn set_window(&mut self, snapshot: &EvalSnapshot<'_>, function: &Function) {
        let end_ms = match snapshot.visibility(self.clock) {
            PageVisibility::Hidden => {
                self.is_visible = false;
                return;
            }
            PageVisibility::Visible { end_ms, .. } => end_ms,
        };
        self.eval_ms = end_ms.saturating_sub(snapshot.back_ms);
        self.end_ms = self.eval_ms.saturating_sub(function.offset_ms);
        // Scrapes whose times the store has dropped are gone for everybody.
        let after_ms = self
            .end_ms
            .saturating_sub(function.range_ms)
            .max(snapshot.oldest_ms(self.clock).saturating_sub(1));
        self.is_visible = !function.is_newest() || !snapshot.has_ended(self.clock, self.end_ms);
        let (oldest, next) = self.numbers();
        let is_past = self.end_ms < end_ms;
        let until = match is_past {
            true => self.first_after(self.end_ms, (oldest, next)),
            false => next,
        };
        self.window = (self.first_after(after_ms, (oldest, until)), until);
    }

    /// The first of these numbers whose time is later.
    fn first_after(&self, time_ms: i64, (mut low, mut high): (u64, u64)) -> u64 {
        while low < high {
            let middle = low + (high - low) / 2;
            if self.time_ms(middle) <= time_ms {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    pub(super) fn is_visible(&self) -> bool {
        self.is_visible
    }
}

impl Scale for Ticks {
    #[inline]
    fn window(&self) -> (u64, u64) {
        self.window
    }

    #[inline]
    fn time_ms(&self, number: u64) -> i64 {
        self.entry(number).1
    }

    fn end_ms(&self) -> i64 {
        self.end_ms
    }

    fn eval_ms(&self) -> i64 {
        self.eval_ms
    }
}

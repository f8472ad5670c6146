//! When which target is due: phases hashed over the interval, onto ticks that nearby targets share.
//!
//! Waking up, not parsing, is what a scrape costs (a page read on its own costs 1.5 times one of five read in a
//! row), so a target keeps its phase only to within a quarter of its interval. Pure: time comes in as an argument.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Phases of one interval.
const PHASES: u64 = 4;
/// Ticks of long intervals are no further apart: 60 targets at 15 s shall not come as four bursts.
const TICK_MS_MAX: u64 = 250;
/// Ticks of short intervals are no closer.
const TICK_MS_MIN: u64 = 10;

/// A due time and the slots that are due then.
#[derive(Default)]
pub struct Schedule {
    heap: BinaryHeap<Reverse<(i64, usize)>>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
}

#[derive(Clone, Copy)]
struct Slot {
    interval_ms: i64,
    phase_ms: i64,
}

impl Schedule {
    /// Adds a target: due at once, then at its phase. `hash` spreads targets. Returns its slot.
    pub fn add(&mut self, now_ms: i64, interval_ms: u64, hash: u64) -> usize {
        let tick_ms = tick_ms(interval_ms);
        let ticks = (interval_ms / tick_ms).max(1);
        let slot = Slot {
            interval_ms: interval_ms.max(1) as i64,
            phase_ms: (hash % ticks * tick_ms) as i64,
        };
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        self.slots[at] = Some(slot);
        self.heap.push(Reverse((now_ms, at)));
        at
    }

    /// Removes a target.
    pub fn remove(&mut self, slot: usize) {
        self.slots[slot] = None;
        self.heap.retain(|Reverse((_, at))| *at != slot);
        self.free.push(slot);
    }

    /// The earliest due time.
    pub fn next_due_ms(&self) -> Option<i64> {
        self.heap.peek().map(|Reverse((due_ms, _))| *due_ms)
    }

    /// Calls `start` with the due time and slot of everything that is due at `now_ms`, and plans each one's next tick.
    /// Ticks that passed meanwhile (the process stood still) are passed over.
    pub fn take_due(&mut self, now_ms: i64, mut start: impl FnMut(i64, usize)) {
        while let Some(Reverse((due_ms, at))) = self.heap.peek().copied()
            && due_ms <= now_ms
        {
            self.heap.pop();
            if let Some(slot) = self.slots[at] {
                start(due_ms, at);
                self.heap.push(Reverse((slot.next_after(now_ms), at)));
            }
        }
    }
}

impl Slot {
    fn next_after(self, now_ms: i64) -> i64 {
        let past = (now_ms - self.phase_ms).div_euclid(self.interval_ms);
        (past + 1) * self.interval_ms + self.phase_ms
    }
}

fn tick_ms(interval_ms: u64) -> u64 {
    (interval_ms / PHASES)
        .clamp(TICK_MS_MIN, TICK_MS_MAX)
        .min(interval_ms.max(1))
}

/// FNV-1a: the same target has the same phase on every run and every replica.
pub fn phase_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(schedule: &mut Schedule, until_ms: i64) -> Vec<(i64, usize)> {
        let mut starts = Vec::new();
        while let Some(due) = schedule.next_due_ms().filter(|due| *due <= until_ms) {
            schedule.take_due(due, |at, slot| starts.push((at, slot)));
        }
        starts
    }

    #[test]
    fn first_at_once_then_every_interval_at_the_phase() {
        let mut schedule = Schedule::default();
        schedule.add(1_000_003, 100, 2);
        let times: Vec<i64> = run(&mut schedule, 1_000_400)
            .iter()
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(
            times,
            [1_000_003, 1_000_050, 1_000_150, 1_000_250, 1_000_350]
        );
    }

    #[test]
    fn nearby_targets_share_ticks() {
        for (interval_ms, wakes_max) in [(10, 1), (100, 4), (1_000, 4), (15_000, 60)] {
            let mut schedule = Schedule::default();
            for target in 0..1000_u64 {
                schedule.add(0, interval_ms, phase_hash(&target.to_string()));
            }
            let interval = interval_ms as i64;
            let starts = run(&mut schedule, 2 * interval - 1);
            let mut times: Vec<i64> = starts
                .iter()
                .map(|(at, _)| *at)
                .filter(|at| *at >= interval)
                .collect();
            assert_eq!(times.len(), 1000, "{interval_ms}");
            times.dedup();
            assert!(times.len() <= wakes_max, "{interval_ms}: {}", times.len());
        }
    }

    #[test]
    fn a_standstill_costs_ticks_not_a_burst() {
        let mut schedule = Schedule::default();
        schedule.add(0, 100, 0);
        let mut starts = Vec::new();
        for now in [0, 100, 1_234, 1_300] {
            schedule.take_due(now, |at, _| starts.push(at));
        }
        assert_eq!(starts, [0, 100, 200, 1_300]);
    }

    #[test]
    fn a_removed_target_is_never_due_and_its_slot_is_used_again() {
        let mut schedule = Schedule::default();
        let slot = schedule.add(0, 100, 0);
        schedule.remove(slot);
        assert_eq!(schedule.next_due_ms(), None);
        assert_eq!(schedule.add(5, 100, 0), slot);
        assert_eq!(run(&mut schedule, 99), [(5, slot)]);
    }
}

//! Measures how long commits wait for locks that readers hold: the only way in which a query can delay a scrape.
//!
//! The engine reads no clock; the embedder passes one to [`crate::Writer::time_waits`]. A histogram with four buckets
//! per power of two keeps the whole distribution in 2 KiB, so that rare long waits are visible. Budget: p99.9 at most
//! 1 ms. Bench: `commit_wait`.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockWriteGuard};

const BUCKETS_PER_OCTAVE_LOG2: u32 = 2;
const BUCKETS: usize = 64 << BUCKETS_PER_OCTAVE_LOG2;

/// A histogram of durations in nanoseconds. One thread records while others read.
#[derive(Debug)]
pub struct Durations {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Default for Durations {
    fn default() -> Durations {
        Durations {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum_ns: AtomicU64::new(0),
        }
    }
}

fn bucket_of(ns: u64) -> usize {
    let octave = 63 - (ns | 1).leading_zeros();
    let below = octave.saturating_sub(BUCKETS_PER_OCTAVE_LOG2);
    let part = (ns >> below) & ((1 << BUCKETS_PER_OCTAVE_LOG2) - 1);
    (octave << BUCKETS_PER_OCTAVE_LOG2) as usize + part as usize
}

/// The largest duration of a bucket.
fn end_ns(bucket: usize) -> u64 {
    let octave = (bucket >> BUCKETS_PER_OCTAVE_LOG2) as u32;
    let part = (bucket & ((1 << BUCKETS_PER_OCTAVE_LOG2) - 1)) as u64;
    if octave < BUCKETS_PER_OCTAVE_LOG2 {
        return part; // durations below 4 ns have a bucket each
    }
    let below = octave - BUCKETS_PER_OCTAVE_LOG2;
    let start = (1 << octave) + (part << below);
    start + ((1 << below) - 1)
}

impl Durations {
    /// Records one duration.
    pub fn record(&self, ns: u64) {
        self.buckets[bucket_of(ns)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// A copy of the present counts.
    pub fn snapshot(&self) -> Durations {
        let copy = Durations::default();
        copy.add_since(self, &Durations::default());
        copy
    }

    /// Adds what was recorded between the snapshots `earlier` and `later`.
    pub fn add_since(&self, later: &Durations, earlier: &Durations) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let add = |to: &AtomicU64, later: &AtomicU64, earlier: &AtomicU64| {
            let more = load(later).saturating_sub(load(earlier));
            to.fetch_add(more, Ordering::Relaxed);
        };
        let pairs = later.buckets.iter().zip(&earlier.buckets);
        for (to, (later, earlier)) in self.buckets.iter().zip(pairs) {
            add(to, later, earlier);
        }
        add(&self.sum_ns, &later.sum_ns, &earlier.sum_ns);
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.each().map(|(_, count)| count).sum()
    }

    /// Their sum in nanoseconds.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns.load(Ordering::Relaxed)
    }

    /// How many were at most `ns`, within the resolution of a bucket (a quarter of a power of two).
    pub fn count_within(&self, ns: u64) -> u64 {
        let within = self.each().filter(|(end, _)| *end <= ns);
        within.map(|(_, count)| count).sum()
    }

    /// The duration that `share` (0 to 1) of them did not exceed, rounded up to the end of its bucket; 0 where there
    /// were none.
    pub fn quantile_ns(&self, share: f64) -> u64 {
        let rank = (self.count() as f64 * share).ceil() as u64;
        let mut passed = 0;
        let reached = self.each().find(|(_, count)| {
            passed += count;
            *count > 0 && passed >= rank
        });
        reached.map_or(0, |(end, _)| end)
    }

    fn each(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let counts = self.buckets.iter().enumerate();
        counts.map(|(at, count)| (end_ns(at), count.load(Ordering::Relaxed)))
    }
}

/// Tries of a lock that is held, before the thread sleeps until it is free: some 100 us, in which a reader ends its batch. A
/// thread that has slept is woken when the scheduler has a core for it, which on busy cores takes milliseconds.
const TRIES: u32 = 5_000;

/// Takes a lock that readers hold for some 50 us at a time.
pub(crate) fn write_soon<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    for _ in 0..TRIES {
        if let Some(guard) = lock.try_write() {
            return guard;
        }
        std::hint::spin_loop();
    }
    lock.write()
}

/// Adds up how long one commit waits for locks.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    /// A monotonic clock in nanoseconds. `None`: nothing is measured.
    pub(crate) now_ns: Option<fn() -> u64>,
    waited_ns: u64,
}

impl Stopwatch {
    /// Takes a lock and adds the time that it took.
    pub(crate) fn waiting<T>(&mut self, lock: impl FnOnce() -> T) -> T {
        let Some(now_ns) = self.now_ns else {
            return lock();
        };
        let began = now_ns();
        let locked = lock();
        self.waited_ns += now_ns().saturating_sub(began);
        locked
    }

    /// The time waited since the last call, in nanoseconds.
    pub(crate) fn take_ns(&mut self) -> u64 {
        std::mem::take(&mut self.waited_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_is_at_most_a_quarter_off(ns in prop_oneof![0u64..2000, any::<u64>()]) {
            let bucket = bucket_of(ns);
            prop_assert!(ns <= end_ns(bucket));
            prop_assert!(end_ns(bucket) - ns <= ns / 4);
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let durations = Durations::default();
        assert_eq!((durations.count(), durations.quantile_ns(0.5)), (0, 0));
        for ns in (1..=1000).map(|us| us * 1000) {
            durations.record(ns);
        }
        assert_eq!((durations.count(), durations.sum_ns()), (1000, 500_500_000));
        for (share, ns) in [(0.5, 500_000.0), (0.99, 990_000.0), (1.0, 1_000_000.0)] {
            let got = durations.quantile_ns(share) as f64;
            assert!(got >= ns && got <= ns * 1.25, "{share}: {got}");
        }
        let before = durations.snapshot();
        durations.record(5);
        let since = Durations::default();
        since.add_since(&durations, &before);
        assert_eq!(
            (since.count(), since.sum_ns(), before.count()),
            (1, 5, 1000)
        );
        assert_eq!(before.count_within(u64::MAX), 1000);
        assert_eq!(before.count_within(10), 0);
    }
}

//! What all senders may hold together: their series are no samples of the store, and anybody may send under a name of his own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stillwell_engine::labels::Labels;

/// A part of the memory limit; at least for some ten thousand series.
const LIMIT_PARTS: u64 = 16;
const BYTES_MIN: u64 = 8 << 20;
const BYTES_MAX: u64 = 256 << 20;
/// What a series takes beside its labels.
const SERIES_BYTES: usize = 160;

/// The bytes of the series of all senders.
#[derive(Debug)]
pub(super) struct SenderMemory {
    held: AtomicUsize,
    bytes_max: usize,
}

impl SenderMemory {
    pub(super) fn of_limit(memory_bytes_max: u64) -> Arc<SenderMemory> {
        let share = (memory_bytes_max / LIMIT_PARTS).clamp(BYTES_MIN, BYTES_MAX);
        Arc::new(SenderMemory {
            held: AtomicUsize::new(0),
            bytes_max: share as usize,
        })
    }
}

/// What one sender holds of it. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    of: Arc<SenderMemory>,
    bytes: usize,
}

impl Held {
    pub(super) fn nothing(of: Arc<SenderMemory>) -> Held {
        Held { of, bytes: 0 }
    }

    /// Takes what a series needs, if as much is left for others as this sender holds then. False: there is no more.
    pub(super) fn take(&mut self, labels: &Labels) -> bool {
        let bytes = bytes_of(labels);
        let own = self.bytes.saturating_add(bytes);
        let after = |held: usize| {
            let after = held.checked_add(bytes)?;
            (after.checked_add(own)? <= self.of.bytes_max).then_some(after)
        };
        let held = &self.of.held;
        let taken = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
        if taken.is_ok() {
            self.bytes += bytes;
        }
        taken.is_ok()
    }

    pub(super) fn give_back(&mut self, labels: &Labels) {
        let bytes = bytes_of(labels).min(self.bytes);
        self.bytes -= bytes;
        self.of.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn bytes_of(labels: &Labels) -> usize {
    let pairs = labels
        .iter()
        .map(|(name, value)| name.len() + value.len() + 16);
    SERIES_BYTES + pairs.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One took everything, and the next new series of any other made its page none.
    #[test]
    fn a_sender_leaves_as_much_as_it_holds() {
        let memory = SenderMemory::of_limit(0);
        let labels = Labels::from_pairs([("a", "x".repeat(1 << 20).as_str())]);
        let mut senders = [(); 3].map(|()| Held::nothing(Arc::clone(&memory)));
        let fit = [0, 1, 2].map(|at| (0..20).filter(|_| senders[at].take(&labels)).count());
        assert_eq!(fit, [3, 2, 1]);
        senders[0].give_back(&labels);
        senders[0].give_back(&labels);
        assert!(senders[2].take(&labels));
        drop(senders);
        assert_eq!(memory.held.load(Ordering::Relaxed), 0);
    }
}

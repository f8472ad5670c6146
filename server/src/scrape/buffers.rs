//! Buffers for pages, shared by all targets: memory follows the pages that are read at one time, not the targets.

use parking_lot::Mutex;

/// Kept for the next scrape; more are freed.
const KEPT_MAX: usize = 4;
/// A larger buffer is freed rather than kept: one huge page must not hold its memory for ever.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// A pool of byte buffers.
#[derive(Default)]
pub struct Buffers {
    /// Held for a push or a pop only.
    free: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer, with the memory of an earlier page if there is one.
    pub fn take(&self) -> Vec<u8> {
        self.free.lock().pop().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut free = self.free.lock();
        if free.len() < KEPT_MAX && buffer.capacity() <= KEPT_BYTES_MAX {
            free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_bounded() {
        let buffers = Buffers::default();
        buffers.give(Vec::with_capacity(1000));
        assert!(buffers.take().capacity() >= 1000);
        assert_eq!(buffers.take().capacity(), 0);
        buffers.give(Vec::with_capacity(KEPT_BYTES_MAX + 1));
        assert_eq!(buffers.take().capacity(), 0);
        for _ in 0..KEPT_MAX + 5 {
            buffers.give(Vec::with_capacity(10));
        }
        assert_eq!(buffers.free.lock().len(), KEPT_MAX);
    }
}

//! Buffers for pages, shared by all targets: memory follows the pages that are read at one time, not the targets.

use parking_lot::Mutex;

/// Kept for the next scrape; more are freed.
const KEPT_MAX: usize = 4;
/// Bytes of all that are kept: a huge page must not hold its memory for ever, nor several large ones beside the memory limit.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// A page gets no buffer that is larger than so many times its size, and than this: whoever sends a few bytes and no more would
/// hold a large page's memory.
const ROOM_TIMES: usize = 4;
const ROOM_BYTES_MIN: usize = 128 << 10;
/// A buffer that nobody has taken for so many calls of `trim` is freed: its page is scraped no more.
const IDLE_TRIMS_MAX: u64 = 60;

/// A pool of byte buffers.
#[derive(Default)]
pub struct Buffers {
    /// Held for a push or a pop only.
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    /// Each with the number of the trim before which it was given back; the newest last.
    buffers: Vec<(u64, Vec<u8>)>,
    trims: u64,
}

impl Buffers {
    /// An empty buffer for a page of about so many bytes, with the memory of an earlier page if one fits.
    pub fn take(&self, page_bytes: usize) -> Vec<u8> {
        let room_max = page_bytes.saturating_mul(ROOM_TIMES).max(ROOM_BYTES_MIN);
        let mut free = self.free.lock();
        let fits = free.buffers.iter().enumerate().filter_map(|(at, kept)| {
            let room = kept.1.capacity();
            (room <= room_max).then(|| ((room < page_bytes, room.abs_diff(page_bytes)), at))
        });
        match fits.min() {
            Some((_, at)) => free.buffers.remove(at).1,
            None => Vec::new(),
        }
    }

    /// Bytes that are kept.
    pub fn kept_bytes(&self) -> usize {
        let free = self.free.lock();
        free.buffers.iter().map(|(_, kept)| kept.capacity()).sum()
    }

    /// Gives a buffer back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut free = self.free.lock();
        let kept = free.buffers.iter().map(|(_, buffer)| buffer.capacity());
        let bytes = kept.sum::<usize>() + buffer.capacity();
        if free.buffers.len() < KEPT_MAX && bytes <= KEPT_BYTES_MAX {
            let trims = free.trims;
            free.buffers.push((trims, buffer));
        }
    }

    /// Frees what has long been idle. Call it about once a second.
    pub fn trim(&self) {
        let mut free = self.free.lock();
        free.trims += 1;
        let trims = free.trims;
        free.buffers
            .retain(|(since, _)| trims - since <= IDLE_TRIMS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_bounded() {
        let buffers = Buffers::default();
        buffers.give(Vec::with_capacity(1000));
        assert!(buffers.take(1000).capacity() >= 1000);
        assert_eq!(buffers.take(1000).capacity(), 0);
        buffers.give(Vec::with_capacity(KEPT_BYTES_MAX + 1));
        assert_eq!(buffers.take(KEPT_BYTES_MAX).capacity(), 0);
        for _ in 0..2 {
            buffers.give(Vec::with_capacity(KEPT_BYTES_MAX / 2 + 1));
        }
        assert_eq!(buffers.free.lock().buffers.len(), 1);
        buffers.take(KEPT_BYTES_MAX);
        assert_eq!(buffers.kept_bytes(), 0);
        for _ in 0..KEPT_MAX + 5 {
            buffers.give(Vec::with_capacity(10));
        }
        assert_eq!(buffers.free.lock().buffers.len(), KEPT_MAX);
        for _ in 0..IDLE_TRIMS_MAX {
            buffers.trim();
        }
        let used = buffers.take(0);
        buffers.give(used);
        buffers.trim();
        assert_eq!(
            buffers.free.lock().buffers.len(),
            1,
            "only what is in use stays"
        );
    }

    #[test]
    fn a_small_page_gets_no_large_buffer() {
        let buffers = Buffers::default();
        for bytes in [10 << 20, 300_000, 1_000] {
            buffers.give(Vec::with_capacity(bytes));
        }
        for (page_bytes, expected) in [
            (100, 1_000),
            (100, 0),
            (200_000, 300_000),
            (200_000, 0),
            (4 << 20, 10 << 20),
        ] {
            assert_eq!(
                buffers.take(page_bytes).capacity(),
                expected,
                "{page_bytes}"
            );
        }
    }
}

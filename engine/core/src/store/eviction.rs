//! Gives the memory of history back when series need it: the oldest history is dropped before any last value.
//!
//! Blocks are dropped oldest first, but not segment by segment: under memory pressure every segment holds blocks of
//! all ages. Blocks that remain in the least used segments are therefore moved into the others, some at a time. That is rare
//! and costs about one copy of what is moved.

use super::slab::{BlockId, PARTIAL_SEGMENTS_BYTES, SEGMENT_BLOCKS};
use super::store::Store;
use crate::ids::SeriesId;

impl Store {
    /// Drops, while series are read from a snapshot, what is older than `cutoff_ms`, and then the oldest history as far as all
    /// together is more than `bytes_max`. Answers the bytes that are held then.
    pub(crate) fn trim(&mut self, bytes_max: usize, cutoff_ms: i64) -> usize {
        self.order_sealed();
        self.drop_before(cutoff_ms);
        for id in (0..self.series.id_end()).map(SeriesId) {
            if self.series.row(id).is_present() {
                self.retain_explicit(id, cutoff_ms);
            }
        }
        let others = self.bytes().total() - self.slab.bytes();
        let history_bytes_max = bytes_max.saturating_sub(others);
        if self.slab.bytes() > history_bytes_max {
            while !self.shrink_history(history_bytes_max, usize::MAX) {}
        }
        // Nobody reads yet, so that the places of series that are gone are free at the second of two epochs.
        self.series.advance_epoch();
        self.series.advance_epoch();
        self.bytes().total()
    }

    /// Drops up to `blocks_max` of the oldest blocks while history takes more than `bytes_max`, or moves about as many. True:
    /// nothing more needs to be or can be done, and the memory has been given back.
    pub(crate) fn shrink_history(&mut self, bytes_max: usize, blocks_max: usize) -> bool {
        let used_max = bytes_max.saturating_sub(PARTIAL_SEGMENTS_BYTES);
        for _ in 0..blocks_max {
            if self.slab.used_bytes() <= used_max || !self.drop_oldest_for_memory() {
                return self.release_memory(bytes_max, blocks_max);
            }
        }
        false
    }

    /// Gives back the memory of segments without blocks, and then of some whose blocks are moved into others. True: there are
    /// no more, or no more need to.
    fn release_memory(&mut self, bytes_max: usize, blocks_max: usize) -> bool {
        self.slab.release_empty();
        if self.slab.bytes() <= bytes_max {
            self.slab.stop_evacuating();
            return true;
        }
        let segments = blocks_max / SEGMENT_BLOCKS / 3; // of each size
        let blocks = self.slab.evacuate(segments.max(1));
        for &block in &blocks {
            self.move_block(block);
        }
        let is_over = !self.slab.is_emptying();
        self.slab.vacate();
        if is_over || self.slab.bytes() <= bytes_max {
            self.slab.stop_evacuating();
            return true;
        }
        false
    }

    /// Moves a block into another segment.
    fn move_block(&mut self, block: BlockId) {
        let header = *self.slab.header(block);
        let copy = self.slab.copy(block);
        let row = self.series.row_mut(header.owner);
        if row.newest == block {
            row.newest = copy;
        }
        match row.oldest == block {
            true => row.oldest = copy,
            false => self.slab.link(header.previous(), copy),
        }
        if let Some(next) = header.next().some() {
            self.slab.link(copy, next);
        }
        self.slab.release(block);
    }
}

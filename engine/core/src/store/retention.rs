//! What retention and the memory limit drop.
//!
//! All sealed blocks stand in one queue, oldest first. Both drop from its front, so the oldest history of all series is dropped
//! first and a last value never. A series that is absent and has no block left is removed.

use super::codec::STALE;
use super::slab::BlockId;
use super::store::Store;
use crate::ids::{ClockId, SeriesId};

impl Store {
    /// Drops the oldest sealed block and records the loss. False: there is none, or readers see its last value as the newest of its
    /// series, whose end is on a page that is being committed.
    pub(super) fn drop_oldest_for_memory(&mut self) -> bool {
        let Some(front) = self.oldest_sealed().filter(|front| !self.is_newest(*front)) else {
            return false;
        };
        self.dropped.blocks_for_memory += 1;
        self.dropped.history_until_ms = self.dropped.history_until_ms.max(self.end_ms(front));
        self.drop_oldest();
        true
    }

    /// Drops sealed blocks that end before `time_ms`.
    pub(crate) fn drop_before(&mut self, time_ms: i64) {
        self.drop_blocks_before(time_ms, usize::MAX);
        for clock in &mut self.clocks {
            clock.drop_before(time_ms);
        }
        self.native_histograms.drop_before(time_ms);
        self.exemplars.drop_before(time_ms);
    }

    /// Drops up to so many sealed blocks that end before `time_ms`. True: there are no more.
    pub(crate) fn drop_blocks_before(&mut self, time_ms: i64, blocks_max: usize) -> bool {
        for _ in 0..blocks_max {
            match self.oldest_sealed() {
                Some(front) if self.end_ms(front).is_none_or(|end_ms| end_ms < time_ms) => {
                    self.drop_oldest()
                }
                _ => return true,
            }
        }
        false
    }

    /// When the last run of a sealed block ended; `None` where the clock has forgotten.
    pub(super) fn end_ms(&self, block: BlockId) -> Option<i64> {
        let header = self.slab.header(block);
        let gaps = self.slab.ops(block).gaps();
        let end_tick = header.first_tick + gaps;
        match header.clock {
            ClockId::EXPLICIT => Some(end_tick),
            clock => self.clocks[clock.index()]
                .at(end_tick - 1)
                .map(|entry| entry.time_ms),
        }
    }

    /// Whether the last run of a sealed block is the newest that readers know of its series.
    fn is_newest(&self, block: BlockId) -> bool {
        let header = self.slab.header(block);
        let end_tick = header.first_tick + self.slab.ops(block).gaps();
        let is_of_target = header.clock.target().is_some();
        is_of_target && end_tick >= self.clocks[header.clock.index()].next_tick()
    }

    fn oldest_sealed(&self) -> Option<BlockId> {
        let front = self.sealed.front()?;
        Some(self.series.row(*front).oldest)
    }

    fn drop_oldest(&mut self) {
        let Some(owner) = self.sealed.pop_front() else {
            return;
        };
        let row = self.series.row_mut(owner);
        let block = row.oldest;
        let header = self.slab.header(block);
        debug_assert!(
            header.sealed() && header.owner == owner,
            "blocks of a series are sealed oldest first"
        );
        row.oldest = header.next();
        if row.oldest == BlockId::NONE {
            row.newest = BlockId::NONE;
        }
        self.slab.release(block);
        let is_over = row.oldest == BlockId::NONE && !row.is_present();
        if is_over && !self.listed.contains(owner) {
            self.forget(owner);
        }
    }

    /// Ends a series with explicit timestamps if its last sample is older than `time_ms`; one of which nothing is left is
    /// forgotten, unless a page lists it. False: the series needs no further checks.
    pub(crate) fn retain_explicit(&mut self, id: SeriesId, time_ms: i64) -> bool {
        let row = *self.series.row(id);
        if row.clock != ClockId::EXPLICIT {
            return false;
        }
        if row.since >= time_ms {
            return true;
        }
        self.seal(id);
        self.series.row_mut(id).bits = STALE;
        if row.oldest == BlockId::NONE && !self.listed.contains(id) {
            self.forget(id);
            return false;
        }
        // A later sample may revive the series, which must then be ended again.
        true
    }

    /// Takes a series out of the store.
    fn forget(&mut self, id: SeriesId) {
        for (name, value) in self.series.pairs(id) {
            self.index.remove(name, value, id);
        }
        self.series.remove(id);
        self.native_histograms.forget(id);
        self.exemplars.forget(id);
    }
}

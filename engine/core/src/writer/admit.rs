//! The memory limit: whether new series fit.
//!
//! New series have precedence over old history, which is dropped for them, oldest first. What does not fit even then
//! is refused. The exact number of bytes is counted by `maintain` and estimated between two calls, so that no commit
//! pays for counting.

use std::sync::Arc;

use parking_lot::RwLockWriteGuard;

use super::Writer;
use crate::limits::WRITE_BATCH_SERIES;
use crate::store::Store;

/// When series need the memory of history, this fraction of the limit is freed beyond their need.
const MEMORY_SLACK_PART: usize = 32;

impl Writer {
    /// Reserves memory for new series, so many bytes at most, dropping old history if needed. `count` yields how many there are:
    /// most texts are interned already, and rows of removed series are reused. Yields what was reserved. `Err`: they do not fit;
    /// the bytes they would take.
    pub(super) fn admit(
        &mut self,
        at_most: usize,
        count: impl FnOnce(&Store) -> usize,
    ) -> Result<usize, usize> {
        if at_most == 0 {
            return Ok(0);
        }
        let mut new_bytes = at_most;
        if !self.fits(new_bytes) {
            new_bytes = count(&self.store.read());
            if !self.frees_memory(new_bytes) {
                return Err(new_bytes);
            }
        }
        self.non_history_bytes += new_bytes;
        let mut store = self.store.write();
        store.history_bytes_max = self.history_bytes_max();
        Ok(new_bytes)
    }

    /// Whether `new_bytes` fit, after dropping old history if needed.
    fn frees_memory(&self, new_bytes: usize) -> bool {
        if new_bytes == 0 {
            return true;
        }
        // What does not fit beside an empty history either is refused before any of it is dropped.
        if self.non_history_bytes.saturating_add(new_bytes) > self.bytes_max() {
            return false;
        }
        let store = Arc::clone(&self.store);
        let mut store = store.write();
        if store.slab.bytes() > self.free_for_history(new_bytes) {
            shrink(&mut store, self.history_beside(new_bytes));
        }
        let held_bytes = self.non_history_bytes + store.slab.bytes();
        held_bytes.saturating_add(new_bytes) <= self.bytes_max()
    }

    /// Bytes that history may take beside so many that are new.
    pub(super) fn free_for_history(&self, new_bytes: usize) -> usize {
        let others = self.non_history_bytes.saturating_add(new_bytes);
        self.bytes_max().saturating_sub(others)
    }

    /// Bytes of history that are left where it has to be dropped for `new_bytes`: somewhat less than could be, so that not every
    /// page with a new line comes here.
    pub(super) fn history_beside(&self, new_bytes: usize) -> usize {
        self.free_for_history(new_bytes + self.bytes_max() / MEMORY_SLACK_PART)
    }

    /// Whether so many bytes fit as it is.
    pub(super) fn fits(&self, new_bytes: usize) -> bool {
        self.held_bytes().saturating_add(new_bytes) <= self.bytes_max()
    }

    /// Whether history has to be dropped for so many bytes, and it helps.
    pub(super) fn needs_room(&self, new_bytes: usize) -> bool {
        let could_fit = self.non_history_bytes.saturating_add(new_bytes) <= self.bytes_max();
        could_fit && !self.fits(new_bytes)
    }

    /// Bytes that history may take. History and the rest both grow between two pages, so they must not both count on the
    /// same free memory.
    pub(super) fn history_bytes_max(&self) -> usize {
        let free = self.bytes_max().saturating_sub(self.non_history_bytes);
        (self.bytes_max() / 4 * 3).min(free)
    }

    fn bytes_max(&self) -> usize {
        usize::try_from(self.limits.memory_bytes_max).unwrap_or(usize::MAX)
    }

    /// Bytes held: history exactly, the rest as estimated.
    pub(super) fn held_bytes(&self) -> usize {
        self.non_history_bytes + self.store.read().slab.bytes()
    }
}

/// Drops the oldest history until at most `bytes_max` are left, yielding the lock to readers between batches.
pub(super) fn shrink(store: &mut RwLockWriteGuard<'_, Store>, bytes_max: usize) {
    while !store.shrink_history(bytes_max, WRITE_BATCH_SERIES) {
        RwLockWriteGuard::bump(store);
    }
}

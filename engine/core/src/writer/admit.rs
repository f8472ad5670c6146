//! Whether what is new fits the memory limit.
//!
//! It goes before old history, which is dropped for it, oldest first; what does not fit even then is refused. What is
//! held is counted by maintenance alone and only estimated in between, so that no page pays for counting.

use std::sync::Arc;

use parking_lot::RwLockWriteGuard;

use super::Writer;
use crate::labels::Labels;
use crate::limits::WRITE_BATCH_SERIES;
use crate::store::Store;

/// Where series need history's memory, this part of the limit is made free beyond what they need.
const MEMORY_SLACK_PART: usize = 32;

/// What a new series costs at most, beside its label texts (rows, index, identity, symbols), for the memory limit.
const NEW_SERIES_BYTES: usize = 300;

impl Writer {
    /// Lets series with these labels, and `more_bytes` beside them, in where they fit the memory limit, if need be in
    /// place of old history; else says how many bytes they would take.
    pub(super) fn admit<'a, I>(
        &mut self,
        labels: impl Fn() -> I,
        more_bytes: usize,
    ) -> Result<(), usize>
    where
        I: Iterator<Item = &'a Labels>,
    {
        let at_most: usize = labels()
            .map(|labels| labels.bytes() + NEW_SERIES_BYTES)
            .sum();
        if at_most + more_bytes == 0 {
            return Ok(());
        }
        let mut new_bytes = at_most + more_bytes;
        if self.held_bytes().saturating_add(new_bytes) > self.bytes_max() {
            // Most texts are known already, and places of series that ended are taken again.
            new_bytes = more_bytes + self.store.read().series.growth_bytes(labels());
            if !self.makes_room(new_bytes) {
                return Err(new_bytes);
            }
        }
        self.others_bytes += new_bytes;
        let mut store = self.store.write();
        store.history_bytes_max = self.history_bytes_max();
        Ok(())
    }

    /// Whether `new_bytes` fit, if need be in place of old history.
    fn makes_room(&self, new_bytes: usize) -> bool {
        if new_bytes == 0 {
            return true;
        }
        let free_for_history = |bytes: usize| {
            let others = self.others_bytes.saturating_add(bytes);
            self.bytes_max().saturating_sub(others)
        };
        let store = Arc::clone(&self.store);
        let mut store = store.write();
        if store.slab.bytes() > free_for_history(new_bytes) {
            // Somewhat more than is needed, so that not every page with a new line comes to this.
            let more = new_bytes + self.bytes_max() / MEMORY_SLACK_PART;
            shrink(&mut store, free_for_history(more));
        }
        let held_bytes = self.others_bytes + store.slab.bytes();
        held_bytes.saturating_add(new_bytes) <= self.bytes_max()
    }

    /// What history may hold beside everything else. It grows between two pages, and so does the rest: they must not
    /// both count on the same memory.
    pub(super) fn history_bytes_max(&self) -> usize {
        let free = self.bytes_max().saturating_sub(self.others_bytes);
        (self.bytes_max() / 4 * 3).min(free)
    }

    fn bytes_max(&self) -> usize {
        usize::try_from(self.limits.memory_bytes_max).unwrap_or(usize::MAX)
    }

    /// Bytes held, as far as is known between two counts.
    pub(super) fn held_bytes(&self) -> usize {
        self.others_bytes + self.store.read().slab.bytes()
    }
}

/// Drops the oldest history until at most `bytes_max` are left, letting the readers in now and then.
pub(super) fn shrink(store: &mut RwLockWriteGuard<'_, Store>, bytes_max: usize) {
    while !store.shrink_history(bytes_max, WRITE_BATCH_SERIES) {
        RwLockWriteGuard::bump(store);
    }
}

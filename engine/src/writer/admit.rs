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
        let limit = usize::try_from(self.limits.memory_bytes_max).unwrap_or(usize::MAX);
        if at_most + more_bytes == 0 || self.held_bytes + at_most + more_bytes <= limit {
            self.held_bytes += at_most + more_bytes;
            return Ok(());
        }
        // Most texts are known already, and places of series that ended are taken again.
        let new_bytes = more_bytes + self.store.read().series.growth_bytes(labels());
        if self.makes_room(new_bytes) {
            self.held_bytes += new_bytes;
            return Ok(());
        }
        Err(new_bytes)
    }

    /// Whether `new_bytes` fit, if need be in place of old history.
    fn makes_room(&mut self, new_bytes: usize) -> bool {
        let limit = usize::try_from(self.limits.memory_bytes_max).unwrap_or(usize::MAX);
        if new_bytes == 0 || self.held_bytes.saturating_add(new_bytes) <= limit {
            return true;
        }
        let store = Arc::clone(&self.store);
        let mut store = store.write();
        let before = store.slab.bytes();
        // Somewhat more than is needed, so that not every page with a new line comes to this.
        let more = new_bytes + limit / MEMORY_SLACK_PART;
        let others = self.held_bytes.saturating_sub(before);
        shrink(&mut store, limit.saturating_sub(others + more));
        self.held_bytes -= before.saturating_sub(store.slab.bytes());
        self.held_bytes.saturating_add(new_bytes) <= limit
    }
}

/// Drops the oldest history until at most `bytes_max` are left, letting the readers in now and then.
pub(super) fn shrink(store: &mut RwLockWriteGuard<'_, Store>, bytes_max: usize) {
    while !store.shrink_history(bytes_max, WRITE_BATCH_SERIES) {
        RwLockWriteGuard::bump(store);
    }
}

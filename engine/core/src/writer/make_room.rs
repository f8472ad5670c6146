//! Makes room for new series before they are added, with other commits in between.
//!
//! Where memory is used up, 100,000 new series need as many old ones to be dropped. Done at once, nobody else has the writer for
//! 0.1 s and more. Here what is needed is counted without the writer, and history is dropped a batch at a time, some 1 ms.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Writer;
use super::in_turn::in_turn;
use crate::exposition::Staged;
use crate::limits::WRITE_BATCH_SERIES;
use crate::store::{CountedGrowth, SMALL_BLOCK_BYTES};

/// The most that a page adds to what is held beside history.
pub(super) fn at_most_bytes(staged: &Staged<'_>) -> usize {
    if staged.new_series() == 0 {
        return staged.histogram_bytes();
    }
    staged.new_series_bytes() + beside_series_bytes(staged)
}

/// What a page with new series adds beside them, until it is its target's template.
pub(super) fn beside_series_bytes(staged: &Staged<'_>) -> usize {
    staged.histogram_bytes() + staged.parsed_bytes()
}

impl Staged<'_> {
    /// Drops old history for the page's new series, where they need it, a batch at a time.
    pub fn make_room(&mut self, writer: &Mutex<Writer>) {
        let at_most = at_most_bytes(self);
        if at_most == 0 {
            return;
        }
        // The last runs of the series that it ends.
        let ends_bytes = self.page().removed.len() * SMALL_BLOCK_BYTES;
        let held = writer.lock();
        if held.fits(at_most + ends_bytes) {
            return;
        }
        let store = Arc::clone(&held.store);
        drop(held);
        let labels = self.new_samples().filter_map(|sample| sample.labels);
        let growth = CountedGrowth::of(&store, labels, beside_series_bytes(self));
        self.growth = Some(growth);
        make_room(writer, &growth, ends_bytes);
    }
}

/// Drops old history for what is added, and for so many bytes of history as fit beside it, where that is needed and helps.
pub(super) fn make_room(writer: &Mutex<Writer>, growth: &CountedGrowth, history_bytes: usize) {
    let left_bytes = in_turn(writer, |writer| {
        let new_bytes = growth.bytes(&writer.store.read());
        let new_bytes = new_bytes + history_bytes.min(writer.free_for_history(new_bytes));
        let is_needed = writer.needs_room(new_bytes);
        is_needed.then(|| writer.history_beside(new_bytes))
    });
    if let Some(left_bytes) = left_bytes {
        shrink_in_steps(writer, left_bytes);
    }
}

/// Drops the oldest history until at most so many bytes of it are left.
pub(super) fn shrink_in_steps(writer: &Mutex<Writer>, bytes_max: usize) {
    let shrink = |writer: &mut Writer| {
        let mut store = writer.store.write();
        store.shrink_history(bytes_max, WRITE_BATCH_SERIES)
    };
    while !in_turn(writer, shrink) {}
}

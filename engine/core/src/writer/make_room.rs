//! Makes room for a page's new series before its commit, with other commits in between.
//!
//! Where memory is used up, a page with 100,000 new series needs as many old ones to be dropped. Done by the commit, nobody else
//! has the writer for 0.1 s and more. Here what is needed is counted without the writer, and history is dropped a batch at a
//! time, some 1 ms. The commit still decides by itself whether the page fits.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Writer;
use super::admit::NEW_SERIES_BYTES;
use super::commit_in_steps::in_turn;
use crate::exposition::Staged;
use crate::limits::WRITE_BATCH_SERIES;
use crate::store::{Growth, SMALL_BLOCK_BYTES};
use crate::time::Timestamp;

/// The most that a page adds to what is held beside history.
pub(super) fn at_most_bytes(staged: &Staged<'_>) -> usize {
    let (series, label_bytes) = staged.new_series();
    label_bytes + series * NEW_SERIES_BYTES + staged.histogram_bytes()
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
        let growth = Growth::of(labels);
        let batches = growth.texts.chunks(WRITE_BATCH_SERIES);
        let texts = batches.map(|texts| store.read().series.text_bytes(texts));
        let series_bytes = texts.sum::<usize>() + store.read().series.row_bytes(growth.series);
        self.growth_bytes = Some(series_bytes);
        let new_bytes = series_bytes + self.histogram_bytes();
        let history_bytes = in_turn(writer, |writer| {
            let is_needed = writer.needs_room(new_bytes + ends_bytes);
            is_needed.then(|| writer.history_beside(new_bytes + ends_bytes))
        });
        let Some(history_bytes) = history_bytes else {
            return;
        };
        let shrink = |writer: &mut Writer| {
            let mut store = writer.store.write();
            store.shrink_history(history_bytes, WRITE_BATCH_SERIES)
        };
        while !in_turn(writer, shrink) {}
    }
}

impl Writer {
    /// [`Writer::maintain`] for a writer that others wait for: what is older than the retention, or more than the memory limit
    /// allows, is dropped a batch at a time before.
    pub fn maintain_in_steps(writer: &Mutex<Writer>, now: Timestamp) {
        let drop_batch = |writer: &mut Writer| {
            let cutoff_ms = now.minus_ms(writer.limits.retention_ms).ms();
            let history_bytes_max = writer.history_bytes_max();
            let mut store = writer.store.write();
            store.drop_blocks_before(cutoff_ms, WRITE_BATCH_SERIES)
                && (store.slab.bytes() <= history_bytes_max
                    || store.shrink_history(history_bytes_max, WRITE_BATCH_SERIES))
        };
        while !in_turn(writer, drop_batch) {}
        in_turn(writer, |writer| writer.maintain(now));
    }
}

//! Makes room for new series before they are added, with other commits in between.
//!
//! Where memory is used up, 100,000 new series need as many old ones to be dropped. Done at once, nobody else has the writer for
//! 0.1 s and more. Here what is needed is counted without the writer, and history is dropped a batch at a time, some 1 ms. The
//! rows that can be reused are counted again when memory is reserved: others may have taken them meanwhile.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::Writer;
use super::admit::NEW_SERIES_BYTES;
use super::commit_in_steps::in_turn;
use crate::exposition::Staged;
use crate::labels::Labels;
use crate::limits::WRITE_BATCH_SERIES;
use crate::store::{Growth, SMALL_BLOCK_BYTES, Store};

/// What new series add to the store, counted before they are added.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CountedGrowth {
    /// Those that the store does not have.
    pub(crate) series: usize,
    /// Of texts that it does not have.
    text_bytes: usize,
    /// Of native histograms, and of what holds all this until it is added.
    pub(super) more_bytes: usize,
}

impl CountedGrowth {
    /// Counts the series among these that the store does not have, holding it for a batch of them at a time.
    pub(super) fn of<'l>(
        store: &RwLock<Store>,
        labels: impl Iterator<Item = &'l Labels>,
        more_bytes: usize,
    ) -> CountedGrowth {
        let (mut labels, mut new) = (labels.peekable(), Vec::new());
        while labels.peek().is_some() {
            let store = store.read();
            let batch = labels.by_ref().take(WRITE_BATCH_SERIES);
            new.extend(batch.filter(|labels| store.series.find(labels).is_none()));
        }
        let growth = Growth::of(new.into_iter());
        let batches = growth.texts.chunks(WRITE_BATCH_SERIES);
        let texts = batches.map(|texts| store.read().series.text_bytes(texts));
        CountedGrowth {
            series: growth.series,
            text_bytes: texts.sum(),
            more_bytes,
        }
    }

    /// Bytes that this adds now.
    pub(super) fn bytes(&self, store: &Store) -> usize {
        self.text_bytes + self.more_bytes + store.series.row_bytes(self.series)
    }
}

/// The most that a page adds to what is held beside history.
pub(super) fn at_most_bytes(staged: &Staged<'_>) -> usize {
    let (series, label_bytes) = staged.new_series();
    if series == 0 {
        return staged.histogram_bytes();
    }
    label_bytes + series * NEW_SERIES_BYTES + staged.histogram_bytes() + staged.parsed_bytes()
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
        let more_bytes = self.histogram_bytes() + self.parsed_bytes();
        let growth = CountedGrowth::of(&store, labels, more_bytes);
        self.growth = Some(growth);
        make_room(writer, &growth, ends_bytes);
    }
}

/// Drops old history for what is added, and for so many bytes of history, where that is needed and helps.
pub(super) fn make_room(writer: &Mutex<Writer>, growth: &CountedGrowth, history_bytes: usize) {
    let left_bytes = in_turn(writer, |writer| {
        let new_bytes = growth.bytes(&writer.store.read()) + history_bytes;
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

//! Counts what new series add to the store before they are added, for whoever has no time to do it under a lock.
//!
//! The rows that can be reused are counted when memory is reserved: others may have taken them meanwhile. Texts that others bring
//! meanwhile only make it less.

use parking_lot::RwLock;

use super::history::Store;
use super::series::Growth;
use crate::labels::Labels;
use crate::limits::WRITE_BATCH_SERIES;

/// What new series add to the store, counted before they are added.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CountedGrowth {
    /// Those that the store does not have.
    pub(crate) series: usize,
    /// Of texts that it does not have.
    text_bytes: usize,
    /// Of native histograms, and of what holds all this until it is added.
    pub(crate) more_bytes: usize,
}

impl CountedGrowth {
    /// Counts the series among these that the store does not have, holding it for a batch of them at a time.
    pub(crate) fn of<'l>(
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
    pub(crate) fn bytes(&self, store: &Store) -> usize {
        self.text_bytes + self.more_bytes + store.series.row_bytes(self.series)
    }
}

//! Counts what new series add to the store before they are added, for whoever has no time to do it under a lock.
//!
//! The rows that can be reused are counted when memory is reserved: others may have taken them meanwhile. Texts that others bring
//! meanwhile only make it less.

use hashbrown::HashSet;
use parking_lot::RwLock;

use super::postings::{NAME_BYTES, PAIR_BYTES};
use super::series::SERIES_BYTES;
use super::store::Store;
use super::symbols::SYMBOL_BYTES;
use crate::labels::Labels;
use crate::limits::WRITE_BATCH_SERIES;

/// So many labels are counted with each series.
const FEW_LABELS: usize = 10;
/// One more: its value, its pair in the series' shape, and the series in the list of those that have it.
const LABEL_BYTES: usize = 24;

/// The most that new series add beside the texts of their labels, counted as they are found, each beside the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AtMost {
    /// How many there are.
    pub(crate) series: usize,
    /// Labels beyond [`FEW_LABELS`] of one, of all together.
    more_labels: usize,
    /// Labels that the series before does not have at their place.
    pairs: usize,
    /// Those of them whose names it does not have there.
    names: usize,
}

impl AtMost {
    /// Counts a series that follows on one with these labels.
    pub(crate) fn add(&mut self, labels: &Labels, before: Option<&Labels>) {
        self.series += 1;
        let mut counted = before.map(Labels::iter);
        let mut len = 0usize;
        for (name, value) in labels.iter() {
            len += 1;
            match counted.as_mut().and_then(Iterator::next) {
                Some(same) if same == (name, value) => {}
                Some((same, _)) if same == name => self.pairs += 1,
                _ => {
                    self.pairs += 1;
                    self.names += 1;
                }
            }
        }
        self.more_labels += len.saturating_sub(FEW_LABELS);
    }

    /// In bytes, without the texts.
    pub(crate) fn bytes(&self) -> usize {
        self.series * SERIES_BYTES
            + self.more_labels * LABEL_BYTES
            + self.pairs * (SYMBOL_BYTES + PAIR_BYTES)
            + self.names * (SYMBOL_BYTES + NAME_BYTES)
    }
}

/// What new series with some labels may add.
#[derive(Default)]
pub(crate) struct Growth<'a> {
    series: usize,
    more_labels: usize,
    /// Names and values, each once.
    texts: HashSet<&'a str>,
    names: HashSet<&'a str>,
    pairs: HashSet<(&'a str, &'a str)>,
}

impl<'a> Growth<'a> {
    pub(crate) fn of(series: impl Iterator<Item = &'a Labels>) -> Growth<'a> {
        let mut growth = Growth::default();
        let mut before: Option<&Labels> = None;
        for labels in series {
            growth.series += 1;
            // What the set before has at the same place was counted with it.
            let mut counted = before.map(Labels::iter);
            let mut len = 0usize;
            for (name, value) in labels.iter() {
                len += 1;
                let same = counted.as_mut().and_then(Iterator::next);
                if same != Some((name, value)) {
                    growth.pairs.insert((name, value));
                    growth.texts.insert(value);
                }
                if same.is_none_or(|same| same.0 != name) {
                    growth.names.insert(name);
                    growth.texts.insert(name);
                }
            }
            growth.more_labels += len.saturating_sub(FEW_LABELS);
            before = Some(labels);
        }
        growth
    }
}

impl Store {
    /// The most that it grows by new series.
    pub(crate) fn growth_bytes(&self, growth: &Growth<'_>) -> usize {
        let texts = growth.texts.iter().map(|text| self.text_bytes(text));
        let names = growth.names.iter().map(|name| self.name_bytes(name));
        let pairs = growth.pairs.iter().map(|pair| self.pair_bytes(*pair));
        texts.sum::<usize>()
            + names.sum::<usize>()
            + pairs.sum::<usize>()
            + growth.more_labels * LABEL_BYTES
            + self.series.row_bytes(growth.series)
    }

    /// Of a text that is not known yet.
    fn text_bytes(&self, text: &str) -> usize {
        match self.series.symbols.find(text) {
            Some(_) => 0,
            None => text.len() + SYMBOL_BYTES,
        }
    }

    /// Of a name that no series has.
    fn name_bytes(&self, name: &str) -> usize {
        let symbol = self.series.symbols.find(name);
        match symbol.and_then(|symbol| self.index.values(symbol)) {
            Some(_) => 0,
            None => NAME_BYTES,
        }
    }

    /// Of a name and a value that no series has.
    fn pair_bytes(&self, (name, value): (&str, &str)) -> usize {
        let find = |text| self.series.symbols.find(text);
        let values = find(name).and_then(|name| self.index.values(name));
        match values.and_then(|values| values.get(find(value)?)) {
            Some(_) => 0,
            None => PAIR_BYTES,
        }
    }
}

/// What new series add to the store, counted before they are added.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CountedGrowth {
    /// Those that the store does not have.
    pub(crate) series: usize,
    /// Of texts, names and pairs that it does not have.
    label_bytes: usize,
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
        let of_labels = in_batches(store, growth.texts, |store, text| store.text_bytes(text))
            + in_batches(store, growth.names, |store, name| store.name_bytes(name))
            + in_batches(store, growth.pairs, |store, pair| store.pair_bytes(pair));
        CountedGrowth {
            series: growth.series,
            label_bytes: of_labels + growth.more_labels * LABEL_BYTES,
            more_bytes,
        }
    }

    /// Bytes that this adds now.
    pub(crate) fn bytes(&self, store: &Store) -> usize {
        self.label_bytes + self.more_bytes + store.series.row_bytes(self.series)
    }

    /// The most that this adds, whatever the store has.
    pub(crate) fn at_most_bytes(&self) -> usize {
        self.label_bytes + self.more_bytes + self.series * SERIES_BYTES
    }
}

/// The sum over all items, holding the store for a batch of them at a time.
fn in_batches<T>(
    store: &RwLock<Store>,
    items: HashSet<T>,
    bytes: impl Fn(&Store, T) -> usize,
) -> usize {
    let (mut items, mut sum) = (items.into_iter().peekable(), 0);
    while items.peek().is_some() {
        let store = store.read();
        let batch = items.by_ref().take(WRITE_BATCH_SERIES);
        sum += batch.map(|item| bytes(&store, item)).sum::<usize>();
    }
    sum
}

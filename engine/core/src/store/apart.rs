//! A label set taken apart into symbols and its stem, by what the set before it had.
//!
//! Neighbours on a page differ in a label or two. Where name and value stand as in the set before, their symbols are
//! at hand without a look into the table, and so is the stem: of ten labels eight cost a comparison of texts.
//!
//! What is remembered are symbols in use. `forget` it before one of them can end.

use super::stems::{self, Pair, StemId, Stems};
use super::symbol::Symbol;
use super::symbols::Symbols;
use crate::labels::Labels;

/// One label. No symbol: no series uses the text yet.
#[derive(Clone, Copy)]
pub(super) struct Part {
    name: Option<Symbol>,
    value: Option<Symbol>,
    shared: bool,
}

/// The set that was taken apart last.
#[derive(Default)]
pub(super) struct Apart {
    labels: Labels,
    parts: Vec<Part>,
    stem: Vec<Pair>,
    stem_id: Option<StemId>,
    words: Vec<u32>,
}

impl Apart {
    /// The stem's number and the values beside it, as a series with these labels would have them; `None` where some
    /// text or the stem is not known, so that there is no such series.
    pub(super) fn words(
        &mut self,
        labels: &Labels,
        symbols: &Symbols,
        stems: &Stems,
    ) -> Option<&[u32]> {
        if !self.take(labels, symbols) || self.stem_id.is_none() {
            self.stem_id = self
                .collect_stem()
                .then(|| stems.find(&self.stem))
                .flatten();
        }
        self.words.clear();
        self.words.push(self.stem_id?);
        for part in self.parts.iter().filter(|part| !part.shared) {
            self.words.push(part.value?.0);
        }
        Some(&self.words)
    }

    /// The same for a new series: texts that are not known become symbols, and all of them have one user more.
    pub(super) fn acquire(
        &mut self,
        labels: &Labels,
        symbols: &mut Symbols,
        stems: &mut Stems,
        mut reuse: impl FnMut() -> Option<u32>,
    ) -> &[u32] {
        self.words(labels, symbols, stems);
        let stem_is_held = self.stem_id.is_some();
        let mut texts = labels.iter();
        let is_new = |part: &Part| part.name.is_none() || part.value.is_none();
        let some_are_new = self.parts.iter().any(is_new);
        for part in &mut self.parts {
            let (name, value) = match some_are_new {
                true => texts.next().unwrap_or_default(),
                false => ("", ""), // not looked at
            };
            // A stem holds its names, and the values that are shared, once for all of its series.
            if !stem_is_held {
                part.name = Some(symbols.acquire(part.name, name, &mut reuse));
            }
            if !stem_is_held || !part.shared {
                part.value = Some(symbols.acquire(part.value, value, &mut reuse));
            }
        }
        let id = match self.stem_id {
            Some(id) => {
                stems.hold(id);
                id
            }
            None => self.acquire_stem(symbols, stems),
        };
        self.stem_id = Some(id);
        self.words.clear();
        self.words.push(id);
        let own = self.parts.iter().filter(|part| !part.shared);
        self.words
            .extend(own.filter_map(|part| Some(part.value?.0)));
        &self.words
    }

    /// Remembers nothing: symbols may end.
    pub(super) fn forget(&mut self) {
        self.labels = Labels::empty();
        self.parts.clear();
        self.stem_id = None;
    }

    /// Looks up what differs from before. Whether the stem is the same.
    fn take(&mut self, labels: &Labels, symbols: &Symbols) -> bool {
        if self.labels.is_same(labels) {
            return true;
        }
        let before = std::mem::replace(&mut self.labels, labels.clone());
        let mut same_stem = true;
        let mut before = before.iter();
        let mut len = 0;
        for (name, value) in labels.iter() {
            let old = before.next();
            let same_name = old.is_some_and(|old| old.0 == name);
            if !same_name {
                same_stem = false;
                let part = Part {
                    name: None,
                    value: None,
                    shared: stems::is_shared(name),
                };
                if len == self.parts.len() {
                    self.parts.push(part);
                } else {
                    self.parts[len] = part;
                }
            }
            let part = &mut self.parts[len];
            if !same_name || old.is_none_or(|old| old.1 != value) {
                same_stem &= !part.shared;
                part.value = None;
            }
            part.name = part.name.or_else(|| symbols.find(name));
            part.value = part.value.or_else(|| symbols.find(value));
            len += 1;
        }
        same_stem &= len == self.parts.len();
        self.parts.truncate(len);
        same_stem
    }

    /// False where some text of it is not known.
    fn collect_stem(&mut self) -> bool {
        self.stem.clear();
        for part in &self.parts {
            let value = match part.shared {
                true => part.value,
                false => Some(stems::VARIES),
            };
            let (Some(name), Some(value)) = (part.name, value) else {
                return false;
            };
            self.stem.push((name, value));
        }
        true
    }

    /// The stem of labels whose symbols are all held by this series.
    fn acquire_stem(&mut self, symbols: &mut Symbols, stems: &mut Stems) -> StemId {
        self.collect_stem();
        let (id, made) = stems.acquire(&self.stem);
        if !made {
            // The stem has these already.
            for symbol in stems::symbols(&self.stem) {
                symbols.release(symbol);
            }
        }
        id
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.parts.capacity() * size_of::<Part>()
            + self.stem.capacity() * size_of::<Pair>()
            + self.words.capacity() * size_of::<u32>()
            + self.labels.bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use crate::ids::ClockId;
    use crate::labels::Labels;
    use crate::store::series::Series;

    proptest! {
        /// Of all sequences of looking, making and removing: what is remembered of the set before changes no answer,
        /// and a text is held exactly as long as some series uses it.
        #[test]
        fn the_set_before_changes_no_answer(
            steps in prop::collection::vec((0u8..3, prop::collection::vec(0u8..3, 4)), 0..80),
        ) {
            let (mut series, mut naive) = (Series::default(), BTreeMap::new());
            for (step, values) in steps {
                let pairs = ["__name__", "a", "job", "z"].into_iter().zip(&values);
                // 0: the label is absent, and those after it move up.
                let texts: Vec<(&str, String)> = pairs
                    .filter(|(_, value)| **value > 0)
                    .map(|(name, value)| (name, format!("v{value}")))
                    .collect();
                let labels = Labels::from_sorted(texts.iter().map(|(n, v)| (*n, v.as_str())));
                let known = naive.get(&labels).copied();
                prop_assert_eq!(series.find(&labels), known);
                prop_assert_eq!(series.seek(&labels), known);
                match (step, known) {
                    (1, None) => {
                        let id = series.create(&labels, ClockId::OWN, 0, 0);
                        prop_assert_eq!(series.labels(id), labels.clone());
                        naive.insert(labels, id);
                    }
                    (2, Some(id)) => {
                        series.remove(id);
                        naive.remove(&labels);
                    }
                    _ => {}
                }
            }
            let used: std::collections::BTreeSet<&str> =
                naive.keys().flat_map(|labels| labels.iter().flat_map(|(n, v)| [n, v])).collect();
            for text in ["__name__", "a", "job", "z", "v1", "v2"] {
                prop_assert_eq!(series.symbols.find(text).is_some(), used.contains(text), "{}", text);
            }
            for id in naive.into_values() {
                series.remove(id);
            }
            for text in ["__name__", "a", "job", "z", "v1", "v2"] {
                prop_assert!(series.symbols.find(text).is_none(), "{} is held for nobody", text);
            }
        }
    }
}

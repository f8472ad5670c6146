//! Translates a label set into symbols and its shape, incrementally from the set before it.
//!
//! Consecutive lines of a page differ in one or two labels. Where name and value equal those of the previous set,
//! their symbols are reused without a table lookup, and so is the shape: of ten labels, eight cost one string
//! comparison.
//!
//! The cached symbols must be in use by a series. `forget` has to be called before any symbol can end.

use super::label_shapes::{self, LabelShapes, Pair, ShapeId};
use super::symbol::Symbol;
use super::symbols::Symbols;
use crate::labels::Labels;

/// One label of the cached set. `None`: no series uses the text.
#[derive(Clone, Copy)]
pub(super) struct LabelPart {
    name: Option<Symbol>,
    value: Option<Symbol>,
    shared: bool,
}

/// The cache: the label set of the last call with its symbols and its shape.
#[derive(Default)]
pub(super) struct LabelInterner {
    labels: Labels,
    parts: Vec<LabelPart>,
    shape: Vec<Pair>,
    shape_id: Option<ShapeId>,
    words: Vec<u32>,
}

impl LabelInterner {
    /// The words by which a series with these labels is stored: the shape's id, then the values that the shape leaves
    /// open. `None`: some text or the shape is unknown, so there is no such series.
    pub(super) fn words(
        &mut self,
        labels: &Labels,
        symbols: &Symbols,
        label_shapes: &LabelShapes,
    ) -> Option<&[u32]> {
        if !self.take(labels, symbols) || self.shape_id.is_none() {
            self.shape_id = self
                .collect_shape()
                .then(|| label_shapes.find(&self.shape))
                .flatten();
        }
        self.words.clear();
        self.words.push(self.shape_id?);
        for part in self.parts.iter().filter(|part| !part.shared) {
            self.words.push(part.value?.0);
        }
        Some(&self.words)
    }

    /// The same words for a new series. Unknown texts become symbols, and the user count of each symbol grows by one.
    pub(super) fn acquire(
        &mut self,
        labels: &Labels,
        symbols: &mut Symbols,
        label_shapes: &mut LabelShapes,
        mut reuse: impl FnMut() -> Option<u32>,
    ) -> &[u32] {
        self.words(labels, symbols, label_shapes);
        let shape_is_held = self.shape_id.is_some();
        let mut texts = labels.iter();
        let is_new = |part: &LabelPart| part.name.is_none() || part.value.is_none();
        let some_are_new = self.parts.iter().any(is_new);
        for part in &mut self.parts {
            let (name, value) = match some_are_new {
                true => texts.next().unwrap_or_default(),
                false => ("", ""), // not looked at
            };
            // A shape holds its names and shared values once for all of its series.
            if !shape_is_held {
                part.name = Some(symbols.acquire(part.name, name, &mut reuse));
            }
            if !shape_is_held || !part.shared {
                part.value = Some(symbols.acquire(part.value, value, &mut reuse));
            }
        }
        let id = match self.shape_id {
            Some(id) => {
                label_shapes.hold(id);
                id
            }
            None => self.acquire_shape(symbols, label_shapes),
        };
        self.shape_id = Some(id);
        self.words.clear();
        self.words.push(id);
        let own = self.parts.iter().filter(|part| !part.shared);
        self.words
            .extend(own.filter_map(|part| Some(part.value?.0)));
        &self.words
    }

    /// Empties the cache, before symbols may end.
    pub(super) fn forget(&mut self) {
        self.labels = Labels::empty();
        self.parts.clear();
        self.shape_id = None;
    }

    /// Updates the cache to `labels`, looking up only what differs. Returns whether the shape is unchanged.
    fn take(&mut self, labels: &Labels, symbols: &Symbols) -> bool {
        if self.labels.is_same(labels) {
            return true;
        }
        let before = std::mem::replace(&mut self.labels, labels.clone());
        let mut same_shape = true;
        let mut before = before.iter();
        let mut len = 0;
        for (name, value) in labels.iter() {
            let old = before.next();
            let same_name = old.is_some_and(|old| old.0 == name);
            if !same_name {
                same_shape = false;
                let part = LabelPart {
                    name: None,
                    value: None,
                    shared: label_shapes::is_shared(name),
                };
                if len == self.parts.len() {
                    self.parts.push(part);
                } else {
                    self.parts[len] = part;
                }
            }
            let part = &mut self.parts[len];
            if !same_name || old.is_none_or(|old| old.1 != value) {
                same_shape &= !part.shared;
                part.value = None;
            }
            part.name = part.name.or_else(|| symbols.find(name));
            part.value = part.value.or_else(|| symbols.find(value));
            len += 1;
        }
        same_shape &= len == self.parts.len();
        self.parts.truncate(len);
        same_shape
    }

    /// Collects the pairs of the shape. False: some text is unknown.
    fn collect_shape(&mut self) -> bool {
        self.shape.clear();
        for part in &self.parts {
            let value = match part.shared {
                true => part.value,
                false => Some(label_shapes::VARIES),
            };
            let (Some(name), Some(value)) = (part.name, value) else {
                return false;
            };
            self.shape.push((name, value));
        }
        true
    }

    /// The shape of labels whose symbols this series already holds.
    fn acquire_shape(&mut self, symbols: &mut Symbols, label_shapes: &mut LabelShapes) -> ShapeId {
        self.collect_shape();
        let (id, made) = label_shapes.acquire(&self.shape);
        if !made {
            // The shape holds these symbols already.
            for symbol in label_shapes::symbols(&self.shape) {
                symbols.release(symbol);
            }
        }
        id
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.parts.capacity() * size_of::<LabelPart>()
            + self.shape.capacity() * size_of::<Pair>()
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
        /// For any sequence of lookups, creations and removals: the cache changes no result, and a text is held exactly
        /// as long as a series uses it.
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
                prop_assert_eq!(series.find_near_last(&labels), known);
                match (step, known) {
                    (1, None) => {
                        let id = series.create(&labels, ClockId::EXPLICIT, 0, 0);
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

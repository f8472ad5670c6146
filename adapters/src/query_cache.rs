//! Queries that were read before: scalers and dashboards ask the same ones again and again, and reading a query costs as
//! much as evaluating a small one (some 20 us).

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;
use parking_lot::Mutex;
use stillwell_engine::promql::{Features, Query};

/// Slots; a query has one slot, and whoever comes later takes it.
const SLOTS: usize = 256;
/// Longer texts are read anew each time: people write them, once.
const TEXT_BYTES_MAX: usize = 2_000;

/// Queries by their text.
pub struct QueryCache {
    hasher: DefaultHashBuilder,
    /// Held to look, or to put one in.
    slots: Mutex<Vec<Option<Slot>>>,
}

struct Slot {
    text: Box<str>,
    features: Features,
    query: Query,
}

impl Default for QueryCache {
    fn default() -> QueryCache {
        QueryCache {
            hasher: DefaultHashBuilder::default(),
            slots: Mutex::new((0..SLOTS).map(|_| None).collect()),
        }
    }
}

impl QueryCache {
    /// The query of a text that was read before.
    pub fn known(&self, text: &str, features: &Features) -> Option<Query> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let known = |slot: &&Slot| *slot.text == *text && slot.features == *features;
        let slots = self.slots.lock();
        let slot = slots[self.slot_of(text)].as_ref().filter(known);
        slot.map(|slot| slot.query.clone())
    }

    /// Remembers what was read.
    pub fn remember(&self, text: &str, features: &Features, query: &Query) {
        if text.len() > TEXT_BYTES_MAX {
            return;
        }
        let slot = Slot {
            text: text.into(),
            features: *features,
            query: query.clone(),
        };
        let at = self.slot_of(text);
        self.slots.lock()[at] = Some(slot);
    }

    fn slot_of(&self, text: &str) -> usize {
        self.hasher.hash_one(text) as usize % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_was_read() {
        let cache = QueryCache::default();
        let read = |text: &str, features: &Features| {
            let query = match cache.known(text, features) {
                Some(query) => query,
                None => Query::parse(text, features)?,
            };
            cache.remember(text, features, &query);
            Ok::<_, stillwell_engine::promql::QueryError>(format!("{query:?}"))
        };
        let (plain, all) = (Features::default(), Features::all());
        // More texts than slots, each asked for twice, so that slots change hands.
        for round in 0..2 * SLOTS {
            let text = format!("sum(x{{a=\"{}\"}})", round % (SLOTS + 7));
            let fresh = Query::parse(&text, &plain).expect("valid");
            assert_eq!(read(&text, &plain), Ok(format!("{fresh:?}")));
        }
        assert!(read("sort_by_label(x)", &all).is_ok());
        assert!(read("sort_by_label(x)", &plain).is_err());
        assert!(read("sum(", &plain).is_err() && read("sum(", &plain).is_err());
    }
}

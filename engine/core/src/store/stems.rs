//! What the labels of many series have in common, stored once.
//!
//! The series of one metric on one target have the same label names, and under some of them (the metric's name, and
//! what says where it was scraped) the same values. That is their *stem*; a series holds only its stem's number and
//! the values that differ:
//!
//! ```text
//!  stem    | __name__ x_bucket | instance a:1 | job epp | le * | model_name * | pod epp-7 |
//!  series  | stem u32 | le u32 | model_name u32 |                    12 bytes instead of 48
//! ```
//!
//! Which names are part of a stem is fixed, so equal label sets have equal stems. A page on which they differ from
//! line to line works as well; it makes a stem per series, for about twice the bytes.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::arena::Arena;
use super::symbol::Symbol;

/// A label of a stored series.
pub(crate) type Pair = (Symbol, Symbol);

/// Stands in a stem where the series' values differ.
pub(super) const VARIES: Symbol = Symbol(u32::MAX);

/// Labels that say what was measured and where: the same for all series of a metric on a target. The scrape puts
/// them there (Prometheus' `job` and `instance`, and what Kubernetes discovery attaches).
const SHARED: [&str; 11] = [
    "__name__",
    "container",
    "endpoint",
    "instance",
    "job",
    "namespace",
    "node",
    "pod",
    "service",
    "top_level_controller_name",
    "top_level_controller_type",
];

/// Whether the value under this name is part of the stem.
pub(crate) fn is_shared(name: &str) -> bool {
    SHARED.binary_search(&name).is_ok()
}

/// The number of a stem.
pub(crate) type StemId = u32;

#[derive(Clone, Copy)]
struct Stem {
    place: u32,
    len: u16,
    varying: u16,
    users: u32,
}

/// All stems.
#[derive(Default)]
pub(crate) struct Stems {
    stems: Vec<Stem>,
    free: Vec<StemId>,
    pairs: Arena<Pair>,
    by_pairs: HashTable<StemId>,
    hasher: DefaultHashBuilder,
}

impl Stems {
    /// The stem of these pairs, if a series has it.
    pub(crate) fn find(&self, pairs: &[Pair]) -> Option<StemId> {
        let hash = self.hasher.hash_one(pairs);
        let found = self.by_pairs.find(hash, |&id| self.pairs(id) == pairs);
        found.copied()
    }

    /// The same with one user more, made if there is none; whether it was made.
    pub(crate) fn acquire(&mut self, pairs: &[Pair]) -> (StemId, bool) {
        if let Some(id) = self.find(pairs) {
            self.hold(id);
            return (id, false);
        }
        let stem = Stem {
            place: self.pairs.put(pairs),
            len: pairs.len() as u16,
            varying: pairs.iter().filter(|pair| pair.1 == VARIES).count() as u16,
            users: 1,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.stems[id as usize] = stem;
                id
            }
            None => {
                self.stems.push(stem);
                self.stems.len() as u32 - 1
            }
        };
        let hash = self.hasher.hash_one(pairs);
        let (stems, arena, hasher) = (&self.stems, &self.pairs, &self.hasher);
        self.by_pairs.insert_unique(hash, id, |&id| {
            let stem = stems[id as usize];
            hasher.hash_one(arena.get(stem.place, usize::from(stem.len)))
        });
        (id, true)
    }

    /// One user more.
    pub(crate) fn hold(&mut self, id: StemId) {
        self.stems[id as usize].users += 1;
    }

    /// One user fewer; what the stem held where that was the last one.
    pub(crate) fn release(&mut self, id: StemId) -> Option<Vec<Pair>> {
        let stem = &mut self.stems[id as usize];
        stem.users -= 1;
        if stem.users > 0 {
            return None;
        }
        let stem = *stem;
        let pairs = self.pairs(id).to_vec();
        let hash = self.hasher.hash_one(pairs.as_slice());
        if let Ok(found) = self.by_pairs.find_entry(hash, |&have| have == id) {
            found.remove();
        }
        self.pairs.release(stem.place, pairs.len());
        self.free.push(id);
        Some(pairs)
    }

    /// Name and value of each label, ascending by name; the value is `VARIES` where the series have their own.
    #[inline]
    fn pairs(&self, id: StemId) -> &[Pair] {
        let stem = self.stems[id as usize];
        self.pairs.get(stem.place, usize::from(stem.len))
    }

    /// How many values a series with this stem has of its own.
    #[inline]
    pub(crate) fn varying(&self, id: StemId) -> usize {
        usize::from(self.stems[id as usize].varying)
    }

    /// The labels of a series with this stem and these values, ascending by name.
    #[inline]
    pub(crate) fn join<'a>(
        &'a self,
        id: StemId,
        values: &'a [u32],
    ) -> impl Iterator<Item = Pair> + Clone + 'a {
        let mut values = values.iter();
        self.pairs(id).iter().map(move |&(name, value)| {
            if value != VARIES {
                return (name, value);
            }
            let own = values.next().copied().unwrap_or(VARIES.0);
            (name, Symbol(own))
        })
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.stems.capacity() * size_of::<Stem>()
            + self.free.capacity() * size_of::<StemId>()
            + self.pairs.bytes()
            + self.by_pairs.allocation_size()
    }
}

/// The symbols that a stem itself holds: all its names, and the values that do not vary.
pub(crate) fn symbols(pairs: &[Pair]) -> impl Iterator<Item = Symbol> + '_ {
    pairs
        .iter()
        .flat_map(|&(name, value)| [name, value])
        .filter(|&symbol| symbol != VARIES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_names_are_in_order() {
        assert!(SHARED.is_sorted());
        assert!(is_shared("__name__") && is_shared("job") && !is_shared("le"));
    }

    #[test]
    fn a_stem_lives_as_long_as_its_users_and_joins_what_was_split() {
        let mut stems = Stems::default();
        let pair = |name, value| (Symbol(name), Symbol(value));
        let pairs = [(1, 2), (3, VARIES.0), (5, 6), (7, VARIES.0)].map(|(n, v)| pair(n, v));
        let values = [4, 8];
        let (id, made) = stems.acquire(&pairs);
        assert_eq!((made, stems.acquire(&pairs)), (true, (id, false)));
        assert_eq!(stems.varying(id), 2);
        let joined: Vec<Pair> = stems.join(id, &values).collect();
        assert_eq!(
            joined,
            [(1, 2), (3, 4), (5, 6), (7, 8)].map(|(n, v)| pair(n, v))
        );
        let held: Vec<u32> = symbols(&pairs).map(|symbol| symbol.0).collect();
        assert_eq!(held, [1, 2, 3, 5, 6, 7]);
        assert_eq!(stems.release(id), None);
        assert_eq!(stems.release(id), Some(pairs.to_vec()));
        assert_eq!(stems.find(&pairs), None);
    }
}

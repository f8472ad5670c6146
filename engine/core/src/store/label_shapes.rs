//! Label shapes: the part of their labels that many series share, stored once.
//!
//! The series of one metric on one target have the same label names, and some of these names (the metric name and the
//! target labels) have the same values. That common part is their *shape*. A series stores only the id of its shape
//! and the values that differ:
//!
//! ```text
//!  shape   | __name__ x_bucket | instance a:1 | job epp | le * | model_name * | pod epp-7 |
//!  series  | shape u32 | le u32 | model_name u32 |                   12 bytes instead of 48
//! ```
//!
//! Which label names have their values in the shape is a fixed list, so equal label sets have equal shapes. A page on
//! which those values differ from line to line works too; it needs one shape per series, about twice the bytes.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use super::arena::{Arena, reserve_gradually};
use super::sharded_table::ShardedTable;
use super::symbol::Symbol;

/// A label of a stored series.
pub(crate) type Pair = (Symbol, Symbol);

/// The value in a shape where each series has its own.
pub(super) const VARIES: Symbol = Symbol(u32::MAX);

/// Labels whose values are part of the shape: the same for all series of a metric on a target. They are set by the
/// scrape (`job`, `instance`, and what Kubernetes discovery attaches).
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

/// Whether the value of this label is part of the shape.
pub(crate) fn is_shared(name: &str) -> bool {
    SHARED.binary_search(&name).is_ok()
}

/// The id of a shape.
pub(crate) type ShapeId = u32;

#[derive(Clone, Copy)]
struct LabelShape {
    place: u32,
    len: u16,
    varying: u16,
    users: u32,
}

/// All shapes with their user counts.
#[derive(Default)]
pub(crate) struct LabelShapes {
    label_shapes: Vec<LabelShape>,
    free: Vec<ShapeId>,
    pairs: Arena<Pair>,
    by_pairs: ShardedTable,
    hasher: DefaultHashBuilder,
}

impl LabelShapes {
    /// The shape with these pairs, if a series has it.
    pub(crate) fn find(&self, pairs: &[Pair]) -> Option<ShapeId> {
        let hash = self.hasher.hash_one(pairs);
        self.by_pairs.find(hash, |&id| self.pairs(id) == pairs)
    }

    /// The shape with these pairs, created if needed; its user count grows by one. Returns whether it was created.
    pub(crate) fn acquire(&mut self, pairs: &[Pair]) -> (ShapeId, bool) {
        if let Some(id) = self.find(pairs) {
            self.hold(id);
            return (id, false);
        }
        let shape = LabelShape {
            place: self.pairs.put(pairs),
            len: pairs.len() as u16,
            varying: pairs.iter().filter(|pair| pair.1 == VARIES).count() as u16,
            users: 1,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.label_shapes[id as usize] = shape;
                id
            }
            None => {
                reserve_gradually(&mut self.label_shapes, 1);
                self.label_shapes.push(shape);
                self.label_shapes.len() as u32 - 1
            }
        };
        let hash = self.hasher.hash_one(pairs);
        let (label_shapes, arena, hasher) = (&self.label_shapes, &self.pairs, &self.hasher);
        self.by_pairs.insert_unique(hash, id, |&id| {
            let shape = label_shapes[id as usize];
            hasher.hash_one(arena.get(shape.place, usize::from(shape.len)))
        });
        (id, true)
    }

    /// Adds a user.
    pub(crate) fn hold(&mut self, id: ShapeId) {
        self.label_shapes[id as usize].users += 1;
    }

    /// Removes a user. Returns the pairs of the shape if it was the last one.
    pub(crate) fn release(&mut self, id: ShapeId) -> Option<Vec<Pair>> {
        let shape = &mut self.label_shapes[id as usize];
        shape.users -= 1;
        if shape.users > 0 {
            return None;
        }
        let shape = *shape;
        let pairs = self.pairs(id).to_vec();
        let hash = self.hasher.hash_one(pairs.as_slice());
        self.by_pairs.remove(hash, |&have| have == id);
        self.pairs.release(shape.place, pairs.len());
        self.free.push(id);
        Some(pairs)
    }

    /// Name and value of each label, ascending by name; the value is `VARIES` where the series have their own.
    #[inline]
    fn pairs(&self, id: ShapeId) -> &[Pair] {
        let shape = self.label_shapes[id as usize];
        self.pairs.get(shape.place, usize::from(shape.len))
    }

    /// How many values a series of this shape stores itself.
    #[inline]
    pub(crate) fn varying(&self, id: ShapeId) -> usize {
        usize::from(self.label_shapes[id as usize].varying)
    }

    /// The labels of a series with this shape and these values, ascending by name.
    #[inline]
    pub(crate) fn join<'a>(
        &'a self,
        id: ShapeId,
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

    /// Bytes by which the hash table is about to grow.
    pub(crate) fn imminent_growth_bytes(&self) -> usize {
        self.by_pairs.imminent_growth_bytes()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.label_shapes.capacity() * size_of::<LabelShape>()
            + self.free.capacity() * size_of::<ShapeId>()
            + self.pairs.bytes()
            + self.by_pairs.bytes()
    }
}

/// The symbols that a shape holds: all names, and the shared values.
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
        let mut label_shapes = LabelShapes::default();
        let pair = |name, value| (Symbol(name), Symbol(value));
        let pairs = [(1, 2), (3, VARIES.0), (5, 6), (7, VARIES.0)].map(|(n, v)| pair(n, v));
        let values = [4, 8];
        let (id, made) = label_shapes.acquire(&pairs);
        assert_eq!((made, label_shapes.acquire(&pairs)), (true, (id, false)));
        assert_eq!(label_shapes.varying(id), 2);
        let joined: Vec<Pair> = label_shapes.join(id, &values).collect();
        assert_eq!(
            joined,
            [(1, 2), (3, 4), (5, 6), (7, 8)].map(|(n, v)| pair(n, v))
        );
        let held: Vec<u32> = symbols(&pairs).map(|symbol| symbol.0).collect();
        assert_eq!(held, [1, 2, 3, 5, 6, 7]);
        assert_eq!(label_shapes.release(id), None);
        assert_eq!(label_shapes.release(id), Some(pairs.to_vec()));
        assert_eq!(label_shapes.find(&pairs), None);
    }
}

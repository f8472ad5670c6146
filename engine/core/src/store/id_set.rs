//! Sets of ids of series that are asked for each line of a page.

use hashbrown::HashMap;

use crate::ids::SeriesId;

/// Up to so many ids a list is searched: a bitmap spans every id from the least to the greatest.
const LIST_MAX: usize = 32;

/// A set that is built once. Of 400,000 ids it is built in 1 ms, where a `HashSet` takes 15.
#[derive(Debug, Default)]
pub(crate) struct IdSet {
    list: Vec<SeriesId>,
    /// One bit for each id from `64 * first` on.
    bits: Vec<u64>,
    first: usize,
}

impl IdSet {
    /// The set of these ids.
    pub(crate) fn new(ids: &[SeriesId]) -> IdSet {
        if ids.len() <= LIST_MAX {
            return IdSet {
                list: ids.to_vec(),
                ..IdSet::default()
            };
        }
        let words = || ids.iter().map(|id| id.index() / 64);
        let (first, last) = (words().min().unwrap_or(0), words().max().unwrap_or(0));
        let mut bits = vec![0; last - first + 1];
        for id in ids {
            bits[id.index() / 64 - first] |= 1 << (id.index() % 64);
        }
        IdSet {
            list: Vec::new(),
            bits,
            first,
        }
    }

    /// Whether an id is in it.
    #[inline]
    pub(crate) fn contains(&self, id: SeriesId) -> bool {
        if self.bits.is_empty() {
            return self.list.contains(&id);
        }
        let word = (id.index() / 64)
            .checked_sub(self.first)
            .and_then(|at| self.bits.get(at));
        word.is_some_and(|word| word & 1 << (id.index() % 64) != 0)
    }
}

/// Ids of one block of a [`GrowingIdSet`].
const BLOCK_IDS: usize = 1_024;

/// A set of ids to which more are added: a bitmap in blocks, so that no insertion moves those before.
#[derive(Debug, Default)]
pub(crate) struct GrowingIdSet(HashMap<u32, Box<[u64; BLOCK_IDS / 64]>>);

impl GrowingIdSet {
    /// Adds an id. Whether it was not in the set.
    pub(crate) fn insert(&mut self, id: SeriesId) -> bool {
        let block = (id.index() / BLOCK_IDS) as u32;
        let bits = self.0.entry(block).or_default();
        let (word, bit) = Self::place(id);
        let is_new = bits[word] & bit == 0;
        bits[word] |= bit;
        is_new
    }

    /// Whether an id is in it.
    pub(crate) fn contains(&self, id: SeriesId) -> bool {
        let block = (id.index() / BLOCK_IDS) as u32;
        let (word, bit) = Self::place(id);
        self.0.get(&block).is_some_and(|bits| bits[word] & bit != 0)
    }

    fn place(id: SeriesId) -> (usize, u64) {
        (id.index() % BLOCK_IDS / 64, 1 << (id.index() % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_its_ids_and_no_other() {
        for (from, to, step) in [(0, 0, 1), (5, 300, 7), (1_000, 9_000, 3), (63, 66, 1)] {
            let ids: Vec<SeriesId> = (from..to).step_by(step).map(SeriesId).collect();
            let set = IdSet::new(&ids);
            let mut growing = GrowingIdSet::default();
            assert!(ids.iter().all(|id| growing.insert(*id)), "each is new");
            assert!(
                !ids.iter().any(|id| growing.insert(*id)),
                "none is new again"
            );
            for id in (0..10_000).map(SeriesId) {
                assert_eq!(set.contains(id), ids.contains(&id), "{id:?}");
                assert_eq!(growing.contains(id), ids.contains(&id), "{id:?}");
            }
        }
    }
}

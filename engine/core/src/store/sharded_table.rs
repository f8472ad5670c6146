//! A hash table of ids that grows a little at a time.
//!
//! A `HashTable` that is full moves every entry into one of twice the size: 0.2 s with a million of them, while whoever
//! adds the next one holds the writer and the store. Here a table of more than [`SPLIT_AT`] entries is [`SHARDS`] tables, each
//! of which grows by itself. Their shares of the entries differ, from 1 to 2 in equal ratios, so that they do not all
//! double at the same time.

use hashbrown::HashTable;

/// Tables after the split.
const SHARDS: usize = 256;

/// Entries at which the one table is split: moving them takes less than a millisecond. So does a shard that doubles, of up to
/// four million entries in all.
const SPLIT_AT: usize = 8_192;

/// Bits of a hash that choose the shard. A `HashTable` uses the lowest and the seven highest.
const SHARD_SHIFT: u32 = 45;

/// The shard by these bits: shard `i` has a share proportional to `2^(i / SHARDS)`.
static SHARD_OF: [u8; 2_048] = shares();

const fn shares() -> [u8; 2_048] {
    const ONE: u64 = 1 << 32;
    /// `2^(1 / SHARDS)` in units of `ONE`.
    const RATIO: u64 = 4_306_612_134;
    let mut shares = [0; 2_048];
    let (mut at, mut shard, mut end) = (0, 0, RATIO);
    while at < shares.len() {
        // The shard ends where `end`, from 1 to 2, says.
        while shard + 1 < SHARDS && (at as u64 + 1) * ONE > (end - ONE) * shares.len() as u64 {
            shard += 1;
            end = (end as u128 * RATIO as u128 / ONE as u128) as u64;
        }
        shares[at] = shard as u8;
        at += 1;
    }
    shares
}

/// A set of ids whose keys are stored elsewhere.
#[derive(Default)]
pub(crate) struct ShardedTable {
    /// None, one, or `SHARDS`.
    shards: Vec<HashTable<u32>>,
    len: usize,
}

impl ShardedTable {
    fn shard(&self, hash: u64) -> usize {
        match self.shards.len() {
            SHARDS => usize::from(SHARD_OF[(hash >> SHARD_SHIFT) as usize % SHARD_OF.len()]),
            _ => 0,
        }
    }

    /// The id with this hash for which `is_it` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl FnMut(&u32) -> bool) -> Option<u32> {
        let shard = self.shards.get(self.shard(hash))?;
        shard.find(hash, is_it).copied()
    }

    /// Adds an id that is not in it. `hash_of` yields the hash of any id in it.
    pub(crate) fn insert_unique(&mut self, hash: u64, id: u32, hash_of: impl Fn(&u32) -> u64) {
        if self.shards.is_empty() {
            self.shards.push(HashTable::new());
        }
        if self.shards.len() == 1 && self.len == SPLIT_AT {
            self.split(&hash_of);
        }
        let at = self.shard(hash);
        self.shards[at].insert_unique(hash, id, hash_of);
        self.len += 1;
    }

    fn split(&mut self, hash_of: &impl Fn(&u32) -> u64) {
        let whole = std::mem::take(&mut self.shards);
        self.shards.resize_with(SHARDS, HashTable::new);
        for id in whole.into_iter().flatten() {
            let hash = hash_of(&id);
            let at = self.shard(hash);
            self.shards[at].insert_unique(hash, id, hash_of);
        }
    }

    /// Removes the id with this hash for which `is_it` holds.
    pub(crate) fn remove(&mut self, hash: u64, is_it: impl FnMut(&u32) -> bool) {
        let at = self.shard(hash);
        let Some(shard) = self.shards.get_mut(at) else {
            return;
        };
        if let Ok(found) = shard.find_entry(hash, is_it) {
            found.remove();
            self.len -= 1;
        }
    }

    /// How many ids are in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes by which it is about to grow.
    pub(crate) fn imminent_growth_bytes(&self) -> usize {
        self.shards.iter().map(imminent_growth_bytes).sum()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let tables = self.shards.iter().map(HashTable::allocation_size);
        tables.sum::<usize>() + self.shards.capacity() * size_of::<HashTable<u32>>()
    }
}

/// The bytes by which a table is about to grow: its size when it is nearly full and will double, else 0. A table that is full
/// of places given up is cleaned where it is.
fn imminent_growth_bytes(table: &HashTable<u32>) -> usize {
    let capacity = table.capacity();
    let is_full = capacity - table.len() < capacity / 16;
    let will_double = table.len() > table.num_buckets() / 8 * 7 / 2;
    match is_full && will_double {
        true => table.allocation_size(),
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn it_holds_what_a_set_holds_before_and_after_the_split() {
        let hasher = hashbrown::DefaultHashBuilder::default();
        let hash_of = |id: &u32| hasher.hash_one(id);
        let (mut table, count) = (ShardedTable::default(), 24 * SPLIT_AT as u32);
        assert_eq!(table.find(hash_of(&1), |id| *id == 1), None);
        table.remove(hash_of(&1), |id| *id == 1);
        for id in 0..count {
            table.insert_unique(hash_of(&id), id, hash_of);
        }
        for id in (0..count).step_by(3) {
            table.remove(hash_of(&id), |have| *have == id);
        }
        for id in 0..count + 10 {
            let found = table.find(hash_of(&id), |have| *have == id);
            let holds = id < count && id % 3 != 0;
            assert_eq!(found, holds.then_some(id));
        }
        assert_eq!(table.len(), count as usize * 2 / 3);
        // In equal ratios, up to twice the smallest.
        let sizes: Vec<usize> = table.shards.iter().map(HashTable::len).collect();
        let quarters: Vec<usize> = sizes
            .chunks(SHARDS / 4)
            .map(|some| some.iter().sum())
            .collect();
        let ratios = quarters
            .windows(2)
            .map(|pair| pair[1] as f64 / pair[0] as f64);
        assert!(
            ratios.into_iter().all(|ratio| (1.1..1.3).contains(&ratio)),
            "{sizes:?}"
        );
    }
}

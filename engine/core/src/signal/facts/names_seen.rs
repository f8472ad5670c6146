//! Under which names of each family a target's pages expose it (S8).

use hashbrown::HashMap;

use super::super::names::{FAMILIES, NameIndex};

/// Per family of the names table: one bit for each of its names that the last page with any of them had.
#[derive(Clone, Debug)]
pub(crate) struct NamesSeen(Vec<u8>);

const _: () = {
    let mut family = 0;
    while family < FAMILIES.len() {
        assert!(FAMILIES[family].names.len() <= u8::BITS as usize);
        family += 1;
    }
};

impl NamesSeen {
    /// The name under which the pages have a family that a selector reads under the requested one: that one, if they have
    /// it or none; otherwise the newest that they have. It is an index into the names of the family.
    pub(crate) fn reads_as(&self, requested: NameIndex) -> usize {
        let mask = self.0[requested.family];
        if mask & 1 << requested.name != 0 || mask == 0 {
            requested.name
        } else {
            mask.trailing_zeros() as usize
        }
    }

    /// Adds a name that a page has.
    pub(super) fn add(&mut self, seen: NameIndex) {
        self.0[seen.family] |= 1 << seen.name;
    }

    /// Sets the names from the metrics of a page; families of which it has none are unchanged. True if any has changed.
    pub(super) fn update(&mut self, metrics: &HashMap<Box<str>, u32>) -> bool {
        let mut changed = false;
        for (seen, family) in self.0.iter_mut().zip(FAMILIES) {
            let mut mask = 0u8;
            for (index, name) in family.names.iter().enumerate() {
                let has = metrics.contains_key(name.family)
                    || metrics.contains_key(format!("{}_count", name.family).as_str());
                mask |= u8::from(has) << index;
            }
            if mask != 0 && *seen != mask {
                *seen = mask;
                changed = true;
            }
        }
        changed
    }
}

impl Default for NamesSeen {
    fn default() -> NamesSeen {
        NamesSeen(vec![0; FAMILIES.len()])
    }
}

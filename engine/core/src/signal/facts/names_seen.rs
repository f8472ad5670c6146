//! Which of a family's names a target's pages have had (S8).

use hashbrown::HashMap;

use super::super::names::FAMILIES;

/// Per row of the names table: a bit for each name that the newest page had that had any.
#[derive(Clone, Debug)]
pub(crate) struct NamesSeen(Vec<u8>);

const _: () = {
    let mut row = 0;
    while row < FAMILIES.len() {
        assert!(FAMILIES[row].names.len() <= u8::BITS as usize);
        row += 1;
    }
};

impl NamesSeen {
    /// Under which name a family (a row of the table) is read when it is asked for under another: that one, if the page
    /// has it, else the newest that it has.
    pub(crate) fn reads_as(&self, row: usize, asked: usize) -> usize {
        let mask = self.0[row];
        if mask & 1 << asked != 0 || mask == 0 {
            asked
        } else {
            mask.trailing_zeros() as usize
        }
    }

    /// A page has this name of the family too.
    pub(super) fn add(&mut self, row: usize, at: usize) {
        self.0[row] |= 1 << at;
    }

    /// Takes the names that a page has, by its metrics; families of which it has none stay as they were. True where
    /// any is not as it was.
    pub(super) fn update(&mut self, metrics: &HashMap<Box<str>, u32>) -> bool {
        let mut changed = false;
        for (seen, family) in self.0.iter_mut().zip(FAMILIES) {
            let mut mask = 0u8;
            for (at, name) in family.names.iter().enumerate() {
                let has = metrics.contains_key(name.family)
                    || metrics.contains_key(format!("{}_count", name.family).as_str());
                mask |= u8::from(has) << at;
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

//! All families in one table.

use std::sync::LazyLock;

use hashbrown::HashMap;

use super::engines::PACKS;
use super::family::{Family, Name};
use super::gateways::GATEWAYS;

const LENGTH: usize = {
    let (mut length, mut pack) = (GATEWAYS.len(), 0);
    while pack < PACKS.len() {
        length += PACKS[pack].families.len();
        pack += 1;
    }
    length
};

const ALL: [Family; LENGTH] = {
    let mut all = [GATEWAYS[0]; LENGTH];
    let mut at = 0;
    while at < GATEWAYS.len() {
        all[at] = GATEWAYS[at];
        at += 1;
    }
    let mut pack = 0;
    while pack < PACKS.len() {
        let families = PACKS[pack].families;
        let mut family = 0;
        while family < families.len() {
            all[at] = families[family];
            at += 1;
            family += 1;
        }
        pack += 1;
    }
    all
};

/// Every family that has had several names, and those whose meaning matters: gateways first.
pub static FAMILIES: &[Family] = &ALL;

/// How many names they have together.
pub(super) const NAMES: usize = {
    let (mut names, mut family) = (0, 0);
    while family < ALL.len() {
        names += ALL[family].names.len();
        family += 1;
    }
    names
};

/// Where a name stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Its family in [`FAMILIES`].
    pub(super) family: usize,
    /// Its place among the names of the family.
    pub(super) name: usize,
    /// Its number among all names, those of one family after one another.
    pub(super) number: usize,
}

static PLACES: LazyLock<HashMap<&'static str, Place>> = LazyLock::new(|| {
    let families = FAMILIES.iter().enumerate();
    let names = families.flat_map(|(family, row)| {
        let names = row.names.iter().enumerate();
        names.map(move |(name, one)| (one.family, family, name))
    });
    let places = names.enumerate().map(|(number, (text, family, name))| {
        let place = Place {
            family,
            name,
            number,
        };
        (text, place)
    });
    places.collect()
});

/// The place of a name.
pub(super) fn place(name: &str) -> Option<Place> {
    PLACES.get(name).copied()
}

/// The place of one name in the table: its family in [`FAMILIES`], and the name among the names of the family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameIndex {
    pub(crate) family: usize,
    pub(crate) name: usize,
}

impl NameIndex {
    /// The place of a name that a look-up found with its family.
    pub(crate) fn of(family: &'static Family, name: &Name) -> Option<NameIndex> {
        let mut names = family.names.iter();
        let name = names.position(|one| one.family == name.family)?;
        let family = place(family.names.first()?.family)?.family;
        Some(NameIndex { family, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_in_two_rows_and_no_label_twice_in_a_name() {
        let mut seen = std::collections::BTreeSet::new();
        for name in FAMILIES.iter().flat_map(|family| family.names) {
            assert!(seen.insert(name.family), "{}", name.family);
            let mut labels: Vec<&str> = name.all_labels().collect();
            labels.sort_unstable();
            labels.dedup();
            assert_eq!(labels.len(), name.all_labels().count(), "{}", name.family);
        }
    }
}

//! All families in one table.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::engines::PACKS;
use super::family::Family;
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

/// The places of all names: the family in [`FAMILIES`], and the name among the names of the family.
static PLACES: LazyLock<HashMap<&'static str, (usize, usize)>> = LazyLock::new(|| {
    let families = FAMILIES.iter().enumerate();
    let names = families.flat_map(|(family, row)| {
        let names = row.names.iter().enumerate();
        names.map(move |(at, name)| (name.family, (family, at)))
    });
    names.collect()
});

/// The place of a name.
pub(super) fn place(name: &str) -> Option<(usize, usize)> {
    PLACES.get(name).copied()
}

//! What a target's pages say of their families: type, help text, unit.
//!
//! A page tells it of a family once. What it tells stays when the family has left, because the next page may have it again, so both
//! their number and their texts are bounded, and count against the memory limit.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::limits::{FAMILIES_MAX, FAMILY_TEXT_BYTES_MAX};
use crate::metadata::FamilyMetadata;

/// A family beside its texts: its place in the tree, and what the allocator adds.
const FAMILY_BYTES: usize = size_of::<FamilyMetadata>() + size_of::<Box<str>>() + 64;

/// The families of one target.
#[derive(Default)]
pub(crate) struct Families {
    by_name: BTreeMap<Box<str>, FamilyMetadata>,
    text_bytes: usize,
}

impl Families {
    /// Changes what is known of a family. One for which there is no place is left out.
    pub(crate) fn change(&mut self, family: &str, change: impl FnOnce(&mut FamilyMetadata)) {
        let is_full = self.by_name.len() == FAMILIES_MAX;
        let known = self.by_name.get_mut(family);
        let texts = |of: &FamilyMetadata| of.help.len() + of.unit.len();
        let is_new = known.is_none();
        let mut new = FamilyMetadata::default();
        let of = known.unwrap_or(&mut new);
        let (before, bytes) = (of.clone(), texts(of));
        change(of);
        let more = texts(of) + if is_new { family.len() } else { 0 };
        let text_bytes = self.text_bytes - bytes + more;
        if text_bytes > FAMILY_TEXT_BYTES_MAX || is_new && is_full {
            *of = before;
            return;
        }
        self.text_bytes = text_bytes;
        if is_new {
            self.by_name.insert(family.into(), new);
        }
    }

    /// What is known of one.
    pub(crate) fn get(&self, family: &str) -> Option<&FamilyMetadata> {
        self.by_name.get(family)
    }

    /// Those that come after one by name, or all.
    pub(crate) fn after(
        &self,
        family: Option<&str>,
    ) -> impl Iterator<Item = (&str, &FamilyMetadata)> {
        let start = family.map_or(Bound::Unbounded, Bound::Excluded);
        let families = self.by_name.range::<str, _>((start, Bound::Unbounded));
        families.map(|(family, metadata)| (&**family, metadata))
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.by_name.len() * FAMILY_BYTES + self.text_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page whose families are others at every scrape held more each time, without end.
    #[test]
    fn families_have_as_many_bytes_as_they_may() {
        let mut families = Families::default();
        for number in 0..2 * FAMILIES_MAX {
            families.change(&format!("f{number}"), |of| of.unit = "s".to_owned());
        }
        assert_eq!(families.after(None).count(), FAMILIES_MAX);
        let help = "h".repeat(1_000);
        for number in 0..2 * FAMILIES_MAX {
            families.change(&format!("f{number}"), |of| of.help.clone_from(&help));
        }
        assert!(families.text_bytes <= FAMILY_TEXT_BYTES_MAX);
        let texts = families
            .after(None)
            .map(|(name, of)| name.len() + of.help.len() + of.unit.len());
        assert_eq!(texts.sum::<usize>(), families.text_bytes);
        assert!(families.bytes() < FAMILY_TEXT_BYTES_MAX + FAMILIES_MAX * FAMILY_BYTES + 1);
        // What is known is replaced by shorter texts.
        families.change("f0", |of| of.help = "short".to_owned());
        let first = families.after(None).find(|(name, _)| *name == "f0");
        assert_eq!(first.map(|(_, of)| &*of.help), Some("short"));
    }
}

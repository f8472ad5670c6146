//! Metrics that are not in the names table and that the present process of a target has shown without any series of them that is
//! stored now: `retain: signals` has passed over them, or they have left the page.
//!
//! They are kept as hashes, because their texts would take five times as much of each target: whoever asks for one of them later
//! names it. Of two names with one hash the other counts as shown, too, so that at worst a number is unknown.

use hashbrown::HashSet;
use twox_hash::XxHash64;

use crate::limits::REMEMBERED_METRICS_MAX;

/// Some names, [`REMEMBERED_METRICS_MAX`] at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OtherNames {
    /// They are the same in every run, for a snapshot keeps them.
    hashes: HashSet<u64>,
    /// There were more.
    has_more: bool,
}

/// The hash of a name.
pub(crate) fn hash_of(name: &str) -> u64 {
    XxHash64::oneshot(0, name.as_bytes())
}

impl OtherNames {
    pub(crate) fn restored(hashes: impl Iterator<Item = u64>, has_more: bool) -> OtherNames {
        let mut names = OtherNames::default();
        hashes.for_each(|hash| names.insert_hash(hash));
        names.has_more |= has_more;
        names
    }

    pub(crate) fn insert(&mut self, name: &str) {
        self.insert_hash(hash_of(name));
    }

    pub(crate) fn add(&mut self, others: &OtherNames) {
        others.hashes().for_each(|hash| self.insert_hash(hash));
        self.has_more |= others.has_more;
    }

    fn insert_hash(&mut self, hash: u64) {
        if self.hashes.len() < REMEMBERED_METRICS_MAX {
            self.hashes.insert(hash);
        } else {
            self.has_more |= !self.hashes.contains(&hash);
        }
    }

    /// Whether a name with this hash is one of them.
    pub(crate) fn contains(&self, hash: u64) -> bool {
        self.hashes.contains(&hash)
    }

    /// Whether there were more, so that any name may have been one of them.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    pub(crate) fn hashes(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.hashes.iter().copied()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.hashes.allocation_size()
    }
}

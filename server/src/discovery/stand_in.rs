//! What was found before a reload, and stands in for a list that is not there yet (rule S3a).

use std::collections::BTreeMap;
use std::sync::Arc;

/// What was found, by where it was found.
#[derive(Clone, Debug)]
pub(super) struct StandIn<K, V> {
    pub(super) found: BTreeMap<K, Arc<V>>,
    /// Whether it is as good as the list for which it stands.
    pub(super) is_list: bool,
    /// Why it was not all that there was, where that is so.
    pub(super) partial: Option<String>,
}

impl<K, V> Default for StandIn<K, V> {
    fn default() -> StandIn<K, V> {
        StandIn {
            found: BTreeMap::new(),
            is_list: false,
            partial: None,
        }
    }
}

impl<K: Clone + Ord, V> StandIn<K, V> {
    /// This with what was found now. The same thing may be in both: the one that was found now is meant.
    pub(super) fn with(&self, now: BTreeMap<K, Arc<V>>) -> BTreeMap<K, Arc<V>> {
        let mut all = self.found.clone();
        all.extend(now);
        all
    }
}

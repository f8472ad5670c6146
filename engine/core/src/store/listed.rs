//! Series with explicit timestamps that pages list, and by whom.
//!
//! A page's template names the rows of its lines. What a clock ends is absent and off the page at once; a series with
//! timestamps of its own can run out of samples while its line stays, and must keep its row until the line goes.

use hashbrown::HashMap;

use super::{SeriesId, TargetId};

/// Which targets' newest pages list a series with explicit timestamps. Few: one entry per such series.
#[derive(Debug, Default)]
pub(crate) struct Listed(HashMap<SeriesId, Vec<TargetId>>);

impl Listed {
    /// The newest page of a target lists the series.
    pub(crate) fn add(&mut self, id: SeriesId, target: TargetId) {
        let targets = self.0.entry(id).or_default();
        if !targets.contains(&target) {
            targets.push(target);
        }
    }

    /// The newest page of a target does not list the series any more, if an older one did.
    pub(crate) fn remove(&mut self, id: SeriesId, target: TargetId) {
        if let Some(targets) = self.0.get_mut(&id) {
            targets.retain(|have| *have != target);
            if targets.is_empty() {
                self.0.remove(&id);
            }
        }
    }

    /// Whether the newest page of this target lists it, and no other target's.
    pub(crate) fn is_only_by(&self, id: SeriesId, target: TargetId) -> bool {
        self.0.get(&id).is_some_and(|targets| *targets == [target])
    }

    /// Whether the newest page of this target lists it.
    pub(crate) fn is_by(&self, id: SeriesId, target: TargetId) -> bool {
        let lists = |targets: &Vec<TargetId>| targets.contains(&target);
        self.0.get(&id).is_some_and(lists)
    }

    /// Whether some page lists it.
    pub(crate) fn contains(&self, id: SeriesId) -> bool {
        self.0.contains_key(&id)
    }
}

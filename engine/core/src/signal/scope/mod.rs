//! The scope of a query: which targets count for it (S3). They are the targets of groups that ever exposed what it reads,
//! without those that its pinned labels contradict, standbys, and targets that never gave a good page and that nothing
//! connects with the query.
//!
//! Labels that a caller or a group pins only ever rule targets out, so the scope for them is looked for among the targets of
//! the signal's own scope (`candidates`) and not among all.

mod contradiction;
mod groups;
mod of_query;
mod shared;
mod waiting;

use crate::store::TargetId;

use super::facts::{Facts, TargetFacts};

pub(crate) use contradiction::{Contradiction, Wanted, contradiction, is_pool_pin};
pub(super) use groups::exposing;
pub(crate) use groups::{exposes, groups, is_report};
pub(super) use of_query::{among, is_of_allowed_job};
pub(crate) use of_query::{of_query, of_query_sharing};
pub(crate) use shared::Shared;
pub(crate) use waiting::changes_at_ms;
pub(super) use waiting::{belongs, is_waited_for};

/// The targets by what they are to a query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// Targets that count, in order of id.
    pub(crate) counting: Vec<TargetId>,
    /// Targets that would count but are standbys, in order of id; the series of frozen ones are hidden.
    pub(crate) standby: Vec<TargetId>,
    /// Every other target that discovery lists, in order of id: its series are hidden from the query. Empty in the scope of
    /// a caller or of a group, by which nothing is evaluated.
    pub(crate) excluded: Vec<TargetId>,
    /// Other targets that never gave a good page and are not or no longer waited for (S3c), in order of id.
    pub(crate) never_answered: Vec<TargetId>,
    /// Indices of selectors that no group ever exposed a metric for.
    pub(crate) never_seen: Vec<usize>,
}

impl Scope {
    /// Whether the query sees the series of this target: it counts, or it is a standby.
    pub(crate) fn shows(&self, id: TargetId) -> bool {
        self.counting.binary_search(&id).is_ok() || self.standby.binary_search(&id).is_ok()
    }

    /// How many targets may concern the query.
    pub(crate) fn len(&self) -> usize {
        self.counting.len() + self.standby.len() + self.never_answered.len()
    }

    /// Every other target that discovery lists.
    pub(crate) fn others<'a>(
        &self,
        facts: &'a Facts,
    ) -> impl Iterator<Item = (TargetId, &'a TargetFacts)> {
        facts.listed().filter(|(id, _)| !self.shows(*id))
    }
}

//! The newest changes of processes, for signals that are registered after them (S6b): whoever asks anew is told no 0 that
//! those are not who asked before.
//!
//! Of a target there is one change of each kind. Of those that left discovery there are [`LEFT_MAX`], some 1 kB each; where more
//! left, those that are forgotten count for every signal.

use std::collections::VecDeque;

use super::{ChangeKind, Facts, TargetFacts};
use crate::scrape::TargetSpec;
use crate::store::TargetId;

/// Of how many targets that left it is remembered what they were.
const LEFT_MAX: usize = 1_000;

/// A target that left discovery, without what its pages showed.
struct Left {
    at_ms: i64,
    target: TargetFacts,
}

/// Targets that left discovery, in the order in which they did.
#[derive(Default)]
pub(super) struct LeftTargets {
    newest: VecDeque<Left>,
    /// When the newest of those left that are forgotten.
    forgotten_ms: Option<i64>,
}

/// A change of the process of a target.
pub(crate) struct RecentChange<'a> {
    pub(crate) at_ms: i64,
    pub(crate) kind: &'a ChangeKind,
    /// Whose it is; of one that discovery lists its number, too.
    pub(crate) target: &'a TargetFacts,
    pub(crate) id: Option<TargetId>,
}

impl Facts {
    /// Remembers a change of the process of a target, or that it leaves.
    pub(crate) fn note_change(&mut self, id: TargetId, kind: &ChangeKind, at_ms: i64) {
        if let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) {
            facts.note_change(kind, at_ms);
        }
    }

    /// Remembers a target that discovery does not list any more.
    pub(super) fn remember_left(&mut self, target: TargetFacts, at_ms: i64) {
        let left = &mut self.left_targets;
        if left.newest.len() == LEFT_MAX
            && let Some(oldest) = left.newest.pop_front()
        {
            left.forgotten_ms = Some(oldest.at_ms);
        }
        let target = target.without_its_pages();
        left.newest.push_back(Left { at_ms, target });
    }

    /// The changes after a time.
    pub(crate) fn changes_since(&self, since_ms: i64) -> impl Iterator<Item = RecentChange<'_>> {
        let listed = self.listed().map(|(id, target)| (Some(id), target));
        let left = self.left_targets.newest.iter().rev();
        let left = left.take_while(move |one| one.at_ms > since_ms);
        let all = listed.chain(left.map(|one| (None, &one.target)));
        let changes = all.flat_map(|(id, target)| {
            let changes = target.recent_changes.iter();
            changes.map(move |(at_ms, kind)| RecentChange {
                at_ms: *at_ms,
                kind,
                target,
                id,
            })
        });
        changes.filter(move |change| change.at_ms > since_ms)
    }

    /// When the newest of those targets left that are forgotten, if that was after a time.
    pub(crate) fn forgotten_since(&self, since_ms: i64) -> Option<i64> {
        self.left_targets.forgotten_ms.filter(|ms| *ms > since_ms)
    }
}

impl TargetFacts {
    /// What says which queries it concerned.
    fn without_its_pages(self) -> TargetFacts {
        let spec = TargetSpec {
            labels: self.labels,
            ..TargetSpec::default()
        };
        TargetFacts {
            name: self.name,
            group: self.group,
            pools: self.pools,
            replaced: self.replaced,
            recent_changes: self.recent_changes,
            ..TargetFacts::new(&spec)
        }
    }

    fn note_change(&mut self, kind: &ChangeKind, at_ms: i64) {
        let is_same =
            |known: &ChangeKind| std::mem::discriminant(known) == std::mem::discriminant(kind);
        let mut known = self.recent_changes.iter_mut();
        let Some((known_ms, known)) = known.find(|(_, known)| is_same(known)) else {
            self.recent_changes.push((at_ms, kind.clone()));
            return;
        };
        *known_ms = at_ms;
        let before = std::mem::replace(known, kind.clone());
        if let (
            ChangeKind::SeriesLeft {
                metrics,
                of_sources,
                counters,
            },
            ChangeKind::SeriesLeft {
                metrics: before,
                of_sources: were_of_sources,
                counters: were_counters,
            },
        ) = (known, before)
        {
            let more = before.into_iter().filter(|one| !metrics.contains(one));
            let more: Vec<Box<str>> = more.collect();
            metrics.extend(more);
            *of_sources |= were_of_sources;
            *counters |= were_counters;
        }
    }
}

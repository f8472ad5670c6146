//! The newest changes of processes, for signals that are registered after them (S6b): whoever asks anew is told no 0 that
//! those are not who asked before.
//!
//! Of a target there is one change of each kind, and of series that left the names of up to [`METRICS_MAX`] metrics that signals
//! read. Of those that left discovery there are [`LEFT_MAX`], some kilobytes each; where more left, those that are forgotten count
//! for every signal.

use std::collections::VecDeque;

use super::{ChangeKind, Facts, TargetFacts};
use crate::limits::RESTART_GRACE_MS_DEFAULT;
use crate::scrape::TargetSpec;
use crate::store::TargetId;

/// Of how many targets that left it is remembered what they were.
const LEFT_MAX: usize = 1_000;

/// How many metrics are told apart that left a page.
const METRICS_MAX: usize = 64;

/// A target that left discovery, without what its pages showed.
struct Left {
    at_ms: i64,
    target: TargetFacts,
}

/// Targets that left discovery, in the order in which that was told.
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
        let mut kind = kind.clone();
        if let ChangeKind::SeriesLeft {
            metrics, counters, ..
        } = &mut kind
        {
            metrics.retain(|metric| self.read_metrics.contains_key(&**metric));
            forget_names_of_many(metrics, counters);
        }
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
            left.forgotten_ms = left.forgotten_ms.max(Some(oldest.at_ms));
        }
        let target = target.without_its_pages();
        left.newest.push_back(Left { at_ms, target });
    }

    /// The changes after a time.
    pub(crate) fn changes_since(&self, since_ms: i64) -> impl Iterator<Item = RecentChange<'_>> {
        let listed = self.listed().map(|(id, target)| (Some(id), target));
        let left = self.left_targets.newest.iter();
        let left = left.filter(move |one| one.at_ms > since_ms);
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

    /// Whether a target that left, or one that is listed, was at an address.
    pub(super) fn knows_address(&self, address: &str) -> bool {
        let left = self.left_targets.newest.iter().map(|one| &one.target);
        let mut all = self.targets.iter().flatten().chain(left);
        all.any(|one| one.address == address)
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
            address: self.address,
            pools: self.pools,
            replaced: self.replaced,
            recent_changes: self.recent_changes,
            ..TargetFacts::new(&spec)
        }
    }

    fn note_change(&mut self, kind: ChangeKind, at_ms: i64) {
        let is_same =
            |known: &ChangeKind| std::mem::discriminant(known) == std::mem::discriminant(&kind);
        let mut known = self.recent_changes.iter_mut();
        let Some((known_ms, known)) = known.find(|(_, known)| is_same(known)) else {
            self.recent_changes.push((at_ms, kind));
            return;
        };
        let is_recent = at_ms.saturating_sub(*known_ms) <= RESTART_GRACE_MS_DEFAULT;
        *known_ms = at_ms.max(*known_ms);
        let before = std::mem::replace(known, kind);
        if is_recent {
            add_series_that_left(known, before);
        }
    }
}

/// What has left with a change, and what had left with the one before.
fn add_series_that_left(change: &mut ChangeKind, before: ChangeKind) {
    let ChangeKind::SeriesLeft {
        metrics,
        of_sources,
        counters,
    } = change
    else {
        return;
    };
    let ChangeKind::SeriesLeft {
        metrics: metrics_before,
        of_sources: were_of_sources,
        counters: were_counters,
    } = before
    else {
        return;
    };
    metrics.extend(metrics_before);
    metrics.sort_unstable();
    metrics.dedup();
    *of_sources |= were_of_sources;
    *counters |= were_counters;
    forget_names_of_many(metrics, counters);
}

/// Of more than [`METRICS_MAX`] it may be any.
fn forget_names_of_many(metrics: &mut Vec<Box<str>>, counters: &mut bool) {
    if metrics.len() > METRICS_MAX {
        metrics.clear();
        *counters = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Labels;

    fn target(instance: &str) -> TargetFacts {
        TargetFacts::new(&TargetSpec {
            labels: Labels::from_pairs([("job", "j"), ("instance", instance)]),
            ..TargetSpec::default()
        })
    }

    fn series_left(metrics: &[String]) -> ChangeKind {
        ChangeKind::SeriesLeft {
            metrics: metrics.iter().map(|one| one.as_str().into()).collect(),
            of_sources: false,
            counters: false,
        }
    }

    /// A page whose counters have other names each time held them all, and each page looked at all of them.
    #[test]
    fn what_left_lately_is_remembered_by_few_names() {
        let mut target = target("a");
        for at in 0..10 * METRICS_MAX {
            let left = series_left(&[format!("m{at}_total")]);
            target.note_change(left, at as i64);
            let [
                (
                    _,
                    ChangeKind::SeriesLeft {
                        metrics, counters, ..
                    },
                ),
            ] = &target.recent_changes[..]
            else {
                panic!("{:?}", target.recent_changes);
            };
            assert!(metrics.len() <= METRICS_MAX);
            assert_eq!(*counters, at >= METRICS_MAX);
        }
        let later = 10 * METRICS_MAX as i64 + RESTART_GRACE_MS_DEFAULT;
        target.note_change(series_left(&["m".to_owned()]), later);
        assert_eq!(
            target.recent_changes,
            [(later, series_left(&["m".to_owned()]))]
        );
    }

    /// One that a job's first list does not have leaves as of our start, after others that left since.
    #[test]
    fn targets_that_left_are_found_in_whatever_order_they_are_told() {
        let mut facts = Facts::default();
        let leave = |facts: &mut Facts, instance: &str, at_ms: i64| {
            let mut target = target(instance);
            target.note_change(ChangeKind::LeftDiscovery, at_ms);
            facts.remember_left(target, at_ms);
        };
        leave(&mut facts, "a", 590);
        leave(&mut facts, "b", 0);
        let left: Vec<&str> = facts
            .changes_since(550)
            .map(|one| one.target.name.as_str())
            .collect();
        assert_eq!(left, ["a"]);
        assert_eq!(facts.forgotten_since(550), None);
        for at in 0..LEFT_MAX {
            leave(&mut facts, &at.to_string(), 1_000);
        }
        assert_eq!(facts.changes_since(550).count(), LEFT_MAX);
        assert_eq!(facts.forgotten_since(550), Some(590));
    }
}

//! Which targets count for a query (S3): groups that ever exposed what it reads, less the targets that its pinned
//! labels contradict, less standbys.

use std::collections::BTreeSet;

use crate::store::TargetId;

use super::facts::{Facts, TargetFacts};
use super::names::{Class, Names, POOL_LABELS};
use super::policy::Policy;
use super::query::{Selector, SignalQuery};

/// Labels that the caller or a group pins beside the query's own.
pub(crate) type Pins<'a> = &'a [(String, String)];

/// What counts for a query.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// In order of id.
    pub(crate) counting: Vec<TargetId>,
    /// Targets that would count but stand by, in order of id; frozen ones among them show nothing.
    pub(crate) standby: Vec<TargetId>,
    /// Every other target that discovery lists: what it shows is not this query's.
    pub(crate) excluded: Vec<TargetId>,
    /// Selectors that nothing ever matched.
    pub(crate) never_seen: Vec<usize>,
    /// Groups in scope.
    pub(crate) groups: BTreeSet<String>,
}

impl Scope {
    /// Whether the query sees what this target's pages say: it counts, or it stands by.
    pub(crate) fn shows(&self, id: TargetId) -> bool {
        self.counting.binary_search(&id).is_ok() || self.standby.binary_search(&id).is_ok()
    }
}

/// S3f: the union over the query's selectors.
pub(crate) fn of_query(
    facts: &Facts,
    names: &Names,
    query: &SignalQuery,
    policy: &Policy,
    pins: Pins<'_>,
) -> Scope {
    let mut scope = Scope::default();
    let (mut counting, mut standby) = (BTreeSet::new(), BTreeSet::new());
    for (index, selector) in query.selectors.iter().enumerate() {
        let groups: BTreeSet<&str> = facts
            .groups
            .iter()
            .filter(|(_, group)| exposes(group.ever.iter().map(|m| &**m), names, selector))
            .map(|(name, _)| name.as_str())
            .collect();
        if groups.is_empty() {
            scope.never_seen.push(index);
        }
        for (id, target) in facts.listed() {
            let in_scope = target.last_good_ms.is_none() || groups.contains(target.group.as_str());
            if !in_scope || !allowed(policy, target) || contradicts(target, names, selector, pins) {
                continue;
            }
            if is_standby(facts, id, target) {
                standby.insert(id);
            } else {
                counting.insert(id);
            }
        }
        scope.groups.extend(groups.into_iter().map(str::to_owned));
    }
    let others = facts
        .listed()
        .map(|(id, _)| id)
        .filter(|id| !counting.contains(id) && !standby.contains(id));
    scope.excluded = others.collect();
    scope.counting = counting.into_iter().collect();
    scope.standby = standby.into_iter().collect();
    scope
}

fn allowed(policy: &Policy, target: &TargetFacts) -> bool {
    policy.jobs.is_empty()
        || policy
            .jobs
            .iter()
            .any(|job| target.labels.get("job") == Some(job))
}

/// S3a: among these metrics is the selector's, an equivalent, or a witness. A selector without a fixed name asks only
/// for a metric that its name matchers fit.
pub(crate) fn exposes<'m>(
    mut metrics: impl Iterator<Item = &'m str>,
    names: &Names,
    selector: &Selector,
) -> bool {
    let Some(metric) = &selector.metric else {
        return metrics.any(|present| selector.name_matchers().all(|one| one.matches(present)));
    };
    let equivalents = names.equivalents(metric);
    let is_witness = names.witnesses(metric);
    metrics.any(|present| {
        present == metric
            || equivalents.iter().any(|(name, _)| name == present)
            || is_witness(present)
    })
}

/// S3b: a pinned label that the target's own labels, or the pools that its pages named, rule out.
pub(crate) fn contradicts(
    target: &TargetFacts,
    names: &Names,
    selector: &Selector,
    pins: Pins<'_>,
) -> bool {
    let own = selector.matchers.iter().any(|matcher| {
        target
            .labels
            .get(matcher.name())
            .is_some_and(|value| !matcher.matches(value))
    });
    let pinned = selector.pins.iter().chain(pins).any(|(label, value)| {
        target.labels.get(label).is_some_and(|have| have != value)
            || (POOL_LABELS.contains(&label.as_str())
                && !target.pools.is_empty()
                && is_pool_pin(names, selector, label)
                && !target.pools.contains(value))
    });
    own || pinned
}

/// `name` means the pool only on pool families.
fn is_pool_pin(names: &Names, selector: &Selector, label: &str) -> bool {
    let is_pool = |metric: &String| {
        let family = names.family(metric);
        family.is_some_and(|(family, _, _)| family.class == Class::Pool)
    };
    label == "inference_pool" || selector.metric.as_ref().is_some_and(is_pool)
}

/// S3d. A target stands by while its page says that it does not hold a lease that another's newest page holds; a
/// frozen one as soon as another holds its lease on a page newer than its own last good one.
pub(crate) fn is_standby(facts: &Facts, id: TargetId, target: &TargetFacts) -> bool {
    let fails = target.last.is_some_and(|(_, good)| !good);
    target.leases.iter().any(|(lease, _, leads)| {
        facts.listed().any(|(other_id, other)| {
            let holds = other
                .leases
                .iter()
                .any(|(name, _, leads)| name == lease && *leads);
            let newer = fails && other.last_good_ms > target.last_good_ms;
            other_id != id && other.group == target.group && holds && (!*leads || newer)
        })
    })
}

//! The scope of a query, put together from those of its selectors.

use super::super::assessment::{Assessment, Pins};
use super::super::facts::TargetFacts;
use super::super::policy::Policy;
use super::super::query::SignalQuery;
use super::Scope;
use super::contradiction::contradiction;
use super::shared::Shared;
use super::waiting::{belongs, is_waited_for};
use crate::store::TargetId;

/// The scope of a query: the union over its selectors (S3f).
pub(crate) fn of_query(assessment: Assessment<'_>, query: &SignalQuery, policy: &Policy) -> Scope {
    of_query_sharing(assessment, query, policy, &mut Shared::default())
}

/// The same for one of many queries about the same facts.
pub(crate) fn of_query_sharing<'a>(
    assessment: Assessment<'a>,
    query: &'a SignalQuery,
    policy: &Policy,
    shared: &mut Shared<'a>,
) -> Scope {
    let listed = || assessment.facts.listed();
    let mut scope = among(assessment, assessment.pins, query, policy, shared, listed);
    let others = scope.others(assessment.facts).map(|(id, _)| id);
    scope.excluded = others.collect();
    scope
}

/// The scope of a query for these pins among some targets, which come in order of id.
pub(in crate::signal) fn among<'a, T: Iterator<Item = (TargetId, &'a TargetFacts)>>(
    assessment: Assessment<'a>,
    pins: Pins<'_>,
    query: &'a SignalQuery,
    policy: &Policy,
    shared: &mut Shared<'a>,
    targets: impl Fn() -> T,
) -> Scope {
    let Assessment { facts, names, .. } = assessment;
    let assessment = assessment.pinned(pins);
    let mut scope = Scope::default();
    for (index, selector) in query.selectors.iter().enumerate() {
        let groups = shared.exposing_groups(facts, names, selector);
        if groups.is_empty() {
            scope.never_seen.push(index);
        }
        // Most targets of many are ruled out by a label, which is the least work to find out.
        let candidates: Vec<(TargetId, &TargetFacts)> = targets()
            .filter(|(_, target)| {
                is_of_allowed_job(policy, target)
                    && contradiction(target, names, selector, pins).is_none()
            })
            // One that never gave a good page may be what others of its group are, and where they never showed what is read,
            // it is not either.
            .filter(|(_, target)| {
                let group = target.group.as_str();
                groups.contains(group)
                    || (target.is_unknown()
                        && !shared.is_well_known(facts, target, assessment.now_ms))
            })
            .collect();
        let satisfied = candidates.iter().any(|(_, target)| {
            target.last_good_ms.is_some() && groups.contains(target.group.as_str())
        });
        for (id, target) in candidates {
            // Of one whose pages are read otherwise than before it is known what its group has shown.
            let is_of_group = || groups.contains(target.group.as_str());
            let is_new = target.last_good_ms.is_none() || (target.awaits_page && !is_of_group());
            let waits = is_new && is_waited_for(assessment, target, policy);
            let is_given_up = is_new
                && satisfied
                && !waits
                && !belongs(assessment, target, selector, policy, &groups);
            if is_given_up || shared.serves_nobody(facts, target, waits) {
                scope.never_answered.push(id);
            } else if shared.is_standby(facts, id, target) {
                scope.standby.push(id);
            } else {
                scope.counting.push(id);
            }
        }
    }
    if query.selectors.len() > 1 {
        for ids in [
            &mut scope.counting,
            &mut scope.standby,
            &mut scope.never_answered,
        ] {
            ids.sort_unstable();
            ids.dedup();
        }
        let mut never_answered = std::mem::take(&mut scope.never_answered);
        never_answered.retain(|id| !scope.shows(*id));
        scope.never_answered = never_answered;
    }
    scope
}

/// Whether the policy lists no jobs, or that of the target among them.
pub(in crate::signal) fn is_of_allowed_job(policy: &Policy, target: &TargetFacts) -> bool {
    policy.jobs.is_empty()
        || policy
            .jobs
            .iter()
            .any(|job| target.labels.get("job") == Some(job))
}

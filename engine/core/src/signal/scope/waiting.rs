//! S3c: targets that never gave a good page, and for how long they are waited for.

use hashbrown::HashSet;

use super::super::assessment::Assessment;
use super::super::carried::pinned;
use super::super::facts::{Facts, TargetFacts};
use super::super::policy::Policy;
use super::super::query::Selector;
use super::shared::{answering_since_ms, well_known_at_ms};

/// The next time at which a scope may change without a scrape, in milliseconds: when a target without a good page is no
/// longer waited for, or what its group is becomes well known.
pub(crate) fn changes_at_ms(facts: &Facts, policy: &Policy, now_ms: i64) -> Option<i64> {
    let mut answering = None;
    let mut next_ms: Option<i64> = None;
    for (_, target) in facts.listed() {
        if !target.is_unknown() {
            continue;
        }
        let answering = answering.get_or_insert_with(|| answering_since_ms(facts));
        let since_ms = answering.get(target.group.as_str());
        let known_ms = since_ms.map(|&since_ms| well_known_at_ms(since_ms, target));
        let until_ms = waited_for_until_ms(target, policy);
        let times_ms = known_ms.into_iter().chain(until_ms);
        let times_ms = times_ms.filter(|&at_ms| at_ms > now_ms).chain(next_ms);
        next_ms = times_ms.min();
    }
    next_ms
}

fn waited_for_until_ms(target: &TargetFacts, policy: &Policy) -> Option<i64> {
    let wait_ms = target.first_page_wait_ms().max(policy.hold_ms.unwrap_or(0));
    Some(target.first_attempt_ms()?.saturating_add(wait_ms))
}

/// Whether a target without a good page is still waited for.
pub(in crate::signal) fn is_waited_for(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    policy: &Policy,
) -> bool {
    waited_for_until_ms(target, policy).is_none_or(|until_ms| assessment.now_ms < until_ms)
}

/// Whether a target that never gave a good page is connected with a selector that other targets satisfy: it has their job
/// or a pinned label, or the policy lists jobs.
pub(in crate::signal) fn belongs(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    selector: &Selector,
    policy: &Policy,
    groups: &HashSet<&str>,
) -> bool {
    let job = target.labels.get("job");
    let shares_job = assessment.facts.listed().any(|(_, other)| {
        other.last_good_ms.is_some()
            && other.labels.get("job") == job
            && groups.contains(other.group.as_str())
    });
    let pins = pinned(&selector.carried, assessment.pins);
    let pins = selector.pins.iter().chain(pins);
    // Every target of a cluster has a namespace: one that is pinned connects nothing.
    let mut pins = pins.filter(|(label, _)| label != "namespace");
    shares_job
        || !policy.jobs.is_empty()
        || pins.any(|(label, value)| target.labels.get(label) == Some(value))
}

//! Whether what a caller asks for may be there although no number of it is told: some target that could show it has not answered
//! (S9b). As long as there is one, a name that nothing shows may be right.

use super::assessment::Assessment;
use super::facts::TargetFacts;
use super::policy::Policy;
use super::query::{Selector, SignalQuery};
use super::scope::{self, Shared};

/// Whether a target that may show what the query selects for these pins has no fresh page. Cost: a look at each target.
pub(super) fn is_unanswered(
    assessment: Assessment<'_>,
    query: &SignalQuery,
    policy: &Policy,
) -> bool {
    let mut shared = Shared::default();
    let mut selectors = query.selectors.iter();
    selectors.any(|selector| by_selector(assessment, selector, policy, &mut shared))
}

/// A target that never gave a good page may show anything, unless others show it and nothing connects it with them; what it shares
/// with them is judged without the pins, for what is asked for need not be there (S3c).
fn by_selector<'a>(
    assessment: Assessment<'a>,
    selector: &'a Selector,
    policy: &Policy,
    shared: &mut Shared<'a>,
) -> bool {
    let Assessment { facts, now_ms, .. } = assessment;
    let groups = shared.exposing_groups(facts, assessment.names, selector);
    let mut listed = facts.listed();
    listed.any(|(id, target)| {
        let is_candidate = |target: &TargetFacts| {
            !target.is_fresh(now_ms)
                && scope::is_of_allowed_job(policy, target)
                && scope::contradiction(target, assessment.names, selector, assessment.pins)
                    .is_none()
        };
        is_candidate(target)
            && match target.last_good_ms {
                Some(_) if groups.contains(target.group.as_str()) => {
                    !shared.is_standby(facts, id, target)
                }
                Some(_) if !target.awaits_page => false,
                _ => {
                    groups.is_empty()
                        || scope::is_waited_for(assessment, target, policy)
                        || scope::belongs(assessment, target, selector, policy, &groups)
                }
            }
    })
}

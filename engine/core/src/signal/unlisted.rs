//! S6f: which targets a job has is not known before its discovery has given a list. A sum over the jobs whose lists came first
//! would be told for all.

use super::assessment::Assessment;
use super::policy::Policy;
use super::query::{Selector, SignalQuery};

/// Error: a job that the query may read has no list yet.
pub(super) fn all_are_listed(
    assessment: Assessment<'_>,
    query: &SignalQuery,
    policy: &Policy,
) -> Result<(), String> {
    let may_read = |job: &String| {
        let of_job = |selector: &Selector| {
            let matchers = selector.matchers.iter();
            let mut of_job = matchers.filter(|matcher| matcher.name() == "job");
            of_job.all(|matcher| matcher.matches(job))
        };
        (policy.jobs.is_empty() || policy.jobs.contains(job)) && query.selectors.iter().any(of_job)
    };
    let unlisted = assessment.facts.unlisted_jobs.iter();
    match unlisted.into_iter().find(|job| may_read(job)) {
        Some(job) => Err(format!(
            "which targets {job} has is not known yet: its discovery has given no list since this program started"
        )),
        None => Ok(()),
    }
}

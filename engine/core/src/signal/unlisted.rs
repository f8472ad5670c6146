//! S6f: which targets a job has is not known before its discovery has given a list. A sum over the jobs whose lists came first
//! would be told for all. What a snapshot knows of such a job stays until a list says otherwise.

use crate::labels::{MatchOp, Matcher};

use super::assessment::Assessment;
use super::facts::{TargetFacts, Unlisted};
use super::policy::Policy;
use super::query::{Selector, SignalQuery};

/// The job that may have targets of a selector.
fn read_by<'a>(unlisted: &'a Unlisted, selector: &Selector, policy: &Policy) -> Option<&'a String> {
    let matchers = selector.matchers.iter();
    let of_job: Vec<&Matcher> = matchers.filter(|one| one.name() == "job").collect();
    let reads = |job: &String| {
        (policy.jobs.is_empty() || policy.jobs.contains(job))
            && of_job.iter().all(|matcher| matcher.matches(job))
    };
    let by_name = unlisted.jobs.iter().find(|job| reads(job));
    by_name.or_else(|| {
        // Labels that are known to be another's exclude a job whose targets may have any.
        let are_listed = |jobs: &[String]| jobs.iter().all(|job| unlisted.listed.contains(job));
        let is_of_listed = |matcher: &&Matcher| match (matcher.op(), matcher.literal_values()) {
            (MatchOp::Equal, _) => unlisted.listed.iter().any(|job| job == matcher.value()),
            (_, Some(jobs)) => are_listed(jobs),
            (_, None) => false,
        };
        let is_of_others =
            of_job.iter().any(is_of_listed) || !policy.jobs.is_empty() && are_listed(&policy.jobs);
        let mut jobs = unlisted.jobs.iter();
        jobs.find(|_| unlisted.are_of_any_name && !is_of_others)
    })
}

/// Error: a job that the query may read has no list yet.
pub(super) fn all_are_listed(
    assessment: Assessment<'_>,
    query: &SignalQuery,
    policy: &Policy,
) -> Result<(), String> {
    let unlisted = &assessment.facts.unlisted;
    if !unlisted.are_awaited {
        return Ok(());
    }
    let mut selectors = query.selectors.iter();
    match selectors.find_map(|one| read_by(unlisted, one, policy)) {
        Some(job) => Err(format!(
            "which targets {job} has is not known yet: its discovery has given no list since this program started"
        )),
        None => Ok(()),
    }
}

/// Why nobody scrapes a target of an earlier run: the job that has given no list. `None` where that is not so.
pub(super) fn why_not_scraped(assessment: Assessment<'_>, target: &TargetFacts) -> Option<String> {
    let unlisted = &assessment.facts.unlisted;
    let job = target.labels.get("job").unwrap_or_default();
    if !target.is_unclaimed || !unlisted.may_have(job) {
        return None;
    }
    let mut jobs = unlisted.jobs.iter();
    let job = jobs.find(|one| *one == job).or(unlisted.jobs.first())?;
    Some(format!(
        "the discovery of {job} has given no list since this program started, so whether it is still there is not known"
    ))
}

//! S6f: which targets a job has is not known before its discovery has given a list. A sum over the jobs whose lists came first
//! would be told for all; so would one over what can be seen where a part cannot. What a snapshot knows of such a job stays until
//! a list says otherwise.

use crate::labels::{METRIC_NAME, MatchOp, Matcher};

use super::assessment::Assessment;
use super::facts::{Namespaces, TargetFacts, Unlisted, Unseen};
use super::policy::Policy;
use super::query::{Selector, SignalQuery};

/// The label by which series that cannot be seen are told apart.
const NAMESPACE: &str = "namespace";

/// The job that may have targets of a selector, of those that have given no list.
fn read_by<'a>(unlisted: &'a Unlisted, selector: &Selector, policy: &Policy) -> Option<&'a String> {
    let find = |of_any_name: bool| {
        let mut jobs = unlisted.jobs.iter();
        jobs.find(|job| may_read((job, of_any_name), unlisted, (selector, policy)))
    };
    let by_name = find(false);
    by_name.or_else(|| find(unlisted.are_of_any_name))
}

/// Whether a selector may read targets of a job, which may be of any name.
fn may_read(
    (job, is_of_any_name): (&str, bool),
    unlisted: &Unlisted,
    (selector, policy): (&Selector, &Policy),
) -> bool {
    let matchers = selector.matchers.iter();
    let of_job: Vec<&Matcher> = matchers.filter(|one| one.name() == "job").collect();
    let is_by_name = (policy.jobs.is_empty() || policy.jobs.iter().any(|one| one == job))
        && of_job.iter().all(|matcher| matcher.matches(job));
    if is_by_name || !is_of_any_name {
        return is_by_name;
    }
    // Labels that are known to be another's exclude a job whose targets may have any.
    let are_listed = |jobs: &[String]| jobs.iter().all(|job| unlisted.listed.contains(job));
    let is_of_listed = |matcher: &&Matcher| match (matcher.op(), matcher.literal_values()) {
        (MatchOp::Equal, _) => unlisted.listed.contains(matcher.value()),
        (_, Some(jobs)) => are_listed(jobs),
        (_, None) => false,
    };
    let is_of_others =
        of_job.iter().any(is_of_listed) || !policy.jobs.is_empty() && are_listed(&policy.jobs);
    !is_of_others
}

/// Whether a selector may select series that cannot be seen. One without a condition on the metric means what there is.
fn selects(selector: &Selector, unseen: &Unseen) -> bool {
    let of = |label| {
        let matchers = selector.matchers.iter();
        matchers.filter(move |matcher| matcher.name() == label)
    };
    let fit = |label, value: &String| of(label).all(|matcher| matcher.matches(value));
    let is_of_metric = unseen.metrics.is_empty()
        || of(METRIC_NAME).next().is_some()
            && unseen.metrics.iter().any(|name| fit(METRIC_NAME, name));
    let can_be_seen = |but: &Vec<Matcher>| but.iter().all(|one| selector.matchers.contains(one));
    is_of_metric
        && !unseen.but.iter().any(can_be_seen)
        && match &unseen.namespaces {
            Namespaces::Any => true,
            Namespaces::Of(names) => names.iter().any(|name| fit(NAMESPACE, name)),
            // Whether it selects no others is known where it names those that it selects.
            Namespaces::AllBut(names) => {
                let are_seen = |matcher: &Matcher| match (matcher.op(), matcher.literal_values()) {
                    (MatchOp::Equal, _) => names.contains(matcher.value()),
                    (_, Some(values)) => values.iter().all(|value| names.contains(value)),
                    (_, None) => false,
                };
                !of(NAMESPACE).any(are_seen)
            }
        }
}

/// Error: a job that the query may read has no list yet, or one of a part of its targets.
pub(super) fn all_are_listed(
    assessment: Assessment<'_>,
    query: &SignalQuery,
    policy: &Policy,
) -> Result<(), String> {
    let unlisted = &assessment.facts.unlisted;
    let partial = unlisted.partial.iter().find(|partial| {
        let job = (&*partial.job, partial.is_of_any_name);
        let mut selectors = query.selectors.iter();
        selectors.any(|one| selects(one, &partial.unseen) && may_read(job, unlisted, (one, policy)))
    });
    if let Some(partial) = partial {
        return Err(format!(
            "which targets {} has is not known: {}",
            partial.job, partial.why
        ));
    }
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
    let job = unlisted.jobs.get(job).or(unlisted.jobs.first())?;
    Some(format!(
        "the discovery of {job} has given no list since this program started, so whether it is still there is not known"
    ))
}

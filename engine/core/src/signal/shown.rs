//! What a selector reads of a target's page, and whether the page has it.

use super::assessment::Assessment;
use super::facts::TargetFacts;
use super::query::{Selector, SignalQuery};
use super::scope;

/// The selectors of a query that read the page of a target.
pub(super) fn read_of<'a>(
    assessment: Assessment<'a>,
    target: &'a TargetFacts,
    query: &'a SignalQuery,
) -> impl Iterator<Item = &'a Selector> {
    let selectors = query.selectors.iter();
    selectors.filter(move |selector| reads_page(assessment, target, selector))
}

/// Whether a selector reads the page of a target.
pub(super) fn reads_page(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    selector: &Selector,
) -> bool {
    let (names, pins) = (assessment.names, assessment.pins);
    !scope::is_report(selector) && scope::contradiction(target, names, selector, pins).is_none()
}

/// Whether a selector reads a metric, under any of its names, or because it fits a pattern of names.
pub(super) fn reads(assessment: Assessment<'_>, selector: &Selector, metric: &str) -> bool {
    match &selector.metric {
        Some(queried) => assessment.names.reads(queried, metric),
        None => selector.name_matchers().all(|one| one.matches(metric)),
    }
}

/// Whether the newest good page has what a selector reads, under any of its names, or a witness of its absence.
pub(super) fn shows(assessment: Assessment<'_>, target: &TargetFacts, selector: &Selector) -> bool {
    match &selector.metric {
        Some(metric) => shows_metric(assessment, target, metric),
        None => has_series(assessment, target, selector),
    }
}

/// The same of a metric.
pub(super) fn shows_metric(assessment: Assessment<'_>, target: &TargetFacts, metric: &str) -> bool {
    let mut metrics = target.metrics.keys().map(|metric| &**metric);
    has_metric(assessment, target, metric)
        || metrics.any(assessment.names.absence_witnesses(metric))
}

/// Whether the newest good page has series of what a selector reads, under any of its names.
pub(super) fn has_series(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    selector: &Selector,
) -> bool {
    let own = target.metrics.keys().map(|metric| &**metric);
    let mut metrics = own.chain(target.replicated.metrics());
    match &selector.metric {
        Some(metric) => has_metric(assessment, target, metric),
        None => metrics.any(|present| selector.name_matchers().all(|one| one.matches(present))),
    }
}

fn has_metric(assessment: Assessment<'_>, target: &TargetFacts, metric: &str) -> bool {
    let has = |name: &str| target.metrics.contains_key(name) || target.replicated.shows(name);
    let mut equivalents = assessment.names.equivalents(metric).into_iter();
    has(metric) || equivalents.any(|(name, _)| has(&name))
}

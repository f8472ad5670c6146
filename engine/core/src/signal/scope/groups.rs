//! S3a: the groups that ever exposed what a query reads.

use super::super::assessment::Assessment;
use super::super::facts::{Facts, GroupFacts};
use super::super::names::Names;
use super::super::query::{Selector, SignalQuery};
use crate::scrape::REPORT;

/// Whether a selector reads a series about scrapes (`up`, ...), which every target has.
pub(crate) fn is_report(selector: &Selector) -> bool {
    selector
        .metric
        .as_ref()
        .is_some_and(|metric| REPORT.contains(&metric.as_str()))
}

/// The groups that ever exposed what a selector reads, with their names.
pub(in crate::signal) fn exposing<'a>(
    facts: &'a Facts,
    names: &'a Names,
    selector: &'a Selector,
) -> impl Iterator<Item = (&'a str, &'a GroupFacts)> {
    let known = selector.metric.as_ref().map(|metric| {
        let equivalents = names.equivalents(metric);
        (metric.as_str(), equivalents, names.witnesses(metric))
    });
    let is_shown = move |group: &GroupFacts| {
        let exposed = &group.exposed;
        match &known {
            // By names first, which takes a look each; a witness may be any of them.
            Some((metric, equivalents, is_witness)) => {
                exposed.contains(*metric)
                    || equivalents
                        .iter()
                        .any(|(name, _)| exposed.contains(name.as_str()))
                    || exposed.iter().any(|present| is_witness(present))
            }
            None => exposes(exposed.iter().map(|m| &**m), names, selector),
        }
    };
    let all = facts.groups.iter();
    let shown = all.filter(move |(_, group)| is_report(selector) || is_shown(group));
    shown.map(|(name, group)| (name.as_str(), group))
}

/// The groups in the scope of a query: those that ever exposed what some selector of it reads. A group may come twice.
pub(crate) fn groups<'a>(
    assessment: Assessment<'a>,
    query: &'a SignalQuery,
) -> impl Iterator<Item = &'a GroupFacts> {
    let selectors = query.selectors.iter();
    selectors.flat_map(move |selector| {
        exposing(assessment.facts, assessment.names, selector).map(|(_, group)| group)
    })
}

/// S3a: whether these metrics contain the selector's, one of its other names, or a witness. For a selector without a fixed
/// name: whether its name matchers match one of them.
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

//! What a selector reads of a target's page, and whether the page has it.

use std::cell::OnceCell;

use super::assessment::Assessment;
use super::facts::TargetFacts;
use super::query::{Selector, SignalQuery};
use super::scope;

#[cfg(test)]
thread_local! {
    /// How often all names of a page were looked at.
    pub(super) static SEARCHES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

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

/// What the page of a target has of each selector of a query, searched once for each that is asked for.
pub(super) struct ShownOnce<'a> {
    assessment: Assessment<'a>,
    target: &'a TargetFacts,
    query: &'a SignalQuery,
    /// By selector: `None` where it does not read the page. Made when one is asked for.
    found: OnceCell<Vec<OnceCell<Option<bool>>>>,
}

impl<'a> ShownOnce<'a> {
    pub(super) fn new(
        assessment: Assessment<'a>,
        target: &'a TargetFacts,
        query: &'a SignalQuery,
    ) -> ShownOnce<'a> {
        ShownOnce {
            assessment,
            target,
            query,
            found: OnceCell::new(),
        }
    }

    /// Whether the page has what the selector with this number reads, or a witness of its absence; `None` where that does not read
    /// the page.
    pub(super) fn shows(&self, selector: usize) -> Option<bool> {
        let selectors = &self.query.selectors;
        let found = self
            .found
            .get_or_init(|| vec![OnceCell::new(); selectors.len()]);
        *found[selector].get_or_init(|| {
            let (assessment, target, selector) =
                (self.assessment, self.target, &selectors[selector]);
            let shows = || shows(assessment, target, selector);
            reads_page(assessment, target, selector).then(shows)
        })
    }
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
    has_metric(assessment, target, metric)
        || assessment.names.has_absence_witness(metric)
            && names_on(target).any(assessment.names.absence_witnesses(metric))
}

/// Every name on the newest good page: there may be 200,000.
fn names_on(target: &TargetFacts) -> impl Iterator<Item = &str> {
    #[cfg(test)]
    SEARCHES.set(SEARCHES.get() + 1);
    target.metrics.keys().map(|metric| &**metric)
}

/// Whether the newest good page has series of what a selector reads, under any of its names.
pub(super) fn has_series(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    selector: &Selector,
) -> bool {
    let fits = |present: &str| selector.name_matchers().all(|one| one.matches(present));
    match &selector.metric {
        Some(metric) => has_metric(assessment, target, metric),
        None => names_on(target).any(fits) || target.replicated.metrics().any(fits),
    }
}

fn has_metric(assessment: Assessment<'_>, target: &TargetFacts, metric: &str) -> bool {
    let has = |name: &str| target.metrics.contains_key(name) || target.replicated.shows(name);
    let mut equivalents = assessment.names.equivalents(metric).into_iter();
    has(metric) || equivalents.any(|(name, _)| has(&name))
}

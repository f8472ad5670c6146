//! S4b: the labels that the series of a metric have on a target, as far as they are known: of a gateway's families from the
//! names table, of all others from the pages of the target's process.
//!
//! Asked for each target with each reading that a caller or a group pins, so that finding a label takes no memory where the
//! target shows the metric under the name that was asked for (bench `scaler_reads`).

use std::collections::BTreeSet;

use super::assessment::Assessment;
use super::facts::TargetFacts;
use super::names::{Name, expected_name};

const POOL: &str = "inference_pool";

/// The labels of a metric's series on a target.
pub(super) struct KnownLabels<'a> {
    target: &'a TargetFacts,
    /// Those of its series on the target's pages.
    shown: Option<&'a BTreeSet<Box<str>>>,
    of_gateway: Option<OfGateway>,
}

/// Names of a family of the table.
#[derive(Clone, Copy)]
struct OfGateway {
    /// The one that the target shows, or would show.
    read: &'static Name,
    requested: &'static Name,
}

/// The labels of a metric's series on a target; `None` where nothing is known of them.
pub(super) fn known_labels<'a>(
    assessment: Assessment<'_>,
    target: &'a TargetFacts,
    metric: &str,
) -> Option<KnownLabels<'a>> {
    let named = assessment.names.family(metric);
    let of_gateway = named.filter(|(family, ..)| !family.class.is_of_engine());
    let of_metric = target.shown_labels(metric);
    let (shown, of_gateway) = match (of_gateway, of_metric) {
        (None, None) => return None,
        (None, Some(_)) => (of_metric, None),
        (Some((_, requested, _)), Some(_)) => (of_metric, Some((requested, requested))),
        (Some((family, requested, suffix)), None) => {
            let shown = |name: &Name| target.shown_labels(&format!("{}{suffix}", name.family));
            let mut names = family.names.iter();
            let other = names.find_map(|name| Some((name, shown(name)?)));
            let shows = |metric: &str| target.metrics.contains_key(metric);
            match other {
                Some((read, labels)) => (Some(labels), Some((read, requested))),
                None => (
                    None,
                    Some((expected_name(family, requested, shows), requested)),
                ),
            }
        }
    };
    Some(KnownLabels {
        target,
        shown,
        of_gateway: of_gateway.map(|(read, requested)| OfGateway { read, requested }),
    })
}

impl KnownLabels<'_> {
    /// Whether the series have this label.
    pub(super) fn has(&self, label: &str) -> bool {
        let is_shown = self.shown.is_some_and(|shown| shown.contains(label));
        let Some(OfGateway { read, requested }) = self.of_gateway else {
            return is_shown;
        };
        // Labels that every release gives the name, or every release with a witness, are there even if they are empty.
        let is_sure =
            read.labels.contains(&label) || self.shown.is_none() && read.late.contains(&label);
        let is_derived =
            || label == POOL && requested.may_have(POOL) && self.target.certain_pool().is_some();
        // Labels that only the other name has do not exist under the requested one.
        let is_of_requested =
            read.family == requested.family || !read.may_have(label) || requested.may_have(label);
        is_of_requested && (is_shown || is_sure || is_derived())
    }

    /// All of them, sorted.
    pub(super) fn all(&self) -> Vec<&str> {
        let shown = self.shown.into_iter().flatten().map(AsRef::as_ref);
        let of_table = self.of_gateway.into_iter();
        let of_table = of_table.flat_map(|names| names.read.labels.iter().chain(names.read.late));
        let mut labels: Vec<&str> = shown.chain(of_table.copied()).chain([POOL]).collect();
        labels.retain(|label| self.has(label));
        labels.sort_unstable();
        labels.dedup();
        labels
    }
}

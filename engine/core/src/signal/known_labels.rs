//! S4b: the labels that the series of a metric have on a target, as far as they are known: of a gateway's families from the
//! names table, of all others from the pages of the target's process.

use super::assessment::Assessment;
use super::facts::TargetFacts;
use super::names::{Name, expected_name};

/// The labels of a metric's series on a target, as far as they are known.
pub(super) enum Labels {
    Known(Vec<String>),
    NotShown,
}

pub(super) fn labels_of(assessment: Assessment<'_>, target: &TargetFacts, metric: &str) -> Labels {
    let named = assessment.names.family(metric);
    let of_gateway = named.filter(|(family, ..)| !family.class.is_of_engine());
    let Some((family, requested, suffix)) = of_gateway else {
        return match target.shown_labels(metric) {
            Some(shown) => Labels::Known(shown.iter().map(|label| label.to_string()).collect()),
            None => Labels::NotShown,
        };
    };
    let shown = |name: &Name| {
        let labels = target.shown_labels(&format!("{}{suffix}", name.family));
        labels.map(|labels| labels.iter().map(|label| label.to_string()))
    };
    let names = std::iter::once(requested).chain(family.names);
    let read = names.clone().find(|name| shown(name).is_some());
    let shows = |metric: &str| target.metrics.contains_key(metric);
    let read = read.unwrap_or_else(|| expected_name(family, requested, shows));
    let sure = |name: &Name| {
        // Labels that every release gives the name, or every release with a witness, are there even if they are empty.
        let late = if shown(name).is_none() {
            name.late
        } else {
            &[]
        };
        let all = name.labels.iter().chain(late);
        all.map(|label| (*label).to_owned()).collect::<Vec<_>>()
    };
    let mut labels: Vec<String> = shown(read)
        .into_iter()
        .flatten()
        .chain(sure(read))
        .collect();
    if requested.may_have("inference_pool") && target.certain_pool().is_some() {
        labels.push("inference_pool".to_owned());
    }
    // Labels that only the other name has do not exist under the requested one.
    labels.retain(|label| {
        read.family == requested.family || !read.may_have(label) || requested.may_have(label)
    });
    labels.sort_unstable();
    labels.dedup();
    Labels::Known(labels)
}

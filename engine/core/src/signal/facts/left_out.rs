//! Samples of a page that no series of their own stands for: only one of several lines, or targets, with the same labels is
//! stored.

use std::collections::BTreeMap;

use super::super::names::POOL_LABELS;
use super::Facts;
use crate::labels::{Labels, METRIC_NAME, Matcher};
use crate::not_known::NotKnown;
use crate::store::TargetId;

/// Metrics of a page of which samples are left out; more are as many faults of one configuration.
const METRICS_MAX: usize = 1_000;
/// Samples of a metric that are known by their labels; of more any may be one.
const SAMPLES_MAX: usize = 8;

/// Such samples by their metrics.
#[derive(Debug, Default)]
pub(crate) struct LeftOut(BTreeMap<Box<str>, OfMetric>);

/// Whose sample is stored instead of one that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WhyLeftOut {
    /// Another line of the page says the same series.
    SaidTwice,
    /// Another line of the page is the same series by relabelling.
    Relabelled,
    /// Another target has the series.
    OfTarget,
}

#[derive(Debug)]
pub(crate) struct OfMetric {
    /// Of several reasons the last in their order.
    pub(crate) why: WhyLeftOut,
    samples: Vec<Labels>,
}

impl LeftOut {
    /// A sample is left out.
    pub(crate) fn add(&mut self, labels: &Labels, why: WhyLeftOut) {
        let Some(metric) = labels.metric_name() else {
            return;
        };
        if !self.0.contains_key(metric) {
            if self.0.len() == METRICS_MAX {
                return;
            }
            let samples = Vec::new();
            self.0.insert(metric.into(), OfMetric { why, samples });
        }
        if let Some(known) = self.0.get_mut(metric) {
            known.why = known.why.max(why);
            // One more than is looked at says that there are more.
            if known.samples.len() <= SAMPLES_MAX {
                known.samples.push(labels.clone());
            }
        }
    }

    /// Each metric with what is left out of it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &OfMetric)> {
        self.0
            .iter()
            .map(|(metric, of_metric)| (&**metric, of_metric))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left out of a metric.
    pub(super) fn of(&self, metric: &str) -> Option<&OfMetric> {
        self.0.get(metric)
    }

    /// The samples that are known by their labels.
    pub(super) fn samples(&self) -> impl Iterator<Item = &Labels> {
        self.0.values().flat_map(|of_metric| &of_metric.samples)
    }
}

impl OfMetric {
    /// Whether this one may be among them.
    pub(super) fn may_have(&self, labels: &Labels) -> bool {
        self.samples.len() > SAMPLES_MAX || self.samples.contains(labels)
    }

    /// Whether some may be among what these conditions select. Names and pools may be others on the page than in a query (S8).
    pub(crate) fn may_fit<'m>(
        &self,
        conditions: impl Iterator<Item = &'m Matcher> + Clone,
    ) -> bool {
        let fits = |labels: &Labels| may_fit(labels, conditions.clone());
        self.samples.len() > SAMPLES_MAX || self.samples.iter().any(fits)
    }
}

/// Whether the series of a page with these labels may be among what these conditions select.
pub(crate) fn may_fit<'m>(labels: &Labels, conditions: impl Iterator<Item = &'m Matcher>) -> bool {
    let is_other = |name: &str| name == METRIC_NAME || POOL_LABELS.contains(&name);
    let mut conditions = conditions.filter(|one| !is_other(one.name()));
    conditions.all(|one| one.matches(labels.get(one.name()).unwrap_or("")))
}

impl Facts {
    /// The newest page of a target leaves these out.
    pub(crate) fn note_left_out(&mut self, id: TargetId, left_out: LeftOut) {
        if let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) {
            facts.left_out = left_out;
        }
    }

    /// What whoever wrote the newest page of a target says not to be known.
    pub(crate) fn note_not_known(&mut self, id: TargetId, not_known: NotKnown) {
        let facts = self.targets.get_mut(id.index()).and_then(Option::as_mut);
        if let Some(facts) = facts
            && !(facts.not_known.is_empty() && not_known.is_empty())
        {
            facts.not_known = not_known.of_target(&facts.labels);
            self.update_losses(id);
        }
    }

    /// Whether the series about the scrapes of a target are its own, and not those of another with the same labels.
    pub(crate) fn note_reports(&mut self, id: TargetId, are_its_own: bool) {
        let facts = self.targets.get_mut(id.index()).and_then(Option::as_mut);
        if let Some(facts) = facts.filter(|facts| facts.lacks_reports == are_its_own) {
            facts.lacks_reports = !are_its_own;
            self.update_losses(id);
        }
    }
}

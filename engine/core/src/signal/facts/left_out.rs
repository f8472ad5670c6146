//! Samples of a page that no series of their own stands for: only one of several lines, or targets, with the same labels is
//! stored.

use std::collections::BTreeMap;

use super::Facts;
use crate::store::TargetId;

/// Metrics of a page of which samples are left out; more are as many faults of one configuration.
const METRICS_MAX: usize = 1_000;

/// The metrics of such samples, each with whether another target has the series.
#[derive(Debug, Default)]
pub(crate) struct LeftOut(BTreeMap<Box<str>, bool>);

impl LeftOut {
    /// A sample of this metric is left out, because another target has its series or else another line of the page.
    pub(crate) fn add(&mut self, metric: &str, of_target: bool) {
        if let Some(known) = self.0.get_mut(metric) {
            *known |= of_target;
        } else if self.0.len() < METRICS_MAX {
            self.0.insert(metric.into(), of_target);
        }
    }

    /// Each metric, and whether another target has series of it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0
            .iter()
            .map(|(metric, of_target)| (&**metric, *of_target))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Facts {
    /// The newest page of a target leaves these out, which other lines or targets do not give as well: lines that relabelling
    /// has made equal, and targets with the same labels. What a page itself says twice Prometheus stores once, and replicas of
    /// a collector whose labels are honoured say the same, one of which is stored.
    pub(crate) fn note_left_out(&mut self, id: TargetId, mut left_out: LeftOut) {
        if let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) {
            let (honors_labels, relabels) = (facts.honors_labels, facts.relabels);
            left_out.0.retain(|_, of_target| match of_target {
                true => !honors_labels,
                false => relabels,
            });
            facts.left_out = left_out;
        }
    }
}

//! What whoever writes a page knows not to be known: a series that somebody no longer sends may have a value all the same.

use std::collections::BTreeMap;

use crate::labels::{Labels, LabelsBuilder};

/// Metrics that are listed; of more any may be one.
const METRICS_MAX: usize = 1_000;
/// Series of a metric that are listed; of more any may be one.
const SERIES_MAX: usize = 8;

/// Series without a known value, whether the page has them or not, each with the reason. What reads one of them is no number,
/// whatever a signal makes of NaN (rule S2b).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotKnown {
    by_metric: BTreeMap<Box<str>, Vec<(Labels, String)>>,
    /// There are more metrics than are listed, for this reason.
    others: Option<String>,
}

impl NotKnown {
    /// Adds a series.
    pub fn add(&mut self, labels: &Labels, why: impl FnOnce() -> String) {
        let metric = labels.metric_name().unwrap_or("");
        let has_room = self.by_metric.len() < METRICS_MAX;
        match self.by_metric.get_mut(metric) {
            // One more than is looked at says that there are more.
            Some(series) if series.len() > SERIES_MAX => {}
            Some(series) => series.push((labels.clone(), why())),
            None if has_room => {
                let first = vec![(labels.clone(), why())];
                self.by_metric.insert(metric.into(), first);
            }
            None => {
                self.others.get_or_insert_with(why);
            }
        }
    }

    /// Adds that any series may be one.
    pub(crate) fn add_any(&mut self, why: impl FnOnce() -> String) {
        self.others.get_or_insert_with(why);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_metric.is_empty() && self.others.is_none()
    }

    /// The reason of each that is listed.
    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        let series = self.by_metric.values().flatten();
        series.map(|(_, why)| why.as_str())
    }

    /// Whether another series of this metric is not listed any more.
    pub(crate) fn is_full(&self, metric: &str) -> bool {
        match self.by_metric.get(metric) {
            Some(series) => series.len() > SERIES_MAX,
            None => self.by_metric.len() == METRICS_MAX && self.others.is_some(),
        }
    }

    /// Whether there is one of this metric.
    pub(crate) fn has(&self, metric: &str) -> bool {
        self.others.is_some() || self.by_metric.contains_key(metric)
    }

    /// The reason of the first that is among what is read.
    pub(crate) fn find(
        &self,
        reads: impl Fn(&str) -> bool,
        fits: impl Fn(&Labels) -> bool,
    ) -> Option<&str> {
        let mut listed = self.by_metric.iter().filter(|(metric, _)| reads(metric));
        let found = listed.find_map(|(_, series)| match series.len() > SERIES_MAX {
            true => series.first(),
            false => series.iter().find(|(labels, _)| fits(labels)),
        });
        let found = found.map(|(_, why)| why.as_str());
        found.or(self.others.as_deref())
    }

    /// Adds the labels of a target to those of its series, whose own count.
    pub(crate) fn of_target(mut self, target: &Labels) -> NotKnown {
        let series = self.by_metric.values_mut().flatten();
        for (labels, _) in series {
            *labels = with_labels_of(target, labels);
        }
        self
    }
}

/// The labels of a series with those of its target, where the series' own count (`honor_labels`).
pub fn with_labels_of(target: &Labels, series: &Labels) -> Labels {
    let mut merged = LabelsBuilder::default();
    for (name, value) in target.iter().chain(series.iter()) {
        merged.set(name, value);
    }
    merged.build()
}

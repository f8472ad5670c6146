//! What the new series of a large page tell of its target, gathered line by line before the page is committed.
//!
//! Learning 200,000 series one by one takes 40 to 90 ms, and it has to happen at once with the page, because a family that is
//! known before its samples are visible would prove an absence (S4a). But such a page names some thousand metrics and few
//! values of labels that matter, again and again. Those are collected here, by whoever holds no lock; what is left to do with
//! the commit takes time by metric and by value, not by line.

use hashbrown::{HashMap, HashSet};

use super::super::names::Names;
use super::Facts;
use super::series::{is_about_process, is_remembered};
use crate::labels::{Labels, METRIC_NAME};
use crate::limits::{REMEMBERED_VALUES_MAX, SHOWN_LABELS_MAX};
use crate::scrape::TargetSpec;
use crate::store::{SeriesId, TargetId};

/// Labels of which some query fixes the value, as they were when gathering began.
pub(crate) type RememberedLabels = HashSet<String>;

/// What the series of a page tell.
#[derive(Default)]
pub(crate) struct PageFacts {
    stored: Lines,
    /// Series that are looked at and not stored (`retain: signals`).
    looked_at: Lines,
    /// Stored series that say something of the process.
    about_process: Vec<(SeriesId, Labels)>,
    /// Stored series that replace labels of the target, which no series before replaces.
    replacing: Vec<Labels>,
    /// How many labels queries had added when gathering began. They only become more.
    remembered: usize,
}

/// Some lines by what is new in each.
#[derive(Default)]
struct Lines {
    /// How many series each metric has.
    metrics: HashMap<Box<str>, u32>,
    /// The first series of each metric, and others that have label names which those before do not have.
    with_labels: Vec<Labels>,
    /// The first series with each value of a label that matters, and the place of the label in it.
    with_values: Vec<(Labels, usize)>,
}

/// Collects [`PageFacts`].
pub(crate) struct Gatherer<'l> {
    facts: PageFacts,
    remembered: &'l RememberedLabels,
    spec: &'l TargetSpec,
    replaced: HashSet<&'l str>,
    stored: Seen<'l>,
    looked_at: Seen<'l>,
}

/// What the lines before have shown.
#[derive(Default)]
struct Seen<'l> {
    before: Option<&'l Labels>,
    /// Label names by metric.
    names: HashMap<&'l str, HashSet<&'l str>>,
    values: HashSet<(&'l str, &'l str)>,
    /// Of the label `name`, which means a pool on some metrics.
    values_by_metric: HashSet<(&'l str, &'l str)>,
}

impl<'l> Gatherer<'l> {
    pub(crate) fn new(remembered: &'l RememberedLabels, spec: &'l TargetSpec) -> Gatherer<'l> {
        Gatherer {
            facts: PageFacts {
                remembered: remembered.len(),
                ..PageFacts::default()
            },
            remembered,
            spec,
            replaced: HashSet::new(),
            stored: Seen::default(),
            looked_at: Seen::default(),
        }
    }

    /// Adds a series that is stored.
    pub(crate) fn store(&mut self, id: SeriesId, labels: &'l Labels) {
        let Some(metric) = labels.metric_name() else {
            return;
        };
        let lines = &mut self.facts.stored;
        self.stored.add(metric, labels, self.remembered, lines);
        if is_about_process(metric) {
            self.facts.about_process.push((id, labels.clone()));
        }
        if self.spec.may_replace_labels() {
            let mut replaces = false;
            for (label, value) in self.spec.labels.iter() {
                replaces |= labels.get(label) != Some(value) && self.replaced.insert(label);
            }
            if replaces {
                self.facts.replacing.push(labels.clone());
            }
        }
    }

    /// Adds a series that is looked at and not stored.
    pub(crate) fn look_at(&mut self, labels: &'l Labels) {
        if let Some(metric) = labels.metric_name() {
            let lines = &mut self.facts.looked_at;
            self.looked_at.add(metric, labels, self.remembered, lines);
        }
    }

    pub(crate) fn finish(self) -> PageFacts {
        self.facts
    }
}

impl<'l> Seen<'l> {
    fn add(
        &mut self,
        metric: &'l str,
        labels: &'l Labels,
        remembered: &RememberedLabels,
        lines: &mut Lines,
    ) {
        let before = self.before.replace(labels);
        let before = before.filter(|before| before.metric_name() == Some(metric));
        match lines.metrics.get_mut(metric) {
            Some(count) => *count += 1,
            None => {
                lines.metrics.insert(metric.into(), 1);
            }
        }
        let names = |labels: &'l Labels| labels.iter().map(|(name, _)| name);
        if before.is_none_or(|before| !names(before).eq(names(labels))) {
            let is_first = !self.names.contains_key(metric);
            let shown = self.names.entry(metric).or_default();
            let mut is_new = is_first;
            for name in names(labels) {
                is_new |= shown.len() <= SHOWN_LABELS_MAX && shown.insert(name);
            }
            if is_new {
                lines.with_labels.push(labels.clone());
            }
        }
        let mut before = before.map(Labels::iter);
        for (at, (label, value)) in labels.iter().enumerate() {
            let is_repeated = before.as_mut().and_then(Iterator::next) == Some((label, value));
            if !is_repeated
                && is_remembered(label, remembered)
                && self.values.len() + self.values_by_metric.len() < 2 * REMEMBERED_VALUES_MAX
                && match label {
                    "name" => self.values_by_metric.insert((metric, value)),
                    _ => self.values.insert((label, value)),
                }
            {
                lines.with_values.push((labels.clone(), at));
            }
        }
    }
}

impl Facts {
    /// The labels of which queries fix the value.
    pub(crate) fn remembered_labels(&self) -> RememberedLabels {
        self.remembered.clone()
    }

    /// Whether what was gathered is complete: no query has added a label meanwhile.
    pub(crate) fn is_complete(&self, page: &PageFacts) -> bool {
        self.remembered.len() == page.remembered
    }

    /// The series of a page have appeared: the same as [`Facts::series_appeared`] for each that is stored, and
    /// [`Facts::learn_from_series`] for each that is not.
    pub(crate) fn page_appeared(&mut self, id: TargetId, page: PageFacts, names: &Names) {
        for labels in &page.stored.with_labels {
            if let Some(metric) = labels.metric_name() {
                self.metric_appeared(id, metric);
                let labels = labels.iter().map(|(name, _)| name);
                self.learn_labels(id, metric, labels.filter(|name| *name != METRIC_NAME));
            }
        }
        self.learn_gathered_values(id, &page.stored, names);
        for (series, labels) in &page.about_process {
            if let Some(metric) = labels.metric_name() {
                self.learn_about_process(id, *series, metric, labels);
            }
        }
        for labels in &page.looked_at.with_labels {
            if let Some(metric) = labels.metric_name() {
                self.metric_skipped(id, metric, names);
            }
        }
        self.learn_gathered_values(id, &page.looked_at, names);
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        for labels in &page.replacing {
            self.epoch += u64::from(facts.record_replaced_labels(labels));
        }
        if facts.metrics.is_empty() {
            facts.metrics = page.stored.metrics;
            return;
        }
        for (metric, count) in page.stored.metrics {
            *facts.metrics.entry(metric).or_default() += count;
        }
    }

    fn learn_gathered_values(&mut self, id: TargetId, lines: &Lines, names: &Names) {
        for (labels, at) in &lines.with_values {
            if let (Some(metric), Some((label, value))) =
                (labels.metric_name(), labels.iter().nth(*at))
            {
                self.learn_value(id, metric, label, value, names);
            }
        }
    }
}

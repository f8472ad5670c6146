//! Facts from series that appear on a page or disappear from it: metric names, label names and values, pools, leases.

use hashbrown::HashSet;

use crate::labels::{Labels, METRIC_NAME};
use crate::limits::{POOLS_PER_TARGET_MAX, REMEMBERED_LABELS_MAX, SHOWN_LABELS_MAX};
use crate::scrape::Retain;
use crate::store::{SeriesId, TargetId};

use super::super::names::{
    INFO, LEADER, NameIndex, Names, POOL_LABELS, REQUEST_LABELS, START_TIME, UP,
};
use super::Facts;

impl Facts {
    /// Remembers the values of this label from now on. True if they were not remembered so far.
    pub(crate) fn remember(&mut self, label: &str) -> bool {
        !is_always_remembered(label)
            && self.remembered.len() < REMEMBERED_LABELS_MAX
            && self.remembered.insert(label.to_owned())
    }

    /// Adds a label value that series of the target have had until then to the values of its group.
    pub(crate) fn add_label_value_until(
        &mut self,
        id: TargetId,
        (label, value): (&str, &str),
        ended_ms: i64,
    ) {
        let Some(facts) = self.targets.get(id.index()).and_then(Option::as_ref) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&facts.group) else {
            return;
        };
        // One that has to tell its values again does so with its next page; those of pages that were read otherwise are none.
        let is_told = !facts.awaits_page && facts.values_version == group.values_version;
        if is_told
            && facts
                .first_good_ms
                .is_none_or(|first_ms| ended_ms > first_ms)
        {
            group.add_label_value(label, value);
        }
    }

    /// A series has appeared on the page. `before` are the labels of the one that appeared last, if it is on the same page:
    /// what both have is known already.
    pub(crate) fn series_appeared(
        &mut self,
        id: TargetId,
        series: SeriesId,
        labels: &Labels,
        before: Option<&Labels>,
    ) {
        let Some(metric) = labels.metric_name() else {
            return;
        };
        let is_next_of_metric = before.is_some_and(|before| before.metric_name() == Some(metric));
        if !is_next_of_metric {
            self.metric_appeared(id, metric);
        }
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        self.epoch += u64::from(facts.may_replace && facts.record_replaced_labels(labels));
        match facts.metrics.get_mut(metric) {
            Some(count) => *count += 1,
            None => {
                facts.metrics.insert(metric.into(), 1);
                facts.note_shown(metric);
            }
        }
        if is_about_process(metric) {
            self.learn_about_process(id, series, metric, labels);
        }
        self.learn_values(id, metric, labels, before.filter(|_| is_next_of_metric));
        self.learn_labels(id, metric, labels.iter().map(|(name, _)| name));
    }

    /// Whether a page of the target that was taken has no sample at all.
    pub(crate) fn note_whether_empty(&mut self, id: TargetId, is_empty: bool) {
        if let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) {
            facts.is_empty = is_empty;
        }
        self.update_losses(id);
    }

    /// Series of a metric have appeared on a page.
    pub(super) fn metric_appeared(&mut self, id: TargetId, metric: &str) {
        self.record_structure_change(metric);
        let Some(facts) = self.targets.get(id.index()).and_then(Option::as_ref) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&facts.group) else {
            return;
        };
        let is_new = group.add_exposed(metric, || self.read_metrics.contains_key(metric));
        self.epoch += u64::from(is_new);
    }

    /// A series has appeared that says something of the process ([`is_about_process`]).
    pub(super) fn learn_about_process(
        &mut self,
        id: TargetId,
        series: SeriesId,
        metric: &str,
        labels: &Labels,
    ) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        if INFO.contains(&metric) {
            let build_ref = labels.get("build_ref").unwrap_or_default();
            build_ref.clone_into(&mut facts.build_ref);
        }
        match metric {
            START_TIME => facts.starts.add(series),
            UP => facts.sources.add(series),
            LEADER => {
                let lease = labels.get("name").unwrap_or("").to_owned();
                facts.leases.retain(|(name, _, _)| *name != lease);
                facts.leases.push((lease, series, false));
                self.epoch += 1;
            }
            _ => {}
        }
    }

    /// Whether a series contributes to the facts that [`Facts::forget`] removes.
    pub(crate) fn says_what_was_forgotten(
        &self,
        metric: &str,
        has_label: impl Fn(&str) -> bool,
    ) -> bool {
        self.read_metrics.contains_key(metric) || POOL_LABELS.iter().any(|label| has_label(label))
    }

    /// Adds the facts that [`Facts::forget`] removed, from a series that stayed on the page.
    pub(crate) fn learn_again(&mut self, id: TargetId, labels: &Labels) {
        if let Some(metric) = labels.metric_name() {
            self.note_shown(id, metric);
            self.learn_values(id, metric, labels, None);
            self.learn_labels(id, metric, labels.iter().map(|(name, _)| name));
        }
    }

    /// Adds label names that a metric has on the target's pages, if some signal reads the metric.
    pub(crate) fn learn_labels<'l>(
        &mut self,
        id: TargetId,
        metric: &str,
        labels: impl Iterator<Item = &'l str>,
    ) {
        if !self.read_metrics.contains_key(metric) {
            return;
        }
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let shown = match facts.shown_labels.get_mut(metric) {
            Some(shown) => shown,
            None => facts.shown_labels.entry(metric.into()).or_default(),
        };
        for label in labels.filter(|label| *label != METRIC_NAME) {
            if !shown.contains(label) && shown.len() < SHOWN_LABELS_MAX {
                shown.insert(label.into());
            }
        }
    }

    /// Series have disappeared from the page: so many of each metric, one metric after the other, those for which `has_left`
    /// is true.
    pub(crate) fn series_disappeared(
        &mut self,
        id: TargetId,
        metrics: &[(Box<str>, u32)],
        has_left: impl Fn(SeriesId) -> bool,
    ) {
        if metrics.is_empty() {
            return;
        }
        for (metric, _) in metrics {
            self.record_structure_change(metric);
        }
        let Facts {
            targets,
            requirements,
            ..
        } = self;
        let Some(facts) = targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        // What is stored no more because no signal reads it may be on the page.
        let stored = (facts.retain == Retain::Signals).then(|| requirements.newest());
        for (metric, gone) in metrics {
            if let Some(count) = facts.metrics.get_mut(metric) {
                let before = *count;
                *count = count.saturating_sub(*gone);
                if facts.shown_labels.contains_key(metric)
                    || (*count == 0 && Names::is_counter(metric))
                {
                    facts.left.push((metric.clone(), before));
                }
                if *count == 0 {
                    facts.metrics.remove(metric);
                    let is_lost = stored.as_ref().is_none_or(|set| set.retains(metric));
                    facts.note_gone(metric, is_lost);
                }
            }
        }
        facts.starts.remove(&has_left);
        facts.sources.remove(&has_left);
        let leases = facts.leases.len();
        facts
            .leases
            .retain(|(_, lease_series, _)| !has_left(*lease_series));
        // A target that was a standby because of this lease may count now.
        self.epoch += u64::from(facts.leases.len() != leases);
    }

    /// A new series of the page that is not stored, with a metric name that the page had before.
    pub(crate) fn learn_from_series(&mut self, id: TargetId, labels: &Labels, names: &Names) {
        let Some(metric) = labels.metric_name() else {
            return;
        };
        self.metric_skipped(id, metric, names);
        self.learn_values(id, metric, labels, None);
    }

    /// A new metric of the page whose series are not stored: its group has exposed it nevertheless.
    pub(crate) fn metric_skipped(&mut self, id: TargetId, metric: &str, names: &Names) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        facts.note_shown(metric);
        let Some(group) = self.groups.get_mut(&facts.group) else {
            return;
        };
        if !group.add_exposed(metric, || self.read_metrics.contains_key(metric)) {
            return;
        }
        self.epoch += 1;
        let Some((family, name, "" | "_count")) = names.family(metric) else {
            return;
        };
        if let Some(index) = NameIndex::of(family, name) {
            facts.names_seen.add(index);
            self.record_structure_change_of_all();
        }
    }

    /// Adds label values that prove something (S4b), and pools (S3b). Those that `before`, of the same metric, has at the same
    /// place were added with it.
    fn learn_values(
        &mut self,
        id: TargetId,
        metric: &str,
        labels: &Labels,
        before: Option<&Labels>,
    ) {
        let mut added = before.map(Labels::iter);
        for (label, value) in labels.iter() {
            let added = added.as_mut().and_then(Iterator::next);
            if added != Some((label, value)) && is_remembered(label, &self.remembered) {
                self.learn_value(id, metric, label, value);
            }
        }
    }

    /// Adds a value of a remembered label.
    pub(super) fn learn_value(&mut self, id: TargetId, metric: &str, label: &str, value: &str) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&facts.group) else {
            return;
        };
        if !Names::is_pool_label(metric, label) {
            group.add_label_value(label, value);
            return;
        }
        for alias in POOL_LABELS {
            group.add_label_value(alias, value);
        }
        if !facts.pools.contains(value) && facts.pools.len() < POOLS_PER_TARGET_MAX {
            facts.pools.insert(value.to_owned());
            self.epoch += 1;
            // Series without the label of their pool are read with it while the pool is certain.
            self.record_structure_change_of_all();
        }
    }

    /// Updates under which names the page has each family, after all its series are known.
    pub(crate) fn update_names_seen(&mut self, id: TargetId) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        if facts.names_seen.update(&facts.metrics) {
            self.record_structure_change_of_all();
        }
    }
}

/// Whether the values of this label are remembered, where some queries have added these labels.
pub(super) fn is_remembered(label: &str, added: &HashSet<String>) -> bool {
    label != METRIC_NAME && (is_always_remembered(label) || added.contains(label))
}

/// Whether a series of this metric says which process serves the target, whether it leads, or which sources are down.
pub(super) fn is_about_process(metric: &str) -> bool {
    INFO.contains(&metric) || [START_TIME, LEADER, UP].contains(&metric)
}

fn is_always_remembered(label: &str) -> bool {
    POOL_LABELS.contains(&label) || REQUEST_LABELS.contains(&label)
}

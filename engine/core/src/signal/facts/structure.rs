//! For each metric that signals read: when its series last appeared or disappeared. A compiled query selects its series
//! again only if one of its metrics has changed.

use super::super::names::Names;
use super::Facts;
use crate::scrape::REPORT;

impl Facts {
    /// Tracks the series of a metric that a signal reads, and their label names. Returns those of its names that no signal
    /// read so far.
    pub(crate) fn track_metric(&mut self, metric: &str, names: &Names) -> Vec<String> {
        let equivalents = names.equivalents(metric).into_iter().map(|(name, _)| name);
        let all_names = equivalents.chain([metric.to_owned()]);
        let is_new = |name: &String| !self.read_metrics.contains_key(name);
        let new: Vec<String> = all_names.filter(is_new).collect();
        for name in &new {
            self.read_metrics.insert(name.clone(), self.structure);
            self.expose_what_is_shown(name);
        }
        new
    }

    /// A signal reads this metric from now on: groups that had no room to remember it have exposed it, too, if one of their targets
    /// shows it.
    fn expose_what_is_shown(&mut self, metric: &str) {
        if self.groups.values().all(|group| group.has_room_for(metric)) {
            return;
        }
        for target in self.targets.iter().flatten() {
            if let Some(group) = self.groups.get_mut(&target.group)
                && !group.has_room_for(metric)
                && target.has_shown(metric)
            {
                self.epoch += u64::from(group.add_exposed(metric, || true));
            }
        }
    }

    /// Tracks only these metrics from now on, after a signal was removed.
    pub(crate) fn track_only<'m>(&mut self, metrics: impl Iterator<Item = &'m str>, names: &Names) {
        let before = std::mem::take(&mut self.read_metrics);
        for metric in metrics {
            self.track_metric(metric, names);
        }
        for (name, changed) in &mut self.read_metrics {
            *changed = before.get(name).copied().unwrap_or(*changed);
        }
        let Facts {
            targets,
            read_metrics,
            ..
        } = self;
        for target in targets.iter_mut().flatten() {
            target
                .shown_labels
                .retain(|metric, _| read_metrics.contains_key(&**metric));
        }
    }

    /// A series of this metric has appeared, disappeared or moved to another clock.
    pub(crate) fn record_structure_change(&mut self, metric: &str) {
        // Selectors without a metric name may read it.
        self.structure += 1;
        if let Some(changed) = self.read_metrics.get_mut(metric) {
            *changed = self.structure;
        }
    }

    /// Series about scrapes have appeared or ended, if `any`.
    pub(crate) fn reports_changed(&mut self, any: bool) {
        for metric in REPORT.iter().filter(|_| any) {
            self.record_structure_change(metric);
        }
    }

    /// Something has changed that may concern every signal.
    pub(super) fn record_structure_change_of_all(&mut self) {
        self.structure += 1;
        self.structure_of_all = self.structure;
    }

    /// Whether a series of these metrics has changed since `structure` had this value.
    pub(crate) fn has_changed(&self, metrics: &[String], structure: u64) -> bool {
        let changed = |metric| {
            self.read_metrics
                .get(metric)
                .is_none_or(|at| *at > structure)
        };
        self.structure_of_all > structure || metrics.iter().any(changed)
    }
}

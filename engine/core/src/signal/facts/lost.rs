//! What the newest page of a target no longer has although its process has shown it (S4).
//!
//! That is remembered of every metric of the names table, whether a signal reads it or not: one that comes later has to know
//! of a loss what others know that were there before. Of a target with `retain: signals` no more is known of metrics that no
//! signal reads than that they have been shown: the first page that is read for a new signal tells whether it has them.
//!
//! Of metrics that are not in the table it is remembered where their series were stored, up to a bound: whoever gives each page
//! metrics of other names loses some on every page.

use super::super::names::{TableMetric, TableMetrics};
use super::{Facts, TargetFacts};
use crate::limits::{LOST_METRIC_BYTES_MAX, LOST_METRICS_MAX};
use crate::scrape::Retain;
use crate::store::TargetId;

impl TargetFacts {
    /// Its newest page shows this metric.
    pub(super) fn note_shown(&mut self, metric: &str) {
        match TableMetric::of(metric) {
            Some(metric) => {
                self.shown.insert(metric);
                self.lost.remove(metric);
            }
            None => {
                self.lost_others.remove(metric);
            }
        }
    }

    /// Its newest page no longer has this metric, of which the series are stored.
    pub(super) fn note_lost(&mut self, metric: &str) {
        match TableMetric::of(metric) {
            Some(metric) => self.lost.insert(metric),
            None => {
                let is_read = self.shown_labels.contains_key(metric);
                let has_room = self.lost_others.len() < LOST_METRICS_MAX
                    && metric.len() <= LOST_METRIC_BYTES_MAX;
                if is_read || has_room {
                    self.lost_others.insert(metric.into());
                }
            }
        }
    }

    /// Another process gives the newest page: it has lost nothing, and has shown what is stored of that page.
    pub(super) fn lose_nothing(&mut self) {
        self.lost = TableMetrics::default();
        self.lost_others.clear();
        self.shown = TableMetrics::among(self.metrics.keys().map(|metric| &**metric));
        self.shows_anew = true;
    }

    /// Metrics that its process has shown and of which the newest page has no stored series.
    pub(super) fn gone(&self) -> impl Iterator<Item = TableMetric> + '_ {
        let shown = self.shown.iter();
        shown.filter(|metric| !self.metrics.contains_key(metric.text()))
    }
}

impl Facts {
    /// The newest page of a target shows this metric, whether it is stored or not.
    pub(crate) fn note_shown(&mut self, id: TargetId, metric: &str) {
        if let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) {
            facts.note_shown(metric);
        }
    }

    /// Whether, since it was asked last, another process has come to give the pages of a target, so that what it shows and is not
    /// stored has to be told again.
    pub(crate) fn take_shows_anew(&mut self, id: TargetId) -> bool {
        let facts = self.targets.get_mut(id.index()).and_then(Option::as_mut);
        facts.is_some_and(|facts| std::mem::take(&mut facts.shows_anew))
    }

    /// A signal reads these metrics from now on: a target that has shown one of them and of which no page with it is stored has
    /// lost it, until a page shows it again.
    pub(crate) fn look_for_losses(&mut self, read: &TableMetrics) {
        if read.is_empty() {
            return;
        }
        let sparing = |target: &&mut TargetFacts| target.retain == Retain::Signals;
        for target in self.targets.iter_mut().flatten().filter(sparing) {
            #[cfg(test)]
            {
                self.looks_for_losses += 1;
            }
            for one in target.shown.and(read).iter() {
                if !target.metrics.contains_key(one.text()) {
                    target.lost.insert(one);
                }
            }
            self.targets_with_losses += target.count_losses();
        }
    }

    /// Counts whether a target has lost something, after a page of it was taken.
    pub(super) fn update_losses(&mut self, id: TargetId) {
        if let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) {
            self.targets_with_losses -= usize::from(facts.has_losses);
            facts.has_losses = false;
            self.targets_with_losses += facts.count_losses();
        }
    }
}

impl TargetFacts {
    /// Notes whether it has lost something. 1 if it has and had not before.
    fn count_losses(&mut self) -> usize {
        let has = self.is_empty
            || self.lacks_reports
            || !self.not_known.is_empty()
            || !self.sources.not_known().is_empty()
            || !self.replicated.not_known().is_empty()
            || !self.lost.is_empty()
            || !self.lost_others.is_empty()
            || !self.left_out.is_empty();
        usize::from(has && !std::mem::replace(&mut self.has_losses, has))
    }
}

//! What the newest page of a target no longer has although its process has shown it (S4).
//!
//! Of every metric it is remembered that the process has shown it, whether a signal reads it or not: one that comes later has to
//! know of a loss what others know that were there before. A target with `retain: signals` stores nothing of a metric that no
//! signal reads: what it has shown of a metric that one reads from now on is lost until a page that is read for that signal has it.
//!
//! Metrics of the names table are bits (`TableMetrics`), others hashes (`OtherNames`), which are bounded: whoever gives each page
//! metrics of other names loses some on every page. What lies beyond the bound may have been any name.

use super::super::names::{TableMetric, TableMetrics};
use super::other_names::{OtherNames, hash_of};
use super::{Facts, TargetFacts};
use crate::limits::{LOST_METRIC_BYTES_MAX, LOST_METRICS_MAX, REMEMBERED_METRICS_MAX};
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
                if self.retain == Retain::Signals && !self.metrics.contains_key(metric) {
                    self.shown_others.insert(metric);
                }
            }
        }
    }

    /// No series of this metric is stored any more. `is_lost`: because its newest page no longer has it.
    pub(super) fn note_gone(&mut self, metric: &str, is_lost: bool) {
        match TableMetric::of(metric) {
            Some(metric) if is_lost => self.lost.insert(metric),
            Some(_) => {}
            None => {
                self.shown_others.insert(metric);
                if !is_lost {
                    return;
                }
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
        self.shown_others = OtherNames::default();
        self.shown = TableMetrics::among(self.metrics.keys().map(|metric| &**metric));
        self.shows_anew = true;
    }

    /// Whether its process has shown this metric, as far as that is remembered.
    pub(super) fn has_shown(&self, metric: &str) -> bool {
        let is_of_table = TableMetric::of(metric).is_some_and(|one| self.shown.contains(one));
        is_of_table
            || self.metrics.contains_key(metric)
            || self.shown_others.contains(hash_of(metric))
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

    /// A signal reads these metrics of the table from now on, and the others that the set of what is stored did not have before: a
    /// target that has shown one of them and of which no page with it is stored has lost it, until a page shows it again.
    pub(crate) fn look_for_losses(&mut self, read: &TableMetrics) {
        let others = self.requirements.take_added();
        if read.is_empty() && others.is_empty() {
            return;
        }
        let read = Looked::new(read.clone(), others.iter().map(|one| &**one));
        for target in self.targets.iter_mut().flatten() {
            let is_sparing = target.retain == Retain::Signals;
            if !is_sparing && target.shown_others.is_empty() {
                continue; // what it has shown is stored, or was noted when it left
            }
            #[cfg(test)]
            {
                self.looks_for_losses += 1;
            }
            target.look_for_losses(&read);
            self.targets_with_losses += target.count_losses();
        }
    }

    /// A page of a target was read before the newest signals came, so that what they read was passed over on it.
    pub(crate) fn look_for_losses_of(&mut self, id: TargetId) {
        let newest = self.requirements.newest();
        let Some(target) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let of_table = TableMetrics::that(|metric| newest.retains(metric));
        target.look_for_losses(&Looked::new(of_table, newest.others()));
        self.update_losses(id);
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

/// Metrics that are looked for.
struct Looked<'m> {
    of_table: TableMetrics,
    /// Others, with their hashes.
    others: Vec<(&'m str, u64)>,
}

impl<'m> Looked<'m> {
    fn new(of_table: TableMetrics, others: impl Iterator<Item = &'m str>) -> Looked<'m> {
        Looked {
            of_table,
            others: others.map(|metric| (metric, hash_of(metric))).collect(),
        }
    }
}

impl TargetFacts {
    fn look_for_losses(&mut self, read: &Looked<'_>) {
        if self.retain == Retain::Signals {
            for one in self.shown.and(&read.of_table).iter() {
                if !self.metrics.contains_key(one.text()) {
                    self.lost.insert(one);
                }
            }
        }
        for &(metric, hash) in &read.others {
            let is_shown = self.shown_others.contains(hash)
                || (self.shown_others.has_more()
                    && self.lost_others.len() < REMEMBERED_METRICS_MAX);
            if is_shown && !self.metrics.contains_key(metric) {
                self.lost_others.insert(metric.into());
            }
        }
    }

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

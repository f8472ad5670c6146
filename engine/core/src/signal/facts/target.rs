//! What is known of one target: what its job says of it, how its scrapes go, and what the process behind it has shown.

use std::collections::{BTreeSet, VecDeque};

use hashbrown::HashMap;

use crate::labels::Labels;
use crate::limits::{GAPS_MAX, HOLD_MS_MIN, INTERVAL_MS_MAX};
use crate::scrape::{Retain, TargetSpec};
use crate::store::SeriesId;

use super::super::names::{Name, Names, release};
use super::NamesSeen;
use super::group::group_of;

/// One target.
#[derive(Debug)]
pub(crate) struct TargetFacts {
    /// How people know it: its instance.
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) group: String,
    pub(crate) interval_ms: i64,
    pub(crate) retain: Retain,
    /// Whether series of its pages may have other values for the target's labels.
    pub(super) may_replace: bool,
    pub(crate) first_good_ms: Option<i64>,
    /// When its first scrape ended, well or not.
    pub(super) first_attempt_ms: Option<i64>,
    /// The newest finished scrape: when, and whether it was good.
    pub(crate) last: Option<(i64, bool)>,
    pub(crate) last_good_ms: Option<i64>,
    /// Why the newest scrape failed; empty where it did not.
    pub(crate) error: String,
    /// Why the first scrape after the last good one failed. Reasons name this one, so that they stay as they are while
    /// the state does.
    pub(crate) first_error: String,
    /// Metrics on the newest good page, with how many series each has.
    pub(crate) metrics: HashMap<Box<str>, u32>,
    pub(crate) names_seen: NamesSeen,
    /// The release that its process says it was built from; empty where it says none.
    pub(super) build_ref: String,
    /// Label names that metrics which signals read have had on pages of the present process. Where a metric is not in it,
    /// the process has not shown it yet.
    pub(super) shown_labels: HashMap<Box<str>, BTreeSet<Box<str>>>,
    /// Target labels that series of its pages have replaced by their own (`honor_labels`, metric relabelling): they say
    /// nothing of which series there are.
    pub(super) replaced: BTreeSet<Box<str>>,
    /// Pools that pages of the present process named.
    pub(crate) pools: BTreeSet<String>,
    /// Leases by name, and whether the newest good page says that it holds them.
    pub(crate) leases: Vec<(String, SeriesId, bool)>,
    pub(super) start_series: Option<SeriesId>,
    pub(super) start_bits: Option<u64>,
    /// When other processes than before were noticed, newest last.
    pub(crate) changes_ms: VecDeque<i64>,
    /// Those of them at which the process before had ended, not only given way to one that ran beside it.
    pub(crate) crashes_ms: VecDeque<i64>,
    /// Since when the present process has given good pages.
    pub(crate) process_since_ms: Option<i64>,
    /// When the present process started, as it says itself.
    pub(crate) started_ms: Option<i64>,
    /// Times without a good page: after which scrape, before which.
    pub(super) gaps: VecDeque<(i64, i64)>,
}

impl TargetFacts {
    /// A target that has shown nothing yet.
    pub(super) fn new(spec: &TargetSpec) -> TargetFacts {
        let labels = &spec.labels;
        let interval_ms = i64::try_from(spec.interval_ms).unwrap_or(i64::MAX);
        let name = labels
            .get("instance")
            .unwrap_or("a target without instance");
        TargetFacts {
            name: name.to_owned(),
            labels: labels.clone(),
            group: group_of(labels),
            interval_ms: interval_ms.clamp(1, INTERVAL_MS_MAX),
            retain: spec.retain,
            may_replace: spec.honor_labels || !spec.metric_relabel.is_empty(),
            first_good_ms: None,
            first_attempt_ms: None,
            last: None,
            last_good_ms: None,
            error: String::new(),
            first_error: String::new(),
            metrics: HashMap::new(),
            names_seen: NamesSeen::default(),
            build_ref: String::new(),
            shown_labels: HashMap::new(),
            replaced: BTreeSet::new(),
            pools: BTreeSet::new(),
            leases: Vec::new(),
            start_series: None,
            start_bits: None,
            changes_ms: VecDeque::new(),
            crashes_ms: VecDeque::new(),
            process_since_ms: None,
            started_ms: None,
            gaps: VecDeque::new(),
        }
    }

    /// Under which name a row of the names table is read here.
    pub(crate) fn reads_as(&self, row: usize, asked: usize) -> usize {
        self.names_seen.reads_as(row, asked)
    }

    /// Which gateway release answers, as far as its page tells.
    pub(crate) fn release(&self) -> Option<String> {
        release(&self.build_ref, |metric| self.metrics.contains_key(metric))
    }

    /// The one pool that the present process serves, where it named exactly one.
    pub(crate) fn certain_pool(&self) -> Option<&str> {
        match self.pools.first() {
            Some(pool) if self.pools.len() == 1 => Some(pool),
            _ => None,
        }
    }

    /// The value that every series of the target has for this label, where its labels say so and no series contradicts.
    pub(crate) fn constant_label(&self, label: &str) -> Option<&str> {
        self.labels
            .get(label)
            .filter(|_| !self.replaced.contains(label))
    }

    /// Label names that a metric has had on pages of the present process; `None` where it has not been shown, or no
    /// signal reads it.
    pub(crate) fn shown_labels(&self, metric: &str) -> Option<&BTreeSet<Box<str>>> {
        self.shown_labels.get(metric)
    }

    /// Whether series of this metric, which is read under this name of the table, come without the pool that other
    /// versions give them, so that it has to be derived (S8).
    pub(crate) fn lacks_pool(&self, metric: &str, name: &Name) -> bool {
        name.may_have("inference_pool")
            && self
                .shown_labels(metric)
                .is_some_and(|labels| !labels.contains("inference_pool"))
    }

    /// Notes which of the target's labels a series has replaced. True where one was not known to be.
    pub(super) fn record_replaced_labels(&mut self, series: &Labels) -> bool {
        let before = self.replaced.len();
        for (label, value) in self.labels.iter() {
            if series.get(label) != Some(value) && !self.replaced.contains(label) {
                self.replaced.insert(label.into());
            }
        }
        self.replaced.len() != before
    }

    /// When its first scrape ended, well or not.
    pub(crate) fn first_attempt_ms(&self) -> Option<i64> {
        self.first_attempt_ms
    }

    /// Metrics that its process shows without the pool that other versions give them, sorted.
    pub(crate) fn metrics_without_pool(&self, names: &Names) -> Vec<String> {
        let shown = self.shown_labels.keys();
        let lacking = shown.filter(|metric| {
            let named = names.family(metric);
            named.is_some_and(|(_, name, _)| self.lacks_pool(metric, name))
        });
        let mut metrics: Vec<String> = lacking.map(|metric| metric.to_string()).collect();
        metrics.sort_unstable();
        metrics
    }

    /// How long a target without any good page is waited for: the hold that it would have by default (S3c).
    pub(crate) fn first_page_wait_ms(&self) -> i64 {
        HOLD_MS_MIN.max(self.interval_ms.saturating_mul(3))
    }

    /// S2a: the newest finished scrape was good, and not too long ago.
    pub(crate) fn is_fresh(&self, now_ms: i64) -> bool {
        self.last.is_some_and(|(_, good)| good)
            && self
                .last_good_ms
                .is_some_and(|good_ms| now_ms.saturating_sub(good_ms) <= 2 * self.interval_ms)
    }

    /// Whether good pages cover `from_ms..=until_ms` without a gap longer than `hold_ms` (S4c).
    pub(crate) fn covers(&self, from_ms: i64, until_ms: i64, hold_ms: i64) -> bool {
        let forgotten = self.gaps.front().filter(|_| self.gaps.len() == GAPS_MAX);
        let known_since_ms = forgotten.map(|gap| gap.1).max(self.first_good_ms);
        known_since_ms.is_some_and(|since_ms| since_ms <= from_ms)
            && !self.gaps.iter().any(|&(after, before)| {
                before - after > hold_ms && before > from_ms && after < until_ms
            })
    }
}

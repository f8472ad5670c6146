//! What is known of one target.

use std::collections::{BTreeSet, VecDeque};

use hashbrown::HashMap;

use crate::labels::Labels;
use crate::limits::{GAPS_MAX, INTERVAL_MS_MAX};
use crate::scrape::Retain;
use crate::store::SeriesId;

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
    pub(crate) first_good_ms: Option<i64>,
    /// The newest finished scrape: when, and whether it was good.
    pub(crate) last: Option<(i64, bool)>,
    pub(crate) last_good_ms: Option<i64>,
    pub(crate) error: String,
    /// Metrics on the newest good page, with how many series each has.
    pub(crate) metrics: HashMap<Box<str>, u32>,
    pub(crate) names_seen: NamesSeen,
    /// Pools that its good pages named.
    pub(crate) pools: BTreeSet<String>,
    /// Leases by name, and whether the newest good page says that it holds them.
    pub(crate) leases: Vec<(String, SeriesId, bool)>,
    pub(super) start_series: Option<SeriesId>,
    pub(super) start_bits: Option<u64>,
    /// When other processes than before were noticed, newest last.
    pub(crate) changes_ms: VecDeque<i64>,
    /// Since when the present process has given good pages.
    pub(crate) process_since_ms: Option<i64>,
    /// Times without a good page: after which scrape, before which.
    pub(super) gaps: VecDeque<(i64, i64)>,
}

impl TargetFacts {
    /// A target that has shown nothing yet.
    pub(super) fn new(labels: &Labels, interval_ms: i64, retain: Retain) -> TargetFacts {
        let name = labels
            .get("instance")
            .unwrap_or("a target without instance");
        TargetFacts {
            name: name.to_owned(),
            labels: labels.clone(),
            group: group_of(labels),
            interval_ms: interval_ms.clamp(1, INTERVAL_MS_MAX),
            retain,
            first_good_ms: None,
            last: None,
            last_good_ms: None,
            error: String::new(),
            metrics: HashMap::new(),
            names_seen: NamesSeen::default(),
            pools: BTreeSet::new(),
            leases: Vec::new(),
            start_series: None,
            start_bits: None,
            changes_ms: VecDeque::new(),
            process_since_ms: None,
            gaps: VecDeque::new(),
        }
    }

    /// Under which name a row of the names table is read here.
    pub(crate) fn reads_as(&self, row: usize, asked: usize) -> usize {
        self.names_seen.reads_as(row, asked)
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

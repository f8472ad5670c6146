//! What targets have shown so far: when their pages were good, what was on the newest one, which process served it.
//!
//! Facts come from pages and times only, so two replicas that saw the same pages know the same (S2, S3, S6).

use std::collections::{BTreeSet, VecDeque};

use hashbrown::{HashMap, HashSet};

use crate::exposition::Retain;
use crate::labels::{Labels, METRIC_NAME};
use crate::limits::{
    EVER_METRICS_MAX, GAPS_MAX, INTERVAL_MS_MAX, POOLS_PER_TARGET_MAX, REMEMBERED_LABELS_MAX,
    SEEN_VALUES_MAX,
};
use crate::store::{SeriesId, TargetId};

use super::names::{Class, FAMILIES, Names, POOL_LABELS, REQUEST_LABELS};
use super::needed::{Kept, Needs};
use super::query::Selector;

/// The metric by which a process tells when it started.
pub(crate) const START_TIME: &str = "process_start_time_seconds";
/// The metric by which a replica tells whether it leads (controller-runtime).
pub(crate) const LEADER: &str = "leader_election_master_status";

/// Why two targets' processes are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Restarted,
    LeftDiscovery,
    LeadershipMoved,
}

/// All targets and their groups.
pub(crate) struct Facts {
    pub(crate) targets: Vec<Option<TargetFacts>>,
    pub(crate) groups: HashMap<String, GroupFacts>,
    /// Label names whose values are remembered, beside those of the names table.
    remembered: HashSet<String>,
    /// Grows whenever something changes by which targets come to count or cease to.
    pub(crate) epoch: u64,
    /// Grows whenever a series that some signal may read comes or goes.
    pub(crate) structure: u64,
    /// What it was at the last change that concerns every signal.
    structure_of_all: u64,
    /// When a target last left discovery.
    pub(crate) left_ms: i64,
    /// Metrics that signals read, under all their names, and what `structure` was when a series of each last came or went.
    watched: HashMap<String, u64>,
    /// What signals need of targets that keep nothing else.
    pub(crate) needs: Needs,
}

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
    /// Per row of the names table: which of the names the newest page had that had any.
    pub(crate) names_seen: Vec<u8>,
    /// Pools that its good pages named.
    pub(crate) pools: BTreeSet<String>,
    /// Leases by name, and whether the newest good page says that it holds them.
    pub(crate) leases: Vec<(String, SeriesId, bool)>,
    start_series: Option<SeriesId>,
    start_bits: Option<u64>,
    /// When other processes than before were noticed, newest last.
    pub(crate) changes_ms: VecDeque<i64>,
    /// Since when the present process has given good pages.
    pub(crate) process_since_ms: Option<i64>,
    /// Times without a good page: after which scrape, before which.
    gaps: VecDeque<(i64, i64)>,
}

/// Targets of one job, namespace and controller (S2c).
#[derive(Debug, Default)]
pub(crate) struct GroupFacts {
    /// Metrics that any of its targets ever exposed.
    pub(crate) ever: HashSet<Box<str>>,
    /// Label values that any of its series ever had.
    seen: HashMap<Box<str>, HashSet<Box<str>>>,
    seen_count: usize,
    /// Who was last seen to hold each lease. Other groups may use the same names.
    holders: HashMap<String, TargetId>,
    pub(crate) targets: usize,
    /// Since when discovery lists none of its targets.
    pub(crate) empty_since_ms: Option<i64>,
}

impl GroupFacts {
    pub(crate) fn has_seen(&self, label: &str, value: &str) -> bool {
        value.is_empty()
            || self
                .seen
                .get(label)
                .is_some_and(|values| values.contains(value))
    }

    /// True where the metric is new to the group.
    fn expose(&mut self, metric: &str) -> bool {
        !self.ever.contains(metric)
            && self.ever.len() < EVER_METRICS_MAX
            && self.ever.insert(metric.into())
    }

    fn see(&mut self, label: &str, value: &str) {
        if self.has_seen(label, value) || self.seen_count >= SEEN_VALUES_MAX {
            return;
        }
        self.seen
            .entry(label.into())
            .or_default()
            .insert(value.into());
        self.seen_count += 1;
    }
}

fn group_of(labels: &Labels) -> String {
    let controller = ["top_level_controller_name", "service"];
    let owner = controller
        .iter()
        .find_map(|name| labels.get(name))
        .unwrap_or("");
    let part = |name| labels.get(name).unwrap_or("");
    format!("{}/{}/{owner}", part("job"), part("namespace"))
}

impl TargetFacts {
    /// Under which name a family (a row of the table) is read here when it is asked for under another: that one, if
    /// the page has it, else the newest that it has.
    pub(crate) fn reads_as(&self, row: usize, asked: usize) -> usize {
        let mask = self.names_seen[row];
        if mask & 1 << asked != 0 || mask == 0 {
            asked
        } else {
            mask.trailing_zeros() as usize
        }
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

impl Default for Facts {
    fn default() -> Facts {
        Facts {
            targets: Vec::new(),
            groups: HashMap::new(),
            remembered: HashSet::new(),
            epoch: 0,
            structure: 0,
            structure_of_all: 0,
            left_ms: i64::MIN,
            watched: HashMap::new(),
            needs: Needs::default(),
        }
    }
}

impl Facts {
    /// A signal reads this metric: its series coming and going matters.
    pub(crate) fn watch_metric(&mut self, metric: &str, names: &Names) {
        let all_names = names.equivalents(metric).into_iter().map(|(name, _)| name);
        for name in all_names.chain([metric.to_owned()]) {
            self.watched.entry(name).or_insert(self.structure);
        }
    }

    /// Signals have ended: only these metrics are watched from now on.
    pub(crate) fn watch_only<'m>(&mut self, metrics: impl Iterator<Item = &'m str>, names: &Names) {
        let before = std::mem::take(&mut self.watched);
        for metric in metrics {
            self.watch_metric(metric, names);
        }
        for (name, changed) in &mut self.watched {
            *changed = before.get(name).copied().unwrap_or(*changed);
        }
    }

    /// A series of this name came, went or moved: who remembers members looks again.
    pub(crate) fn note_structure(&mut self, metric: &str) {
        if let Some(changed) = self.watched.get_mut(metric) {
            self.structure += 1;
            *changed = self.structure;
        }
    }

    /// Something came or went that may concern every signal.
    fn note_structure_of_all(&mut self) {
        self.structure += 1;
        self.structure_of_all = self.structure;
    }

    /// Whether a series of these metrics has come or gone since `structure` was so.
    pub(crate) fn has_changed(&self, metrics: &[String], structure: u64) -> bool {
        let changed = |metric| self.watched.get(metric).is_none_or(|at| *at > structure);
        self.structure_of_all > structure || metrics.iter().any(changed)
    }

    pub(crate) fn target(&self, id: TargetId) -> Option<&TargetFacts> {
        self.targets.get(id.index())?.as_ref()
    }

    /// Targets that discovery lists.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (TargetId, &TargetFacts)> {
        self.targets
            .iter()
            .enumerate()
            .filter_map(|(at, facts)| Some((TargetId(at as u32), facts.as_ref()?)))
    }

    pub(crate) fn add(&mut self, id: TargetId, labels: &Labels, interval_ms: i64, retain: Retain) {
        let name = labels
            .get("instance")
            .unwrap_or("a target without instance")
            .to_owned();
        let group = group_of(labels);
        let facts = TargetFacts {
            name,
            labels: labels.clone(),
            group: group.clone(),
            interval_ms: interval_ms.clamp(1, INTERVAL_MS_MAX),
            retain,
            first_good_ms: None,
            last: None,
            last_good_ms: None,
            error: String::new(),
            metrics: HashMap::new(),
            names_seen: vec![0; FAMILIES.len()],
            pools: BTreeSet::new(),
            leases: Vec::new(),
            start_series: None,
            start_bits: None,
            changes_ms: VecDeque::new(),
            process_since_ms: None,
            gaps: VecDeque::new(),
        };
        if self.targets.len() <= id.index() {
            self.targets.resize_with(id.index() + 1, || None);
        }
        self.targets[id.index()] = Some(facts);
        self.epoch += 1;
        let group = self.groups.entry(group).or_default();
        group.targets += 1;
        group.empty_since_ms = None;
        for (name, value) in labels.iter() {
            group.see(name, value);
        }
    }

    pub(crate) fn remove(&mut self, id: TargetId, at_ms: i64) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::take) else {
            return;
        };
        self.epoch += 1;
        self.note_structure_of_all();
        self.left_ms = self.left_ms.max(at_ms);
        self.needs.forget(id);
        if let Some(group) = self.groups.get_mut(&facts.group) {
            group.holders.retain(|_, holder| *holder != id);
            group.targets -= 1;
            if group.targets == 0 {
                group.empty_since_ms = Some(at_ms);
            }
        }
    }

    /// Groups without targets for longer than `grace_ms` are forgotten.
    pub(crate) fn forget_empty_groups(&mut self, now_ms: i64, grace_ms: i64) {
        let before = self.groups.len();
        self.groups.retain(|_, group| {
            group
                .empty_since_ms
                .is_none_or(|since_ms| now_ms - since_ms <= grace_ms)
        });
        self.epoch += (before - self.groups.len()) as u64;
    }

    /// Values of this label are remembered from now on. True where they were not so far.
    pub(crate) fn remember(&mut self, label: &str) -> bool {
        !is_always_remembered(label)
            && self.remembered.len() < REMEMBERED_LABELS_MAX
            && self.remembered.insert(label.to_owned())
    }

    /// A value that a series of the target has.
    pub(crate) fn see(&mut self, id: TargetId, label: &str, value: &str) {
        let Some(facts) = self.targets.get(id.index()).and_then(Option::as_ref) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&facts.group) else {
            return;
        };
        group.see(label, value);
    }

    /// A series that the page before did not have.
    pub(crate) fn series_came(
        &mut self,
        id: TargetId,
        series: SeriesId,
        labels: &Labels,
        names: &Names,
    ) {
        let Some(metric) = labels.metric_name() else {
            return;
        };
        self.note_structure(metric);
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&facts.group) else {
            return;
        };
        self.epoch += u64::from(group.expose(metric));
        match facts.metrics.get_mut(metric) {
            Some(count) => *count += 1,
            None => {
                facts.metrics.insert(metric.into(), 1);
            }
        }
        match metric {
            START_TIME => facts.start_series = Some(series),
            LEADER => {
                let lease = labels.get("name").unwrap_or("").to_owned();
                facts.leases.retain(|(name, _, _)| *name != lease);
                facts.leases.push((lease, series, false));
                self.epoch += 1;
            }
            _ => {}
        }
        self.learn_values(id, metric, labels, names);
    }

    /// A series that the page has and that is not kept, beside those of its name that came before.
    pub(crate) fn series_looked_at(&mut self, id: TargetId, labels: &Labels, names: &Names) {
        let Some(metric) = labels.metric_name() else {
            return;
        };
        self.name_skipped(id, metric, names);
        self.learn_values(id, metric, labels, names);
    }

    /// A metric that the page has and whose series are not kept: its group has exposed it all the same.
    pub(crate) fn name_skipped(&mut self, id: TargetId, metric: &str, names: &Names) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&facts.group) else {
            return;
        };
        if !group.expose(metric) {
            return;
        }
        self.epoch += 1;
        let Some((family, name, "" | "_count")) = names.family(metric) else {
            return;
        };
        let row = FAMILIES.iter().position(|have| std::ptr::eq(have, family));
        let at = family
            .names
            .iter()
            .position(|have| have.family == name.family);
        if let (Some(row), Some(at)) = (row, at) {
            facts.names_seen[row] |= 1 << at;
            self.note_structure_of_all();
        }
    }

    /// Since when a target keeps what a selector names.
    pub(crate) fn kept(&self, id: TargetId, selector: &Selector) -> Kept {
        match self.target(id) {
            Some(facts) if facts.retain == Retain::Signals => {
                let first_good_ms = facts.first_good_ms.unwrap_or(i64::MIN);
                self.needs.kept(id, selector, first_good_ms)
            }
            _ => Kept::Always,
        }
    }

    /// Values that prove something (S4b), and pools (S3b).
    fn learn_values(&mut self, id: TargetId, metric: &str, labels: &Labels, names: &Names) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&facts.group) else {
            return;
        };
        // Looked up only where it matters: a page of 200,000 new series asks this for each.
        let is_pool_family = || {
            names
                .family(metric)
                .is_some_and(|(family, _, _)| family.class == Class::Pool)
        };
        for (label, value) in labels.iter() {
            if label == METRIC_NAME
                || !(is_always_remembered(label) || self.remembered.contains(label))
            {
                continue;
            }
            if label == "inference_pool" || (label == "name" && is_pool_family()) {
                if !facts.pools.contains(value) && facts.pools.len() < POOLS_PER_TARGET_MAX {
                    facts.pools.insert(value.to_owned());
                    self.epoch += 1;
                }
                for alias in POOL_LABELS {
                    group.see(alias, value);
                }
            } else {
                group.see(label, value);
            }
        }
    }

    /// A series that the page no longer has.
    pub(crate) fn series_went(&mut self, id: TargetId, series: SeriesId, metric: &str) {
        self.note_structure(metric);
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        if let Some(count) = facts.metrics.get_mut(metric) {
            *count -= 1;
            if *count == 0 {
                facts.metrics.remove(metric);
            }
        }
        if facts.start_series == Some(series) {
            facts.start_series = None;
        }
        let leases = facts.leases.len();
        facts
            .leases
            .retain(|(_, lease_series, _)| *lease_series != series);
        // Who stood by for it, or because of it, may count now.
        self.epoch += u64::from(facts.leases.len() != leases);
    }

    /// The page's structure is known again: which name of each family it has.
    pub(crate) fn settle_names(&mut self, id: TargetId) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let mut changed = false;
        for (row, family) in FAMILIES.iter().enumerate() {
            let mut mask = 0u8;
            for (at, name) in family.names.iter().enumerate() {
                let has = facts.metrics.contains_key(name.family)
                    || facts
                        .metrics
                        .contains_key(format!("{}_count", name.family).as_str());
                mask |= u8::from(has) << at;
            }
            if mask != 0 && facts.names_seen[row] != mask {
                facts.names_seen[row] = mask;
                changed = true;
            }
        }
        if changed {
            self.note_structure_of_all();
        }
    }

    /// A good page was committed. `counters_fell` matters where no start time is told. `value` reads a series' newest value. What it says of the process that serves.
    pub(crate) fn good_page(
        &mut self,
        id: TargetId,
        at_ms: i64,
        value: impl Fn(SeriesId) -> f64,
        counters_fell: bool,
    ) -> Option<ChangeKind> {
        let facts = self.targets.get_mut(id.index()).and_then(Option::as_mut)?;
        if let Some(before_ms) = facts.last_good_ms
            && at_ms - before_ms > 2 * facts.interval_ms
        {
            if facts.gaps.len() == GAPS_MAX {
                facts.gaps.pop_front();
            }
            facts.gaps.push_back((before_ms, at_ms));
        }
        if facts.first_good_ms.is_none() {
            facts.first_good_ms = Some(at_ms);
            self.epoch += 1;
        }
        facts.process_since_ms.get_or_insert(at_ms);
        self.epoch +=
            u64::from(!facts.leases.is_empty() && facts.last.is_some_and(|(_, good)| !good));
        facts.last = Some((at_ms, true));
        facts.last_good_ms = Some(at_ms);
        facts.error.clear();
        let mut moved = false;
        for (lease, series, leads) in &mut facts.leases {
            let leads_now = value(*series) == 1.0;
            self.epoch += u64::from(leads_now != *leads);
            // A leader that steps down takes its queue with it, even before another one reports.
            moved |= *leads && !leads_now;
            *leads = leads_now;
            if leads_now {
                let holders = self
                    .groups
                    .get_mut(&facts.group)
                    .map(|group| &mut group.holders);
                moved |= holders.is_some_and(|holders| match holders.get_mut(lease.as_str()) {
                    Some(holder) => std::mem::replace(holder, id) != id,
                    None => {
                        holders.insert(lease.clone(), id);
                        false
                    }
                });
            }
        }
        let start_bits = facts.start_series.map(|series| value(series).to_bits());
        let restarted = match (facts.start_bits, start_bits) {
            (Some(before), Some(now)) => before != now,
            (_, None) => counters_fell,
            (None, Some(_)) => false,
        };
        facts.start_bits = start_bits.or(facts.start_bits);
        if restarted {
            facts.process_since_ms = Some(at_ms);
            facts.changes_ms.push_back(at_ms);
            if facts.changes_ms.len() > 8 {
                facts.changes_ms.pop_front();
            }
        }
        match (restarted, moved) {
            (true, _) => Some(ChangeKind::Restarted),
            (false, true) => Some(ChangeKind::LeadershipMoved),
            (false, false) => None,
        }
    }

    /// Whether the target's pages tell when its process started; else only falling counters do.
    pub(crate) fn tells_start(&self, id: TargetId) -> bool {
        self.target(id)
            .is_some_and(|target| target.start_series.is_some())
    }

    /// A scrape failed.
    pub(crate) fn failed(&mut self, id: TargetId, at_ms: i64, error: &str) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        // A frozen leader gives way to one that reports (S3d).
        self.epoch +=
            u64::from(!facts.leases.is_empty() && facts.last.is_some_and(|(_, good)| good));
        facts.last = Some((at_ms, false));
        if facts.error != error {
            error.clone_into(&mut facts.error);
        }
    }
}

fn is_always_remembered(label: &str) -> bool {
    POOL_LABELS.contains(&label) || REQUEST_LABELS.contains(&label)
}

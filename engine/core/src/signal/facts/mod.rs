//! What targets have shown so far: when their pages were good, what was on the newest one, which process served it.
//!
//! Facts come from pages and times only, so two replicas that saw the same pages know the same (S2, S3, S6). `target`
//! and `group` are what is known of each; `series` learns from lines that come and go, `scrapes` from pages and
//! failures as a whole; `structure` says who must look again.

mod group;
mod names_seen;
mod scrapes;
mod series;
mod structure;
mod target;

use hashbrown::{HashMap, HashSet};

use crate::scrape::{Retain, TargetSpec};
use crate::store::{ClockId, TargetId};

use super::query::Selector;
use super::retain_set::{RetainRequirements, Retained};

use group::GroupFacts;

pub(crate) use names_seen::NamesSeen;
pub(crate) use target::TargetFacts;

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
    /// Metrics that signals read, under all their names, and what `structure` was when a series of each last came or
    /// went.
    read_metrics: HashMap<String, u64>,
    /// What signals need of targets that keep nothing else.
    pub(crate) requirements: RetainRequirements,
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
            read_metrics: HashMap::new(),
            requirements: RetainRequirements::default(),
        }
    }
}

impl Facts {
    pub(crate) fn target(&self, id: TargetId) -> Option<&TargetFacts> {
        self.targets.get(id.index())?.as_ref()
    }

    /// The target whose scrapes a clock lists, while discovery lists it.
    pub(crate) fn target_of(&self, clock: ClockId) -> Option<&TargetFacts> {
        self.target(clock.target()?)
    }

    /// Targets that discovery lists.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (TargetId, &TargetFacts)> {
        self.targets
            .iter()
            .enumerate()
            .filter_map(|(at, facts)| Some((TargetId(at as u32), facts.as_ref()?)))
    }

    pub(crate) fn add(&mut self, id: TargetId, spec: &TargetSpec) {
        let facts = TargetFacts::new(spec);
        let group = self.groups.entry(facts.group.clone()).or_default();
        group.targets += 1;
        group.empty_since_ms = None;
        for (name, value) in spec.labels.iter() {
            group.add_label_value(name, value);
        }
        if self.targets.len() <= id.index() {
            self.targets.resize_with(id.index() + 1, || None);
        }
        self.targets[id.index()] = Some(facts);
        self.epoch += 1;
    }

    pub(crate) fn remove(&mut self, id: TargetId, at_ms: i64) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::take) else {
            return;
        };
        self.epoch += 1;
        self.record_structure_change_of_all();
        self.left_ms = self.left_ms.max(at_ms);
        self.requirements.forget(id);
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

    /// Since when a target keeps what a selector names.
    pub(crate) fn kept(&self, id: TargetId, selector: &Selector) -> Retained {
        match self.target(id) {
            Some(facts) if facts.retain == Retain::Signals => {
                let first_good_ms = facts.first_good_ms.unwrap_or(i64::MIN);
                self.requirements.kept(id, selector, first_good_ms)
            }
            _ => Retained::Always,
        }
    }
}

//! Facts about targets: when their scrapes succeeded, what is on the newest page, and which process served it.
//!
//! They are derived from pages and scrape times only, so two replicas that saw the same pages have the same facts (S2, S3,
//! S6). `target` and `group` are the facts about one; `series` updates them when series appear and disappear (`gathered`:
//! those of a large page at once, `process`: what another process tells; `lost`: what a page has no more), `scrapes` after each
//! scrape (`starts`: when processes started; `sources_down`: what is not known of sources behind the page; `replicated`: what others have of it; `unlisted`: which targets may be missing); `structure` records which metrics have changed, for the
//! compiled queries; `persist` is what a snapshot keeps of them.

mod away;
mod gathered;
mod group;
mod left_out;
mod lost;
mod names_seen;
mod persist;
mod process;
mod replicated;
mod scrapes;
mod series;
mod sources_down;
mod starts;
mod structure;
mod target;
mod unlisted;

use hashbrown::{HashMap, HashSet};

use crate::labels::Labels;
use crate::scrape::{Retain, TargetSpec};
use crate::store::{ClockId, TargetId};

use super::query::Selector;
use super::retain_set::{RetainRequirements, Retained};

pub(crate) use gathered::{Gatherer, PageFacts, RememberedLabels};
pub(crate) use group::GroupFacts;
pub(crate) use left_out::{LeftOut, WhyLeftOut, may_fit};
pub(crate) use names_seen::NamesSeen;
pub(crate) use persist::RestoredTarget;
pub(crate) use process::{ProcessFacts, ProcessGatherer};
pub(crate) use replicated::Replicated;
pub(crate) use target::{TargetFacts, Uncovered};
pub use unlisted::{Namespaces, Partial, Unlisted, Unseen};

/// What a text takes that is remembered: some 30 bytes, a place in a hash table, what the allocator adds.
const TEXT_BYTES: usize = 96;

/// What changed about the process of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Restarted,
    LeftDiscovery,
    LeadershipMoved,
    /// Its page goes on without series that it had.
    SeriesLeft {
        /// Metrics that signals read.
        metrics: Vec<Box<str>>,
        /// Series of some name the sources that they are of.
        of_sources: bool,
        /// Counters are gone whose page does not say when its process started.
        counters: bool,
    },
    /// It could not be reached, and neither a start time nor a counter of its page says whether its process is the one before.
    MayHaveRestarted,
    /// It speaks for several processes, of which one may have restarted: some of its counters fell and others rose, or one of
    /// several start times is another.
    OneOfSeveral {
        /// Which pools and labels there are is learned anew: it is known by the start times, or the page names pools.
        learns: bool,
    },
}

/// How the counters of a page moved, of those that were above 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CounterMoves {
    pub(crate) fell: bool,
    pub(crate) rose: bool,
}

/// All targets and their groups.
pub(crate) struct Facts {
    pub(crate) targets: Vec<Option<TargetFacts>>,
    pub(crate) groups: HashMap<String, GroupFacts>,
    /// Label names whose values are remembered, in addition to those of the names table.
    remembered: HashSet<String>,
    /// Incremented before targets are added or change.
    pub(crate) changes: u64,
    /// Incremented whenever the scope of a query may have changed.
    pub(crate) epoch: u64,
    /// Incremented whenever a series that some signal may read appears or disappears.
    pub(crate) structure: u64,
    /// Its value at the last change that concerns every signal.
    structure_of_all: u64,
    /// When a target last left discovery, in milliseconds.
    pub(crate) left_ms: i64,
    /// Targets that have lost metrics, or whose page became empty.
    pub(crate) targets_with_losses: usize,
    /// Targets that show series which another has.
    with_replicated: usize,
    /// Targets that were looked at for what they may have lost.
    #[cfg(test)]
    pub(crate) looks_for_losses: usize,
    /// Metrics that signals read, under all their names, with the value of `structure` when a series of the metric last
    /// appeared or disappeared.
    read_metrics: HashMap<String, u64>,
    /// What is stored for targets with `retain: signals`.
    pub(crate) requirements: RetainRequirements,
    /// What must be added to a time for the wall clock's.
    pub(crate) wall_offset_ms: i64,
    pub(crate) unlisted: Unlisted,
    /// Incremented whenever that changes.
    pub(crate) unlisted_version: u64,
}

impl Default for Facts {
    fn default() -> Facts {
        Facts {
            targets: Vec::new(),
            groups: HashMap::new(),
            remembered: HashSet::new(),
            changes: 0,
            epoch: 0,
            structure: 0,
            structure_of_all: 0,
            left_ms: i64::MIN,
            targets_with_losses: 0,
            with_replicated: 0,
            #[cfg(test)]
            looks_for_losses: 0,
            read_metrics: HashMap::new(),
            requirements: RetainRequirements::default(),
            wall_offset_ms: 0,
            unlisted: Unlisted::default(),
            unlisted_version: 0,
        }
    }
}

impl Facts {
    /// Takes which jobs have no list.
    pub(crate) fn set_unlisted(&mut self, unlisted: Unlisted) {
        self.unlisted_version += u64::from(self.unlisted != unlisted);
        self.unlisted = unlisted;
    }

    pub(crate) fn target(&self, id: TargetId) -> Option<&TargetFacts> {
        self.targets.get(id.index())?.as_ref()
    }

    /// The target whose scrapes a clock lists, while discovery lists it.
    pub(crate) fn target_of(&self, clock: ClockId) -> Option<&TargetFacts> {
        self.target(clock.target()?)
    }

    /// Bytes held, about: names of metrics and values of labels are most of them.
    pub(crate) fn bytes(&self) -> usize {
        let targets = self.targets.iter().flatten();
        let metrics: usize = targets.map(|target| target.metrics.len()).sum();
        let groups = self.groups.values().map(GroupFacts::bytes);
        metrics * TEXT_BYTES + groups.sum::<usize>()
    }

    /// Targets that discovery lists.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (TargetId, &TargetFacts)> {
        self.targets
            .iter()
            .enumerate()
            .filter_map(|(at, facts)| Some((TargetId(at as u32), facts.as_ref()?)))
    }

    /// Adds a target; `now_ms` is the time of the newest scrape of any.
    pub(crate) fn add(&mut self, id: TargetId, spec: &TargetSpec, now_ms: i64) {
        let facts = TargetFacts {
            added_ms: now_ms,
            ..TargetFacts::new(spec)
        };
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

    /// Notes whether discovery calls a target ready.
    pub(crate) fn set_not_ready(&mut self, id: TargetId, not_ready: bool) {
        let target = self.targets.get_mut(id.index()).and_then(Option::as_mut);
        if let Some(target) = target
            && target.not_ready != not_ready
        {
            target.not_ready = not_ready;
            target.never_ready &= not_ready;
            self.epoch += 1;
        }
    }

    pub(crate) fn remove(&mut self, id: TargetId, at_ms: i64) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::take) else {
            return;
        };
        self.epoch += 1;
        self.record_structure_change_of_all();
        self.left_ms = self.left_ms.max(at_ms);
        self.targets_with_losses -= usize::from(facts.has_losses);
        let may_have_had = |labels: &Labels| facts.may_have_had(labels);
        self.owner_leaves(&facts.name, &facts.replicated, may_have_had);
        self.requirements.forget(id);
        if let Some(group) = self.groups.get_mut(&facts.group) {
            group.holders.retain(|_, holder| *holder != id);
            group.targets -= 1;
            if group.targets == 0 {
                group.empty_since_ms = Some(at_ms);
            }
        }
    }

    /// Removes groups that have had no target for longer than `grace_ms`.
    pub(crate) fn forget_empty_groups(&mut self, now_ms: i64, grace_ms: i64) {
        let before = self.groups.len();
        self.groups.retain(|_, group| {
            group
                .empty_since_ms
                .is_none_or(|since_ms| now_ms - since_ms <= grace_ms)
        });
        self.epoch += (before - self.groups.len()) as u64;
    }

    /// Since when the samples of a selector are stored for a target.
    pub(crate) fn retained(&self, id: TargetId, selector: &Selector) -> Retained {
        match self.target(id) {
            Some(facts) if facts.retain == Retain::Signals => {
                let first_good_ms = facts.first_good_ms.unwrap_or(i64::MIN);
                self.requirements.retained(id, selector, first_good_ms)
            }
            _ => Retained::Always,
        }
    }
}

//! Facts about targets: when their scrapes succeeded, what is on the newest page, and which process served it.
//!
//! They are derived from pages and scrape times only, so two replicas that saw the same pages have the same facts (S2, S3,
//! S6). [`Facts`] has those about all targets; its methods stand in the files of what they are about:
//!
//! * of one target: `target`, `names_seen`, `starts` (when its processes started), `away` (whether another process may answer
//!   now); of those that can replace one another: `group`.
//! * what discovery lists: `listed`, `unlisted` (which targets may be missing).
//! * when series appear and disappear: `series`, `gathered` (those of a large page at once), `process` and `change` (another
//!   process serves it), `lost` (what a page has no more), `structure` (which metrics have changed, for compiled
//!   queries).
//! * after each scrape: `scrapes`, `sources_down` (what is not known of sources behind the page), `replicated` (series
//!   that another target has), `left_out` (lines of which another one with the same labels is stored).
//! * when its configuration changes: `configured` (also what is learned again from all series of a page).
//! * `persist` is what a snapshot keeps.

mod away;
mod change;
mod configured;
mod gathered;
mod group;
mod left_out;
mod listed;
mod lost;
mod names_seen;
mod other_names;
mod persist;
mod process;
mod recent_changes;
mod replicated;
mod scrapes;
mod series;
mod sources_down;
mod starts;
mod structure;
mod target;
mod unlisted;

use hashbrown::{HashMap, HashSet};

use crate::scrape::Retain;
use crate::store::TargetId;

use super::query::Selector;
use super::retain_set::{RetainRequirements, Retained};
use recent_changes::LeftTargets;

pub(crate) use change::{ChangeKind, CounterMoves};
pub(crate) use configured::Learns;
pub(crate) use gathered::{Gatherer, PageFacts, RememberedLabels};
pub(crate) use group::GroupFacts;
pub(crate) use left_out::{LeftOut, WhyLeftOut, may_fit};
pub(crate) use names_seen::NamesSeen;
pub(crate) use persist::RestoredTarget;
pub(crate) use process::{ProcessFacts, ProcessGatherer};
pub(crate) use recent_changes::RecentChange;
pub(crate) use replicated::Replicated;
pub(crate) use target::{TargetFacts, Uncovered};
pub use unlisted::{Namespaces, Partial, Unlisted, Unseen};

/// What a text takes that is remembered: some 30 bytes, a place in a hash table, what the allocator adds.
const TEXT_BYTES: usize = 96;

/// All targets and their groups.
pub(crate) struct Facts {
    pub(crate) targets: Vec<Option<TargetFacts>>,
    pub(crate) groups: HashMap<String, GroupFacts>,
    /// Label names whose values are remembered, in addition to those of the names table.
    remembered: HashSet<String>,
    /// Incremented whenever the scope of a query may have changed.
    pub(crate) epoch: u64,
    /// Incremented whenever a series that some signal may read appears or disappears.
    pub(crate) structure: u64,
    /// Its value at the last change that concerns every signal.
    structure_of_all: u64,
    /// When a target last left discovery, in milliseconds.
    pub(crate) left_ms: i64,
    left_targets: LeftTargets,
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
            epoch: 0,
            structure: 0,
            structure_of_all: 0,
            left_ms: i64::MIN,
            left_targets: LeftTargets::default(),
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

    /// Bytes held, about: names of metrics and values of labels are most of them.
    pub(crate) fn bytes(&self) -> usize {
        let targets = self.targets.iter().flatten();
        let metrics: usize = targets.map(|target| target.metrics.len()).sum();
        let groups = self.groups.values().map(GroupFacts::bytes);
        let targets = self.targets.iter().flatten();
        let others = targets.map(|target| target.shown_others.bytes());
        metrics * TEXT_BYTES + groups.sum::<usize>() + others.sum::<usize>()
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

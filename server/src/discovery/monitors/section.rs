//! What is read of a cluster's objects, and what they give.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stillwell_engine::promql::Features;

use super::places::Id;
use super::room::namespace_of;
use crate::config::{Global, Monitors, ScrapeJob};
use crate::rule_groups::RuleFile;

/// Which objects are read, and what their jobs inherit.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::discovery) struct Section {
    pub(in crate::discovery) options: Monitors,
    pub(in crate::discovery) global: Global,
    /// Of the queries in rules.
    pub(in crate::discovery) features: Features,
}

/// What an object gives.
#[derive(Clone, Debug, Default)]
pub(in crate::discovery) struct Found {
    pub(in crate::discovery) jobs: Vec<ScrapeJob>,
    pub(in crate::discovery) rules: Vec<RuleFile>,
}

/// What each object gives, of those that give something.
pub(in crate::discovery) type ByObject = BTreeMap<Id, Arc<Found>>;

/// Objects of which it is not known what they give.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::discovery) struct NotRead {
    /// Those of watches that have listed nothing yet: a place, and a namespace or, where it is empty, all.
    pub(in crate::discovery) watches: BTreeSet<(usize, String)>,
    /// Those that lack a value which could not be read.
    pub(in crate::discovery) objects: BTreeSet<Id>,
}

impl NotRead {
    /// Whether an object may be one of them.
    pub(in crate::discovery) fn has(&self, id: &Id) -> bool {
        self.objects.contains(id) || self.is_unlisted(id)
    }

    /// Whether the watch on an object has listed nothing yet.
    fn is_unlisted(&self, id: &Id) -> bool {
        let is_of = |namespace: &str| self.watches.contains(&(id.0, namespace.to_owned()));
        is_of("") || is_of(namespace_of(id))
    }

    /// Whether some watch that would see what these lack has listed nothing yet.
    pub(in crate::discovery) fn awaits(&self, others: &NotRead) -> bool {
        !self.watches.is_disjoint(&others.watches)
            || others.objects.iter().any(|id| self.is_unlisted(id))
    }
}

/// Why what objects give is not all that there is.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::discovery) struct Part {
    pub(in crate::discovery) why: String,
    /// Watches of which a part is seen, and objects of which it is not known what they give.
    pub(in crate::discovery) lacks: NotRead,
}

/// What all objects of a section give, as of one moment.
#[derive(Clone, Debug, Default)]
pub(in crate::discovery) struct Given {
    pub(in crate::discovery) by_object: ByObject,
    pub(in crate::discovery) not_read: NotRead,
    /// Every kind that gives targets has been listed.
    pub(in crate::discovery) are_targets_listed: bool,
    /// Why this is not all that there is, where that is so.
    pub(in crate::discovery) partial: Option<Part>,
}

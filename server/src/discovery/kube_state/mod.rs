//! `kube_state`: what kube-state-metrics tells of workloads and pods, from watches of this process.
//!
//! ```text
//!  signals, rules, triggers --selectors--> which kinds and namespaces --watched: list, watch--> pages --scraper--> store
//! ```
//!
//! Only objects that somebody names are told of, in the namespaces that are named, unless all are asked for: what nobody
//! reads is not watched. Each kind and namespace is a target of its own, so that one that may not be read harms no other.

mod families;
mod run;
mod seen;
mod selection;
mod wanted;
mod watched;
mod watches;

use std::collections::BTreeSet;

use stillwell_engine::signal::Partial;
use tokio::sync::watch;

use crate::config::{Global, KubeState};
use crate::rule_groups::RuleFile;
use crate::scrape::{JobTargets, Target};

use seen::kind_of;

pub(super) use run::{nothing_seen, run};

/// Which objects are told of.
#[derive(Clone, PartialEq)]
pub(super) struct Section {
    pub(super) options: KubeState,
    pub(super) global: Global,
}

impl Section {
    /// Whether both read the same objects, in the same way: watches that were begun for one go on for the other.
    pub(super) fn reads_as(&self, other: &Section) -> bool {
        self.options.cluster == other.options.cluster
    }
}

/// What names objects, beside the signals.
pub(super) struct Rules {
    /// Of the configuration.
    pub(super) configured: watch::Receiver<Vec<RuleFile>>,
    /// Of the cluster.
    pub(super) found: watch::Receiver<Vec<RuleFile>>,
}

/// The job as of one moment.
pub(super) struct Told {
    pub(super) job: JobTargets,
    /// Kinds of which some watch that is wanted has listed nothing yet.
    pub(super) not_listed: BTreeSet<&'static str>,
    /// Series that its targets do not tell of.
    pub(super) partial: Vec<Partial>,
}

impl Told {
    /// What a job had before that is another's now. Of a kind of which nothing is listed yet the targets of then stay.
    pub(super) fn keep(&mut self, mut before: Vec<Target>) -> Vec<Target> {
        let now = self.job.found.targets.iter().filter_map(kind_of);
        let told: BTreeSet<String> = now.map(str::to_owned).collect();
        let is_missing = |kind: &str| self.not_listed.contains(kind) && !told.contains(kind);
        before.retain(|one| kind_of(one).is_some_and(is_missing));
        self.job.found.targets.extend(before.iter().cloned());
        before
    }
}

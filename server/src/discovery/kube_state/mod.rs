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
mod selection;
mod wanted;
mod watched;
mod watches;

use stillwell_engine::signal::Partial;
use tokio::sync::watch;

use crate::config::{Global, KubeState};
use crate::rule_groups::RuleFile;
use crate::scrape::JobTargets;

pub(super) use run::{nothing_seen, run};

/// Which objects are told of.
#[derive(Clone)]
pub(super) struct Section {
    pub(super) options: KubeState,
    pub(super) global: Global,
}

impl Section {
    /// Whether what was begun for the other can go on.
    pub(super) fn is_like(&self, other: &Section) -> bool {
        (&self.options, &self.global) == (&other.options, &other.global)
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
    /// Every watch that is wanted has listed what there is.
    pub(super) are_listed: bool,
    /// Series that its targets do not tell of.
    pub(super) partial: Vec<Partial>,
}

//! Runs the mechanisms of every job on a thread of its own, and tells the scraper what targets there are.
//!
//! A change is told at once where things are quiet; where a list changes all the time, relabelling takes at most a tenth
//! of the thread.

mod jobs;
mod lists;
mod run;
mod sections;
mod workloads;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use stillwell_engine::Reader;
use stillwell_engine::labels::RelabelRule;
use stillwell_engine::signal::Unlisted;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::followed::Followed;
use super::groups::Groups;
use super::job::Job;
use super::kube_state;
use super::monitors::{Given, Section};
use super::shard::Shard;
use super::unlisted::{FirstLists, LISTS_AWAITED};
use crate::config::ScrapeJob;
use crate::http_client::Resolver;
use crate::rule_groups::RuleFile;
use crate::scrape::{JobTargets, Scraper};
use workloads::Workloads;

/// Reloads wait for one another here; more at a time are not a plan.
pub(super) const COMMANDS_MAX: usize = 4;

/// Relabelling rules by the name of a job.
pub(super) type Pools = BTreeMap<String, Vec<RelabelRule>>;

/// What is looked for from now on.
pub(super) struct Command {
    pub(super) jobs: Vec<ScrapeJob>,
    pub(super) sections: Vec<Section>,
    pub(super) kube_state: Option<kube_state::Section>,
    /// Rules of the configuration, which may name workloads.
    pub(super) rules: Vec<RuleFile>,
    pub(super) written: Vec<JobTargets>,
    /// Told once what is known at once is scraped.
    pub(super) done: oneshot::Sender<()>,
}

/// What others see of the task.
#[derive(Clone, Default)]
pub(super) struct Shown {
    /// Of all jobs, replaced by a reload.
    pub(super) sources: Arc<RwLock<Vec<Groups>>>,
    /// The jobs whose targets are looked for, and what rewrites their targets.
    pub(super) pools: Arc<RwLock<Pools>>,
}

/// What the task is told by others, and what it tells.
pub(super) struct Channels {
    pub(super) commands: mpsc::Receiver<Command>,
    /// Changes of jobs whose pages this process writes.
    pub(super) written: mpsc::Receiver<JobTargets>,
    /// The rules of the cluster's objects.
    pub(super) rules: watch::Sender<Vec<RuleFile>>,
    pub(super) quit: watch::Receiver<bool>,
}

/// Runs until it is told to end.
pub(super) struct Task {
    scraper: Scraper,
    reader: Reader,
    shard: Option<Shard>,
    resolver: Resolver,
    shown: Shown,
    /// Told by mechanisms and sections whenever what they have found is another.
    changed: Arc<Notify>,

    /// A configuration is in force: the next one is a reload.
    is_configured: bool,
    /// The jobs of the configuration file.
    configured: Vec<ScrapeJob>,
    /// All jobs by their names: those, and what objects of the cluster give.
    jobs: BTreeMap<String, Job>,
    /// Jobs that a reload has brought are waited for until then.
    awaited_until: Option<Instant>,

    /// Sections whose objects (PodMonitors, ...) are followed.
    followed: Vec<Followed>,
    /// Numbers sections and watches on workloads, those of earlier configurations too.
    followed_count: u64,
    /// What the objects of sections give.
    found: (mpsc::Sender<FoundBy>, mpsc::Receiver<FoundBy>),
    /// Something was found that is not handed on yet.
    has_found: bool,
    /// The rules among it.
    found_rules: watch::Sender<Vec<RuleFile>>,

    /// The workloads of a cluster that are watched.
    kube_state: Option<Workloads>,
    /// What is found of them.
    workloads: (mpsc::Sender<FoundWorkloads>, mpsc::Receiver<FoundWorkloads>),
    /// Rules of the configuration, which may name workloads.
    rules: watch::Sender<Vec<RuleFile>>,

    /// Jobs whose pages this process writes, and their changes.
    written: Vec<JobTargets>,
    told: mpsc::Receiver<JobTargets>,

    first_lists: FirstLists,
    /// What the signals were told last.
    unlisted: Unlisted,
}

/// With the number of the section, or of the watches: what comes of earlier ones is dropped.
type FoundBy = (u64, Given);
/// The same of workloads.
type FoundWorkloads = (u64, kube_state::Told);

impl Task {
    /// Starts on the current runtime.
    pub(super) fn start(
        (scraper, reader): (Scraper, Reader),
        shard: Option<Shard>,
        shown: Shown,
        channels: Channels,
    ) {
        let Channels {
            commands,
            written,
            rules,
            quit,
        } = channels;
        let first_lists = Instant::now() + LISTS_AWAITED;
        let task = Task {
            scraper,
            reader,
            shard,
            kube_state: None,
            workloads: mpsc::channel(COMMANDS_MAX),
            shown,
            changed: Arc::default(),
            configured: Vec::new(),
            followed: Vec::new(),
            has_found: false,
            followed_count: 0,
            found: mpsc::channel(COMMANDS_MAX),
            jobs: BTreeMap::new(),
            written: Vec::new(),
            told: written,
            found_rules: rules,
            rules: watch::Sender::default(),
            resolver: Resolver::default(),
            unlisted: Unlisted::default(),
            first_lists: FirstLists::AwaitedUntil(first_lists),
            is_configured: false,
            awaited_until: None,
        };
        tokio::spawn(task.run(commands, quit));
    }
}

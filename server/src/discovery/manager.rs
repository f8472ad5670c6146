//! The handle by which others say what is looked for, and see how that goes.

use stillwell_engine::Reader;
use stillwell_engine::labels::RelabelRule;
use stillwell_engine::promql::Features;
use tokio::sync::{mpsc, oneshot, watch};

use super::groups::Groups;
use super::kube_state;
use super::monitors::Section;
use super::shard::Shard;
use super::task::{COMMANDS_MAX, Channels, Command, Shown, Task};
use crate::config::{Config, KubeState, Monitors};
use crate::rule_groups::RuleFile;
use crate::scrape::{JobTargets, Scraper};

/// The handle of the task. Clones speak to the same one.
#[derive(Clone)]
pub struct Manager {
    commands: mpsc::Sender<Command>,
    shown: Shown,
    /// What the cluster's objects give of rules.
    rules: watch::Receiver<Vec<RuleFile>>,
    written: mpsc::Sender<JobTargets>,
}

/// How one entry of the configuration fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceState {
    /// The job and the mechanism.
    pub what: String,
    /// Why it cannot be read.
    pub problem: Option<String>,
    /// Groups found.
    pub groups: usize,
}

/// What is looked for.
pub struct Wanted<'c> {
    /// Jobs, monitors and what they inherit.
    pub config: &'c Config,
    /// The rules of the configuration, which may name workloads.
    pub rules: &'c [RuleFile],
    /// Of queries in rules.
    pub features: Features,
    /// Targets whose pages this process writes, beside those of workloads.
    pub written: Vec<JobTargets>,
}

impl Manager {
    /// Starts on the current runtime, which should have nothing else to do; ends when `quit` turns true.
    /// Of several processes it looks for the targets of `shard`.
    pub fn start(
        scraper: Scraper,
        reader: Reader,
        shard: Option<Shard>,
        quit: watch::Receiver<bool>,
    ) -> Manager {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (found_rules, rules) = watch::channel(Vec::new());
        let (written, told) = mpsc::channel(COMMANDS_MAX);
        let manager = Manager {
            commands,
            written,
            shown: Shown::default(),
            rules,
        };
        let channels = Channels {
            commands: receiver,
            written: told,
            rules: found_rules,
            quit,
        };
        Task::start((scraper, reader), shard, manager.shown.clone(), channels);
        manager
    }

    /// Looks for exactly what is wanted from now on. Mechanisms that stay as they are go on undisturbed.
    /// Returns when what is known at once (static targets, and what was found before) is scraped.
    pub async fn apply(&self, wanted: Wanted<'_>) {
        let (done, applied) = oneshot::channel();
        let Wanted {
            config,
            rules,
            features,
            written,
        } = wanted;
        let section = |options: &Monitors| Section {
            options: options.clone(),
            global: config.global.clone(),
            features,
        };
        let kube_state = |options: &KubeState| kube_state::Section {
            options: options.clone(),
            global: config.global.clone(),
        };
        let command = Command {
            jobs: config.jobs.clone(),
            sections: config.monitors.iter().map(section).collect(),
            kube_state: config.kube_state.as_ref().map(kube_state),
            rules: rules.to_vec(),
            written,
            done,
        };
        if self.commands.send(command).await.is_ok() {
            applied.await.ok(); // the task ends only with its runtime
        }
    }

    /// The targets of a job whose pages this process writes, where it is among those that were applied.
    pub async fn set_written(&self, job: JobTargets) {
        self.written.send(job).await.ok(); // the task ends only with its runtime
    }

    /// The rules of the cluster's objects, as they change.
    pub fn rules(&self) -> watch::Receiver<Vec<RuleFile>> {
        self.rules.clone()
    }

    /// Whether every mechanism has read its source once, or failed to.
    pub fn settled(&self) -> bool {
        self.shown.sources.read().iter().all(Groups::is_settled)
    }

    /// The jobs whose targets are looked for.
    pub fn scrape_pools(&self) -> Vec<String> {
        self.shown.pools.read().keys().cloned().collect()
    }

    /// The rules that rewrite the targets of a job; `None` where there is no such job.
    pub fn relabel_rules(&self, pool: &str) -> Option<Vec<RelabelRule>> {
        self.shown.pools.read().get(pool).cloned()
    }

    /// How every mechanism fares.
    pub fn states(&self) -> Vec<SourceState> {
        let sources = self.shown.sources.read();
        let states = sources.iter().map(|groups| {
            let (problem, count) = groups.state();
            SourceState {
                what: groups.what().to_owned(),
                problem,
                groups: count,
            }
        });
        states.collect()
    }
}

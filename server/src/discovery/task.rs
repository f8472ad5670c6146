//! Runs the mechanisms of every job on a thread of its own, and tells the scraper what targets there are.
//!
//! A change is told at once where things are quiet; where a list changes all the time, relabelling takes at most a tenth
//! of the thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use stillwell_engine::Reader;
use stillwell_engine::labels::RelabelRule;
use stillwell_engine::signal::{Partial, Unlisted};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::warn;

use super::followed::{Followed, NO_LIST};
use super::groups::Groups;
use super::job::{Job, Source, predecessors};
use super::kube_state;
use super::mechanism::Mechanism;
use super::monitors::{self, Given, Section};
use super::shard::Shard;
use super::unlisted::{FirstLists, LISTS_AWAITED, partial, unlisted};
use crate::config::{KubeState, ScrapeJob};
use crate::http_client::Resolver;
use crate::rule_groups::RuleFile;
use crate::scrape::{JobTargets, Scraper, target_options};

/// Changes that come in a row are told together.
const GATHER_MS: u64 = 20;
/// After a round the next one waits this many times as long as the round took.
const REST_FACTOR: u32 = 9;
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
    /// The workloads of a cluster that are watched.
    kube_state: Option<Workloads>,
    /// Their targets, with the number of what was followed.
    workloads: (mpsc::Sender<FoundWorkloads>, mpsc::Receiver<FoundWorkloads>),
    shown: Shown,
    changed: Arc<Notify>,
    /// The jobs of the configuration file.
    configured: Vec<ScrapeJob>,
    /// Sections whose objects are followed.
    followed: Vec<Followed>,
    /// What they give has changed, and nobody was told.
    has_found: bool,
    /// Counts them, those of earlier configurations too.
    followed_count: u64,
    /// What their objects give, with the number of the section.
    found: (mpsc::Sender<FoundBy>, mpsc::Receiver<FoundBy>),
    found_rules: watch::Sender<Vec<RuleFile>>,
    /// Rules of the configuration.
    rules: watch::Sender<Vec<RuleFile>>,
    jobs: BTreeMap<String, Job>,
    /// Jobs whose pages this process writes, and their changes.
    written: Vec<JobTargets>,
    told: mpsc::Receiver<JobTargets>,
    resolver: Resolver,
    /// What the signals were told last.
    unlisted: Unlisted,
    first_lists: FirstLists,
    /// A configuration is in force: the next one is a reload.
    is_configured: bool,
    /// Jobs of the configuration that a reload has brought are waited for until then.
    awaited_until: Option<Instant>,
}

type FoundBy = (u64, Given);
type FoundWorkloads = (u64, kube_state::Told);

/// Watches on workloads.
struct Workloads {
    number: u64,
    section: kube_state::Section,
    status: Groups,
    job: Option<JobTargets>,
    /// What is watched had been listed when this was found.
    are_listed: bool,
    /// What these targets do not tell of.
    partial: Vec<Partial>,
    task: AbortHandle,
}

impl Drop for Workloads {
    fn drop(&mut self) {
        self.task.abort();
    }
}

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

    async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut quit: watch::Receiver<bool>) {
        let mut rest_until = Instant::now();
        // When what has changed is handed on, while something has.
        let mut due = None;
        loop {
            let changed = Arc::clone(&self.changed);
            let ending = async {
                quit.wait_for(|quit| *quit).await.ok(); // gone is as good as true
            };
            let lists = self.lists_due();
            tokio::select! {
                () = ending => return,
                () = tokio::time::sleep_until(lists.unwrap_or(rest_until)), if lists.is_some() => {
                    self.settle();
                    self.tell_unlisted();
                }
                command = commands.recv() => match command {
                    Some(command) => {
                        self.configured = command.jobs;
                        self.written = command.written;
                        self.rules.send_replace(command.rules);
                        self.follow(command.sections);
                        self.watch_workloads(command.kube_state);
                        self.replace().await;
                        self.is_configured = true;
                        command.done.send(()).ok(); // whoever asked may have gone
                        self.changed.notify_one(); // what came meanwhile
                    }
                    None => return,
                },
                Some((number, given)) = self.found.1.recv() => {
                    let of = self.followed.iter_mut().find(|one| one.number == number);
                    if let Some(followed) = of {
                        followed.take(given);
                        self.has_found = true;
                        self.changed.notify_one();
                    }
                }
                Some((number, told)) = self.workloads.1.recv() => {
                    self.take_workloads(number, told).await;
                }
                Some(job) = self.told.recv() => {
                    let known = self.written.iter_mut().find(|one| one.name == job.name);
                    if let Some(known) = known {
                        known.clone_from(&job);
                        self.scraper.update(vec![job]).await;
                    }
                }
                () = changed.notified(), if due.is_none() => {
                    let gathered = Instant::now() + Duration::from_millis(GATHER_MS);
                    due = Some(gathered.max(rest_until));
                }
                () = tokio::time::sleep_until(due.unwrap_or(rest_until)), if due.is_some() => {
                    due = None;
                    let began = Instant::now();
                    self.tell_changes().await;
                    rest_until = Instant::now() + began.elapsed() * REST_FACTOR;
                }
            }
        }
    }

    /// Hands on the targets of watches on workloads.
    async fn take_workloads(&mut self, number: u64, told: kube_state::Told) {
        let of = self.kube_state.as_mut().filter(|one| one.number == number);
        let Some(workloads) = of else {
            return; // of an earlier configuration
        };
        let mut job = told.job;
        if let Some(shard) = self.shard {
            job.found.targets.retain(|target| shard.owns(target));
        }
        workloads.job = Some(job.clone());
        workloads.are_listed = told.are_listed;
        // What goes is not known before its targets go, what comes is known after they came.
        let before = workloads.partial.iter();
        let both = before
            .filter(|one| !told.partial.contains(one))
            .chain(&told.partial);
        workloads.partial = both.cloned().collect();
        self.tell_unlisted();
        self.scraper.update(vec![job]).await;
        if let Some(workloads) = &mut self.kube_state {
            workloads.partial = told.partial;
        }
        self.tell_unlisted();
    }

    /// Hands on what has changed.
    async fn tell_changes(&mut self) {
        if std::mem::take(&mut self.has_found) {
            self.replace().await;
        }
        let dirty = self.jobs.values_mut().filter(|job| job.is_dirty());
        let jobs: Vec<JobTargets> = dirty.map(|job| job.targets(self.shard)).collect();
        if !jobs.is_empty() {
            self.scraper.update(jobs).await;
        }
        self.settle();
        self.tell_unlisted();
    }

    /// When some list is awaited no longer.
    fn lists_due(&self) -> Option<Instant> {
        let followed = self.followed.iter().filter_map(Followed::due);
        let awaited = self.awaited_until.into_iter();
        let all = self.first_lists.due().into_iter().chain(awaited);
        all.chain(followed).min()
    }

    /// Takes notice of what was handed on, and of the time.
    fn settle(&mut self) {
        let now = Instant::now();
        for followed in &mut self.followed {
            let is_listed = |name: &str| self.jobs.get(name).is_none_or(|job| job.is_listed);
            followed.settle(is_listed, now);
        }
        if self.awaited_until.is_some_and(|until| until <= now) {
            self.awaited_until = None;
            self.jobs
                .values_mut()
                .for_each(|job| job.is_awaited = false);
        }
    }

    /// Follows exactly these sections. Those that stay as they are go on undisturbed.
    fn follow(&mut self, sections: Vec<Section>) {
        let mut before = std::mem::take(&mut self.followed);
        for section in sections {
            if let Some(at) = before.iter().position(|one| one.section == section) {
                self.followed.push(before.swap_remove(at));
                continue;
            }
            self.followed_count += 1;
            let (number, tell) = (self.followed_count, self.found.0.clone());
            let kinds: Vec<&str> = section
                .options
                .kinds
                .iter()
                .map(|kind| kind.as_str())
                .collect();
            let status = Groups::new(kinds.join(", "), Arc::clone(&self.changed));
            let (send, mut made) = mpsc::channel(1);
            let following = monitors::run(section.clone(), status.clone(), send);
            let task = tokio::spawn(async move {
                let hand_on = async {
                    while let Some(given) = made.recv().await {
                        tell.send((number, given)).await.ok(); // the task ends with its runtime
                    }
                };
                tokio::join!(following, hand_on);
            });
            let mut of_options = before.iter();
            let same = of_options.find(|one| one.section.options == section.options);
            let of = (number, section, status);
            let followed = Followed::new(of, task.abort_handle(), same, self.is_configured);
            self.followed.push(followed);
        }
    }

    /// Watches the workloads of this section. Watches that stay as they are go on undisturbed.
    fn watch_workloads(&mut self, section: Option<kube_state::Section>) {
        let same = match (&self.kube_state, &section) {
            (Some(before), Some(section)) => before.section.is_like(section),
            (None, None) => true,
            _ => false,
        };
        if same {
            return;
        }
        self.kube_state = section.map(|section| {
            self.followed_count += 1;
            let (number, tell) = (self.followed_count, self.workloads.0.clone());
            let status = Groups::new("kube_state".to_owned(), Arc::clone(&self.changed));
            let (send, mut made) = mpsc::channel(1);
            let rules = kube_state::Rules {
                configured: self.rules.subscribe(),
                found: self.found_rules.subscribe(),
            };
            let partial = kube_state::nothing_seen(&section);
            let reader = self.reader.clone();
            let following = kube_state::run(section.clone(), reader, rules, status.clone(), send);
            let task = tokio::spawn(async move {
                let hand_on = async {
                    while let Some(job) = made.recv().await {
                        tell.send((number, job)).await.ok(); // the task ends with its runtime
                    }
                };
                tokio::join!(following, hand_on);
            });
            Workloads {
                number,
                section,
                status,
                job: None,
                are_listed: false,
                partial,
                task: task.abort_handle(),
            }
        });
    }

    /// Looks for the targets of all jobs, and scrapes what is known of them.
    async fn replace(&mut self) {
        let mut jobs = self.configured.clone();
        let mut names: BTreeSet<String> = jobs.iter().map(|job| job.name.clone()).collect();
        for job in self.followed.iter().flat_map(Followed::jobs) {
            // A pool may stand in two API groups: it is one.
            if names.insert(job.name.clone()) {
                jobs.push(job.clone());
            }
        }
        self.configure(jobs);
        self.tell_unlisted(); // before targets of what is no longer configured go
        self.tell_rules();
        let mut jobs: Vec<JobTargets> = self
            .jobs
            .values_mut()
            .map(|job| job.targets(self.shard))
            .collect();
        jobs.extend(self.kube_state.as_ref().and_then(|one| one.job.clone()));
        jobs.extend(self.written.iter().cloned());
        self.scraper.replace(jobs).await;
        self.settle();
        self.tell_unlisted();
    }

    /// Tells the signals, after our start, which jobs may have targets that nobody knows of yet. They are not awaited for long, for
    /// one whose source cannot be read must not keep the others'; what a snapshot knows of them stays for an hour.
    fn tell_unlisted(&mut self) {
        let partial = self.partial();
        let were_partial = !self.unlisted.partial.is_empty();
        let are_there = matches!(self.first_lists, FirstLists::There);
        if are_there && partial.is_empty() && !were_partial {
            return;
        }
        // Once every first list was there, one that is new is not awaited.
        let has_list = |is_listed: bool| are_there || is_listed;
        let of_part: BTreeSet<&str> = partial.iter().map(|one| &*one.job).collect();
        // What they gave last may not be among the jobs yet.
        let has_given = |one: &Followed| has_list(!self.has_found && one.are_targets_listed);
        let followed = self.followed.iter().filter(|one| !has_given(one));
        let followed = followed.map(|one| one.status.what().to_owned());
        let jobs = self.jobs.iter().map(|(name, job)| {
            let is_listed = has_list(job.is_listed) && !of_part.contains(&**name);
            (&name[..], &job.config.relabel[..], is_listed)
        });
        let workloads = self.kube_state.iter();
        let workloads = workloads.map(|one| (KubeState::JOB, &[][..], has_list(one.are_listed)));
        let mut unlisted = unlisted(jobs.chain(workloads), followed.collect());
        if let Some(says) = self.first_lists.look(&unlisted, Instant::now()) {
            let jobs: Vec<&str> = unlisted.jobs.iter().map(String::as_str).collect();
            let jobs = jobs.join(", ");
            warn!(jobs, "{says}");
        }
        unlisted.are_awaited = self.first_lists.are_awaited();
        unlisted.partial = partial;
        if self.unlisted != unlisted {
            self.unlisted.clone_from(&unlisted);
            self.reader.set_unlisted(unlisted);
        }
    }

    /// The jobs of which some targets cannot be seen now, or could not when those that are scraped were found.
    fn partial(&self) -> Vec<Partial> {
        let jobs = self.jobs.iter().filter_map(|(name, job)| {
            let mut mechanisms = job.mechanisms.iter();
            let now = mechanisms.find_map(|source| source.mechanism.groups.partial());
            let why = now.or_else(|| job.partial.clone());
            let why = why.or_else(|| job.is_awaited.then(|| NO_LIST.to_owned()))?;
            Some(partial(name, &job.config.relabel, why))
        });
        let followed = self.followed.iter().filter_map(Followed::partial);
        let workloads = self.kube_state.iter().flat_map(|one| one.partial.clone());
        jobs.chain(followed).chain(workloads).collect()
    }

    /// Two sections may give the same object.
    fn tell_rules(&self) {
        let mut rules: BTreeMap<&str, &RuleFile> = BTreeMap::new();
        for file in self.followed.iter().flat_map(Followed::rules) {
            rules.entry(&file.path).or_insert(file);
        }
        self.found_rules.send_if_modified(|told| {
            let changed = !told.iter().eq(rules.values().copied());
            if changed {
                *told = rules.into_values().cloned().collect();
            }
            changed
        });
    }

    /// The first of `jobs` are those of the configuration file; objects of the cluster give the others.
    fn configure(&mut self, jobs: Vec<ScrapeJob>) {
        let before = std::mem::take(&mut self.jobs);
        let old = before.values().flat_map(|job| &job.mechanisms);
        let mut known: Vec<Arc<Mechanism>> =
            old.map(|source| Arc::clone(&source.mechanism)).collect();
        let scraped = jobs.into_iter().enumerate();
        for (place, config) in scraped.filter(|(_, job)| job.not_scraped.is_none()) {
            let mut mechanisms = Vec::with_capacity(config.discovery.len());
            // Most jobs are as they were: thousands of them are not compared with one another.
            let own = before.get(&config.name);
            let partial = own.and_then(|job| job.partial.clone());
            let was_awaited = own.is_some_and(|job| job.is_awaited);
            let is_alike = own.is_some_and(|job| job.config.relabel == config.relabel);
            let is_brought = self.is_configured && place < self.configured.len();
            let mut is_new = is_brought && !is_alike;
            let own = own.map_or(&[][..], |job| &job.mechanisms[..]);
            let in_place = predecessors(&config.discovery, own);
            for (mechanism, in_place) in config.discovery.iter().zip(in_place) {
                let mut all = own.iter().map(|source| &source.mechanism).chain(&known);
                let same = all.find(|known| known.config == *mechanism);
                let mechanism = match same {
                    Some(same) => Arc::clone(same),
                    None => {
                        let owner = format!("job {:?}", config.name);
                        let started =
                            Mechanism::start(&owner, mechanism, &self.changed, &self.resolver);
                        let started = Arc::new(started);
                        is_new = is_brought;
                        known.push(Arc::clone(&started));
                        started
                    }
                };
                mechanisms.push(Source::new(mechanism, in_place, is_alike));
            }
            let is_unread = mechanisms.iter().any(Source::is_unread);
            if is_new && is_unread {
                self.awaited_until = Some(Instant::now() + LISTS_AWAITED);
            }
            let job = Job {
                is_awaited: (is_new || was_awaited) && is_unread,
                options: target_options(&config),
                mechanisms,
                known: BTreeMap::new(),
                is_listed: false,
                partial,
                config,
            };
            self.jobs.insert(job.config.name.clone(), job);
        }
        let mut sources: Vec<Groups> = Vec::new();
        let all = self.jobs.values().flat_map(|job| &job.mechanisms);
        for mechanism in all.map(|source| &source.mechanism) {
            if sources.iter().all(|have| !have.is_same(&mechanism.groups)) {
                sources.push(mechanism.groups.clone());
            }
        }
        sources.extend(self.followed.iter().map(|followed| followed.status.clone()));
        sources.extend(self.kube_state.as_ref().map(|one| one.status.clone()));
        *self.shown.sources.write() = sources;
        let pool = |job: &Job| (job.config.name.clone(), job.config.relabel.clone());
        *self.shown.pools.write() = self.jobs.values().map(pool).collect();
    }
}

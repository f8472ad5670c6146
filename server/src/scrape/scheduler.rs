//! The scheduler: one task that wakes workers tick by tick and takes new sets of targets.
//!
//! A target that is wanted otherwise than it is scraped, or at another place under the same labels, goes on with its series: its
//! worker hands them to the next. One that comes is scraped once those that leave have ended, so that no sum has both.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use stillwell_engine::labels::Labels;
use stillwell_engine::{Stage, TargetId, Writer};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{error, warn};

use super::client::{Access, Client};
use super::cost::Cost;
use super::found::NO_ADDRESS;
use super::job_targets::{JobTargets, JobView, View};
use super::quiet::Quiet;
use super::schedule::{Schedule, phase_hash};
use super::shared::Shared;
use super::state::TargetState;
use super::target::Target;
use super::worker::{Begin, Ending, Worker};
use crate::config::HttpClientConfig;
use crate::http_client::{Identity, Resolver};

/// Different things that are said once; beyond them nothing more is said of targets.
const TOLD_MAX: usize = 10_000;
/// How long new targets wait for those to end whose place they take.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(1);
/// So much later than their end are they scraped: the next millisecond has begun.
const AFTER_END: Duration = Duration::from_millis(2);
/// Retention, memory and the clock are looked after this often.
const MAINTENANCE_MS: u64 = 1_000;

/// Targets that are scraped from now on.
pub(super) struct Command {
    pub(super) jobs: Vec<JobTargets>,
    /// Whether there are no other jobs.
    pub(super) only_these: bool,
    pub(super) done: oneshot::Sender<()>,
}

pub(super) struct Scheduler {
    shared: Arc<Shared>,
    view: Arc<RwLock<View>>,
    schedule: Schedule,
    running: BTreeMap<Key, Running>,
    /// By slot of the schedule.
    slots: Vec<Option<(mpsc::Sender<i64>, Arc<TargetState>)>>,
    /// How the targets of a job are reached, with the options that it was made of.
    access: BTreeMap<String, (HttpClientConfig, Arc<Identity>)>,
    /// Of this runtime: names that do not resolve hold nobody else up.
    resolver: Resolver,
    /// What was logged of targets that cannot be scraped or are scraped twice.
    told: BTreeSet<String>,
}

/// Job, labels and URL: what makes a target this one.
type Key = (String, Labels, String);

struct Running {
    slot: usize,
    state: Arc<TargetState>,
    stop: oneshot::Sender<Ending>,
    /// Ends once its series have, or another worker has them.
    worker: JoinHandle<()>,
}

/// A target whose worker hands it on.
struct Predecessor {
    state: Arc<TargetState>,
    stage: oneshot::Receiver<Stage>,
}

impl Scheduler {
    pub(super) fn new(shared: Arc<Shared>, view: Arc<RwLock<View>>) -> Scheduler {
        Scheduler {
            shared,
            view,
            schedule: Schedule::default(),
            running: BTreeMap::new(),
            slots: Vec::new(),
            access: BTreeMap::new(),
            resolver: Resolver::default(),
            told: BTreeSet::new(),
        }
    }

    /// Runs until nobody can send a command any more.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut maintenance = tokio::time::interval(Duration::from_millis(MAINTENANCE_MS));
        maintenance.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let sleep = tokio::time::sleep_until(Instant::now());
        tokio::pin!(sleep);
        loop {
            let due_ms = self.schedule.next_due_ms();
            if let Some(due_ms) = due_ms {
                sleep.as_mut().reset(self.shared.clock.moment(due_ms));
            }
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => {
                        self.apply(command.jobs, command.only_these);
                        command.done.send(()).ok(); // whoever asked may have gone
                    }
                    None => return,
                },
                () = &mut sleep, if due_ms.is_some() => self.tick(),
                _ = maintenance.tick() => self.maintain(),
            }
        }
    }

    fn tick(&mut self) {
        let slots = &self.slots;
        self.schedule
            .take_due(self.shared.clock.now().ms(), |due_ms, slot| {
                if let Some((ticks, state)) = &slots[slot]
                    && state.begin()
                {
                    // A worker that is free has an empty channel.
                    ticks.try_send(due_ms).ok();
                }
            });
    }

    fn maintain(&self) {
        if let Some(step_ms) = self.shared.clock.slew() {
            warn!(
                step_ms,
                "the wall clock stepped; times in answers follow it and nothing ages by it"
            );
        }
        let (now, offset_ms) = (self.shared.clock.now(), self.shared.clock.wall_offset_ms());
        self.shared.limiter.buffers.trim();
        self.shared.writer.lock().set_wall_offset(offset_ms);
        Writer::maintain_in_steps(&self.shared.writer, now);
    }

    fn apply(&mut self, jobs: Vec<JobTargets>, only_these: bool) {
        let mut wanted: BTreeMap<Key, Target> = BTreeMap::new();
        let names: BTreeSet<String> = jobs.iter().map(|job| job.name.clone()).collect();
        let mut views = BTreeMap::new();
        for job in jobs {
            self.tell_without_address(&job);
            views.insert(job.name.clone(), JobView::of(&job));
            let known = self.access.get(&job.name);
            if known.is_none_or(|(options, _)| *options != job.http) {
                let identity = Identity::new(job.http.clone());
                self.access.insert(job.name.clone(), (job.http, identity));
            }
            for target in job.found.targets {
                let url = target.url.to_string();
                wanted.insert((job.name.clone(), target.labels.clone(), url), target);
            }
        }
        if only_these {
            self.access.retain(|name, _| names.contains(name));
        }
        let concerned = |job: &String| only_these || names.contains(job);
        let gone: Vec<Key> = self
            .running
            .iter()
            .filter(|(key, running)| {
                let wanted = wanted.get(*key);
                let stays = wanted.is_some_and(|one| one.is_scraped_as(&running.state.target));
                concerned(&key.0) && !stays
            })
            .map(|(key, _)| key.clone())
            .collect();
        let mut predecessors = self.stop_those_that_go_on(&gone, &wanted);
        let gone: Vec<JoinHandle<()>> = gone.iter().filter_map(|key| self.stop(key)).collect();
        let room = room_after(gone);
        self.shared.writer.lock().begin_targets();
        for (key, target) in wanted {
            match (self.running.get(&key), predecessors.remove(&key)) {
                (Some(running), _) => self.rediscover(&running.state, &target),
                (None, Some(before)) => self.go_on(key, target, before, room.clone()),
                (None, None) => self.start(key, target, room.clone()),
            }
        }
        self.shared.writer.lock().finish_targets();
        self.tell_doubles();
        let mut view = self.view.write();
        if only_these {
            view.jobs.clear();
        }
        view.jobs.append(&mut views);
        let running = self.running.values();
        view.active = running.map(|running| Arc::clone(&running.state)).collect();
    }

    /// A target goes on, of which discovery may say something else than before.
    fn rediscover(&self, state: &TargetState, target: &Target) {
        if let (Some(is_ready), Some(id)) = (state.rediscover(&target.discovered), state.id) {
            self.shared.writer.lock().set_not_ready(id, !is_ready);
        }
    }

    /// Says once what cannot be scraped.
    fn tell_without_address(&mut self, job: &JobTargets) {
        for discovered in &job.found.without_address {
            let labels = discovered.labels();
            let address = labels.get("__address__").unwrap_or("");
            let problem = format!("job {:?}, target {address}: {NO_ADDRESS}", job.name);
            if self.told.len() < TOLD_MAX && self.told.insert(problem.clone()) {
                error!(problem, "a target cannot be scraped");
            }
        }
    }

    /// Says once which pages are fetched by two jobs, as happens where a monitor and a list name the same gateway: what
    /// sums over both counts twice.
    fn tell_doubles(&mut self) {
        let mut first: HashMap<&str, &str> = HashMap::new();
        let mut doubles = Vec::new();
        for (job, _, url) in self.running.keys() {
            match first.get(url.as_str()) {
                Some(other) if other != job => doubles.push(format!(
                    "{url} is scraped by the jobs {other:?} and {job:?}: sums over both count it twice"
                )),
                Some(_) => {}
                None => drop(first.insert(url, job)),
            }
        }
        for double in doubles {
            if self.told.len() < TOLD_MAX && self.told.insert(double.clone()) {
                warn!(double, "two jobs scrape one page");
            }
        }
    }

    /// Stops those that are wanted otherwise than they are: a target with the same job and labels goes on with their series, at
    /// the same place or, where none is wanted there, at another one. By the key that has each from now on.
    fn stop_those_that_go_on(
        &mut self,
        gone: &[Key],
        wanted: &BTreeMap<Key, Target>,
    ) -> BTreeMap<Key, Predecessor> {
        let mut predecessors = BTreeMap::new();
        let (stay, move_on): (Vec<&Key>, Vec<&Key>) =
            gone.iter().partition(|key| wanted.contains_key(*key));
        for key in stay {
            if let Some(before) = self.stop_before(key) {
                predecessors.insert(key.clone(), before);
            }
        }
        for key in move_on {
            let first = (key.0.clone(), key.1.clone(), String::new());
            let mut alike = wanted
                .range(first..)
                .map(|(key, _)| key)
                .take_while(|one| (&one.0, &one.1) == (&key.0, &key.1));
            let is_free =
                |one: &&Key| !self.running.contains_key(*one) && !predecessors.contains_key(*one);
            if let Some(next) = alike.find(is_free)
                && let Some(before) = self.stop_before(key)
            {
                predecessors.insert(next.clone(), before);
            }
        }
        predecessors
    }

    /// Scrapes a target from now on, but not before there is `room`.
    fn start(&mut self, key: Key, target: Target, room: Option<watch::Receiver<bool>>) {
        let (id, stage) = self.shared.writer.lock().add_target(target.spec());
        let state = Arc::new(TargetState::new(target.clone(), Some(id)));
        self.run_worker(key, target, (id, state), Begin::New(Box::new(stage), room));
    }

    /// Scrapes a target as it is wanted now, once the worker of before has ended.
    fn go_on(
        &mut self,
        key: Key,
        target: Target,
        before: Predecessor,
        room: Option<watch::Receiver<bool>>,
    ) {
        let spec = Box::new(target.spec());
        let state = Arc::new(TargetState::going_on(target.clone(), &before.state));
        match state.id {
            Some(id) => self.run_worker(
                key,
                target,
                (id, state),
                Begin::GoOn(before.stage, spec, room),
            ),
            None => self.start(key, target, room),
        }
    }

    fn run_worker(
        &mut self,
        key: Key,
        target: Target,
        (id, state): (TargetId, Arc<TargetState>),
        begin: Begin,
    ) {
        let hash = phase_hash(&format!("{}{}{}", key.0, key.1, target.url));
        let now_ms = self.shared.clock.now().ms();
        let slot = self.schedule.add(now_ms, target.interval_ms, hash);
        let identity = self.access.get(&key.0);
        let access = Access {
            identity: identity.map_or_else(Identity::anonymous, |(_, known)| Arc::clone(known)),
            resolver: self.resolver.clone(),
        };
        let longest = target.job.pace.interval_ms_max;
        let (stop, stopped) = oneshot::channel();
        let (ticks, receiver) = mpsc::channel(1);
        let worker = Worker {
            shared: Arc::clone(&self.shared),
            state: Arc::clone(&state),
            target: id,
            reader: None,
            slow_page: None,
            client: Client::new(target.fetch_options(), access),
            cost: Cost::default(),
            quiet: longest.map(|interval_ms| Quiet::new(&target.labels, interval_ms)),
        };
        let worker = tokio::spawn(worker.run(receiver, stopped, begin));
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some((ticks, Arc::clone(&state)));
        let running = Running {
            slot,
            state,
            stop,
            worker,
        };
        self.running.insert(key, running);
    }

    /// Ends a target. Answers its worker, which ends with its series.
    fn stop(&mut self, key: &Key) -> Option<JoinHandle<()>> {
        let running = self.unschedule(key)?;
        running.stop.send(Ending::Leave).ok(); // one that has ended needs no word
        Some(running.worker)
    }

    /// Ends the worker of a target that goes on.
    fn stop_before(&mut self, key: &Key) -> Option<Predecessor> {
        let running = self.unschedule(key)?;
        let (hand_on, stage) = oneshot::channel();
        running.stop.send(Ending::HandOn(hand_on)).ok(); // where it has ended, no stage comes
        Some(Predecessor {
            state: running.state,
            stage,
        })
    }

    fn unschedule(&mut self, key: &Key) -> Option<Running> {
        let running = self.running.remove(key)?;
        self.schedule.remove(running.slot);
        self.slots[running.slot] = None;
        Some(running)
    }
}

/// Turns true once all of these targets have ended. Those that take their place are not scraped before: for some milliseconds both
/// would be there, and the sum over both would be held for a minute. `None` where nobody ends.
fn room_after(gone: Vec<JoinHandle<()>>) -> Option<watch::Receiver<bool>> {
    if gone.is_empty() {
        return None;
    }
    let (tell, room) = watch::channel(false);
    tokio::spawn(async move {
        let all = async {
            for worker in gone {
                worker.await.ok(); // one that panicked has ended too
            }
        };
        // Where one is in the middle of a large page, the others do not wait for it.
        tokio::time::timeout(ROOM_WAIT_MAX, all).await.ok();
        // A sample at the very time at which its series ended would be left out.
        tokio::time::sleep(AFTER_END).await;
        tell.send_replace(true);
    });
    Some(room)
}

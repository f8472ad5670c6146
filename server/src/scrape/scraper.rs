//! The scheduler: one task that wakes workers tick by tick and takes new sets of targets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use stillwell_adapters::host::{DroppedTarget, Targets};
use stillwell_engine::labels::Labels;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{error, warn};

use super::client::Client;
use super::schedule::{Schedule, phase_hash};
use super::state::TargetState;
use super::target::{Target, targets};
use super::worker::{Shared, Worker};
use crate::config::ScrapeJob;

/// Reloads wait for one another here; more at a time are not a plan.
const COMMANDS_MAX: usize = 4;
/// Retention, memory and the clock are looked after this often.
const MAINTENANCE_MS: u64 = 1_000;

/// The handle by which others see and change what is scraped.
#[derive(Clone)]
pub struct Scraper {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    view: Arc<RwLock<View>>,
}

/// What the faces see: replaced as a whole by a reload.
#[derive(Default)]
struct View {
    active: Vec<Arc<TargetState>>,
    dropped: Vec<DroppedTarget>,
    dropped_counts: Vec<(String, usize)>,
}

struct Command {
    jobs: Vec<ScrapeJob>,
    done: oneshot::Sender<()>,
}

impl Scraper {
    /// Starts scraping on the current runtime; it needs one thread and should have it for itself.
    pub fn start(shared: Shared) -> Scraper {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let scraper = Scraper {
            shared: Arc::new(shared),
            commands,
            view: Arc::default(),
        };
        let task = Task {
            shared: Arc::clone(&scraper.shared),
            view: Arc::clone(&scraper.view),
            schedule: Schedule::default(),
            running: BTreeMap::new(),
            slots: Vec::new(),
        };
        tokio::spawn(task.run(receiver));
        scraper
    }

    /// Scrapes exactly these jobs from now on. Targets that stay as they are go on undisturbed.
    pub async fn apply(&self, jobs: Vec<ScrapeJob>) {
        let (done, applied) = oneshot::channel();
        if self.commands.send(Command { jobs, done }).await.is_ok() {
            applied.await.ok(); // the task ends only with its runtime
        }
    }

    /// The targets in force.
    pub fn states(&self) -> Vec<Arc<TargetState>> {
        self.view.read().active.clone()
    }

    /// As `/api/v1/targets` tells it.
    pub fn describe(&self) -> Targets {
        let view = self.view.read();
        Targets {
            active: view.active.iter().map(|state| state.describe()).collect(),
            dropped: view.dropped.clone(),
            dropped_counts: view.dropped_counts.clone(),
        }
    }

    /// What the workers share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

struct Task {
    shared: Arc<Shared>,
    view: Arc<RwLock<View>>,
    schedule: Schedule,
    running: BTreeMap<(String, Labels), Running>,
    /// By slot of the schedule.
    slots: Vec<Option<(mpsc::Sender<i64>, Arc<TargetState>)>>,
}

struct Running {
    slot: usize,
    state: Arc<TargetState>,
    stop: Arc<Notify>,
}

impl Task {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
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
                        self.apply(command.jobs);
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
                "the wall clock stepped; times follow it slowly and nothing ages by it"
            );
        }
        let now = self.shared.clock.now();
        self.shared.lane.buffers.trim();
        self.shared.writer.lock().maintain(now);
    }

    fn apply(&mut self, jobs: Vec<ScrapeJob>) {
        let mut wanted: BTreeMap<(String, Labels), Target> = BTreeMap::new();
        let mut view = View::default();
        for job in jobs {
            let found = targets(&job);
            for problem in &found.problems {
                error!(problem, "a target cannot be scraped");
            }
            if !found.dropped.is_empty() {
                view.dropped_counts
                    .push((job.name.clone(), found.dropped.len()));
                let kept = match job.limits.dropped_targets_max {
                    0 => usize::MAX,
                    most => usize::try_from(most).unwrap_or(usize::MAX),
                };
                view.dropped
                    .extend(
                        found
                            .dropped
                            .into_iter()
                            .take(kept)
                            .map(|discovered| DroppedTarget {
                                discovered,
                                job: job.name.clone(),
                            }),
                    );
            }
            for target in found.targets {
                wanted.insert((job.name.clone(), target.labels.clone()), target);
            }
        }
        let gone: Vec<_> = self
            .running
            .iter()
            .filter(|(key, running)| wanted.get(*key) != Some(&running.state.target))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.stop(&key);
        }
        for (key, target) in wanted {
            if !self.running.contains_key(&key) {
                self.start(key, target);
            }
        }
        view.active = self
            .running
            .values()
            .map(|running| Arc::clone(&running.state))
            .collect();
        *self.view.write() = view;
    }

    fn start(&mut self, key: (String, Labels), target: Target) {
        let hash = phase_hash(&format!("{}{}{}", key.0, key.1, target.url));
        let now_ms = self.shared.clock.now().ms();
        let slot = self.schedule.add(now_ms, target.interval_ms, hash);
        let (_, stage) = self.shared.writer.lock().add_target(target.spec());
        let client = Client::new(target.fetch_options());
        let state = Arc::new(TargetState::new(target));
        let stop = Arc::new(Notify::new());
        let (ticks, receiver) = mpsc::channel(1);
        let worker = Worker {
            shared: Arc::clone(&self.shared),
            state: Arc::clone(&state),
            stage,
            client,
        };
        tokio::spawn(worker.run(receiver, Arc::clone(&stop)));
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some((ticks, Arc::clone(&state)));
        self.running.insert(key, Running { slot, state, stop });
    }

    fn stop(&mut self, key: &(String, Labels)) {
        if let Some(running) = self.running.remove(key) {
            self.schedule.remove(running.slot);
            self.slots[running.slot] = None;
            running.stop.notify_one();
        }
    }
}

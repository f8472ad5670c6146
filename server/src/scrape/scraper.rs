//! The handle by which others say what is scraped, and see it.

use std::sync::Arc;

use parking_lot::RwLock;
use stillwell_adapters::host::{DroppedTarget, Targets};
use tokio::sync::{mpsc, oneshot};

use super::discovered::Discovered;
use super::job_targets::{JobTargets, View};
use super::scheduler::{Command, Scheduler};
use super::shared::Shared;
use super::state::TargetState;

/// Reloads wait for one another here; more at a time are not a plan.
const COMMANDS_MAX: usize = 4;

/// The handle by which others see and change what is scraped.
#[derive(Clone)]
pub struct Scraper {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    view: Arc<RwLock<View>>,
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
        let scheduler = Scheduler::new(Arc::clone(&scraper.shared), Arc::clone(&scraper.view));
        tokio::spawn(scheduler.run(receiver));
        scraper
    }

    /// Scrapes exactly these targets from now on. Those that stay as they are go on undisturbed.
    pub async fn replace(&self, jobs: Vec<JobTargets>) {
        self.send(jobs, true).await;
    }

    /// Scrapes these targets of these jobs from now on; other jobs stay as they are.
    pub async fn update(&self, jobs: Vec<JobTargets>) {
        self.send(jobs, false).await;
    }

    async fn send(&self, jobs: Vec<JobTargets>, only_these: bool) {
        let (done, applied) = oneshot::channel();
        let command = Command {
            jobs,
            only_these,
            done,
        };
        if self.commands.send(command).await.is_ok() {
            applied.await.ok(); // the task ends only with its runtime
        }
    }

    /// The targets in force.
    pub fn states(&self) -> Vec<Arc<TargetState>> {
        self.view.read().active.clone()
    }

    /// As `/api/v1/targets` tells it.
    pub fn describe(&self) -> Targets {
        // The scheduler waits for the view, and nothing for what is made of it.
        let (active, jobs) = {
            let view = self.view.read();
            (view.active.clone(), view.jobs.clone())
        };
        let dropped = jobs.iter().flat_map(|(name, job)| {
            let all = job.dropped.iter().chain(&*job.without_address);
            all.map(Discovered::labels).map(|discovered| DroppedTarget {
                discovered,
                job: name.clone(),
            })
        });
        Targets {
            active: active.iter().map(|state| state.describe()).collect(),
            dropped: dropped.collect(),
            dropped_counts: jobs
                .iter()
                .map(|(name, job)| (name.clone(), job.dropped_count))
                .collect(),
        }
    }

    /// What the workers share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

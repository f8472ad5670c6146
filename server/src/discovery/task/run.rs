//! The loop: what is told by others, what mechanisms find, and when that is handed on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::super::followed::Followed;
use super::{Command, Task};
use crate::scrape::JobTargets;

/// Changes that come in a row are told together.
const GATHER_MS: u64 = 20;
/// After a round the next one waits this many times as long as the round took.
const REST_FACTOR: u32 = 9;

impl Task {
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut quit: watch::Receiver<bool>,
    ) {
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

    /// Hands on what has changed.
    pub(super) async fn tell_changes(&mut self) {
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

    /// Takes notice of what was handed on, and of the time.
    pub(super) fn settle(&mut self) {
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

    /// When some list is awaited no longer.
    pub(super) fn lists_due(&self) -> Option<Instant> {
        let followed = self.followed.iter().filter_map(Followed::due);
        let awaited = self.awaited_until.into_iter();
        let all = self.first_lists.due().into_iter().chain(awaited);
        all.chain(followed).min()
    }
}

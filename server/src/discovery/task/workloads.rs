//! The watches on a cluster's workloads, whose pages this process writes.

use std::sync::Arc;

use stillwell_engine::signal::Partial;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::super::groups::Groups;
use super::super::kube_state;
use super::Task;
use crate::scrape::JobTargets;

/// Watches on workloads.
pub(super) struct Workloads {
    pub(super) number: u64,
    pub(super) section: kube_state::Section,
    pub(super) status: Groups,
    pub(super) job: Option<JobTargets>,
    /// What is watched had been listed when this was found.
    pub(super) are_listed: bool,
    /// What these targets do not tell of.
    pub(super) partial: Vec<Partial>,
    task: AbortHandle,
}

impl Drop for Workloads {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Task {
    /// Watches the workloads of this section. Watches that stay as they are go on undisturbed.
    pub(super) fn watch_workloads(&mut self, section: Option<kube_state::Section>) {
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
            let sees = (self.reader.clone(), self.shard);
            let following = kube_state::run(section.clone(), sees, rules, status.clone(), send);
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

    /// Hands on the targets of watches on workloads.
    pub(super) async fn take_workloads(&mut self, number: u64, told: kube_state::Told) {
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
}

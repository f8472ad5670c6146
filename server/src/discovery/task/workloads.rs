//! The watches on a cluster's workloads, whose pages this process writes.

use std::sync::Arc;

use stillwell_engine::signal::Partial;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::super::groups::Groups;
use super::super::kube_state;
use super::Task;
use crate::scrape::{JobTargets, Target};

/// Watches on workloads.
pub(super) struct Workloads {
    pub(super) number: u64,
    /// What is watched: others that read the same objects may follow.
    sections: watch::Sender<kube_state::Section>,
    pub(super) status: Groups,
    pub(super) job: Option<JobTargets>,
    /// What is watched had been listed when this was found.
    pub(super) are_listed: bool,
    /// What these targets do not tell of.
    pub(super) partial: Vec<Partial>,
    /// Targets of watches before these, of kinds of which these have listed nothing yet.
    before: Vec<Target>,
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
        let Some(section) = section else {
            self.kube_state = None;
            return;
        };
        let known = self.kube_state.as_ref();
        let known = known.filter(|known| known.sections.borrow().reads_as(&section));
        let Some(known) = known else {
            // What was seen of other objects stays for queries, and signals are told of none of it.
            let before = self.kube_state.take().and_then(|mut one| one.job.take());
            self.kube_state = Some(self.begin_workloads(section, before));
            return;
        };
        known.sections.send_if_modified(|now| {
            let is_other = *now != section;
            *now = section;
            is_other
        });
    }

    fn begin_workloads(
        &mut self,
        section: kube_state::Section,
        before: Option<JobTargets>,
    ) -> Workloads {
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
        let (sections, section) = watch::channel(section);
        let following = kube_state::run(section, sees, rules, status.clone(), send);
        let task = tokio::spawn(async move {
            let hand_on = async {
                while let Some(job) = made.recv().await {
                    tell.send((number, job)).await.ok(); // the task ends with its runtime
                }
            };
            tokio::join!(following, hand_on);
        });
        let targets = before.as_ref().map(|job| job.found.targets.clone());
        Workloads {
            number,
            sections,
            status,
            job: before,
            are_listed: false,
            partial,
            before: targets.unwrap_or_default(),
            task: task.abort_handle(),
        }
    }

    /// Hands on the targets of watches on workloads.
    pub(super) async fn take_workloads(&mut self, number: u64, mut told: kube_state::Told) {
        let of = self.kube_state.as_mut().filter(|one| one.number == number);
        let Some(workloads) = of else {
            return; // of an earlier configuration
        };
        workloads.before = told.keep(std::mem::take(&mut workloads.before));
        let mut job = told.job;
        if let Some(shard) = self.shard {
            job.found.targets.retain(|target| shard.owns(target));
        }
        workloads.job = Some(job.clone());
        workloads.are_listed = told.not_listed.is_empty();
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

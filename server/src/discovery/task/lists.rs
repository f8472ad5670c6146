//! What the signals are told of jobs whose targets are not all known (rule S6f).

use std::collections::BTreeSet;

use stillwell_engine::signal::Partial;
use tokio::time::Instant;
use tracing::warn;

use super::super::followed::{Followed, NO_LIST};
use super::super::unlisted::{FirstLists, partial, unlisted};
use super::Task;
use crate::config::KubeState;

impl Task {
    /// Tells the signals, after our start, which jobs may have targets that nobody knows of yet. They are not awaited for long, for
    /// one whose source cannot be read must not keep the others'; what a snapshot knows of them stays for an hour.
    pub(super) fn tell_unlisted(&mut self) {
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
    pub(super) fn partial(&self) -> Vec<Partial> {
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
}

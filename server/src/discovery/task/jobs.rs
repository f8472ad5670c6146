//! The jobs and the mechanisms that find their targets. A mechanism that several jobs ask for, or that a reload leaves as it is,
//! runs once and goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::super::followed::Followed;
use super::super::groups::Groups;
use super::super::job::{Job, Source, predecessors};
use super::super::mechanism::Mechanism;
use super::super::unlisted::LISTS_AWAITED;
use super::Task;
use crate::config::ScrapeJob;
use crate::scrape::{JobTargets, target_options};

impl Task {
    /// Looks for the targets of all jobs, and scrapes what is known of them.
    pub(super) async fn replace(&mut self) {
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

    /// The first of `jobs` are those of the configuration file; objects of the cluster give the others.
    pub(super) fn configure(&mut self, jobs: Vec<ScrapeJob>) {
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

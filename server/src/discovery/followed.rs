//! A section whose objects are followed, and what they have given.
//!
//! A reload that changes what a section inherits begins anew with a list. Until that is there, what its objects gave before
//! stays; where nothing did, what its targets are is not known, for ten seconds at most.

use std::collections::BTreeSet;

use stillwell_engine::signal::{Partial, Unseen};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::groups::Groups;
use super::monitors::{Found, Given, Section};
use super::unlisted::LISTS_AWAITED;

/// Why the targets of what was configured a moment ago are not known.
pub(super) const NO_LIST: &str = "its discovery has given no list since it was configured";

/// A section of which the objects are followed.
pub(super) struct Followed {
    pub(super) number: u64,
    pub(super) section: Section,
    pub(super) status: Groups,
    /// What is scraped and recorded of it.
    pub(super) found: Found,
    /// What gives targets had been listed when this was found.
    pub(super) are_targets_listed: bool,
    /// What the same objects gave before a reload, until all are listed.
    before: Option<Found>,
    /// Why this is not all that there is, ...
    found_partial: Option<String>,
    /// ... and the same of what was handed on last, ...
    partial: Option<String>,
    /// ... which is believed until then at most, though targets of what was found since are not there yet.
    partial_until: Option<Instant>,
    task: AbortHandle,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Followed {
    /// `task` follows it. `before` is what was followed with the same options; `is_awaited` says that signals do not wait for
    /// its first list anyway.
    pub(super) fn new(
        (number, section, status): (u64, Section, Groups),
        task: AbortHandle,
        before: Option<&Followed>,
        is_awaited: bool,
    ) -> Followed {
        let found = before.map(|one| one.found.clone()).unwrap_or_default();
        let has_list = before.is_some_and(|one| one.are_targets_listed);
        let no_list = (is_awaited && !has_list).then(|| NO_LIST.to_owned());
        Followed {
            number,
            section,
            status,
            are_targets_listed: has_list,
            before: has_list.then(|| found.clone()),
            found,
            found_partial: before.and_then(|one| one.found_partial.clone()),
            partial: before.and_then(|one| one.partial.clone()).or(no_list),
            partial_until: None,
            task,
        }
    }

    /// Takes what its objects give now.
    pub(super) fn take(&mut self, given: Given) {
        self.found = given.found;
        self.found_partial = given.partial;
        match &self.before {
            Some(before) if !given.are_targets_listed => self.found.add_missing(before),
            _ => {
                self.before = None;
                self.are_targets_listed = given.are_targets_listed;
            }
        }
    }

    /// Takes notice of what is handed on: `is_listed` says of a job by name that its targets are.
    pub(super) fn settle(&mut self, is_listed: impl Fn(&str) -> bool, now: Instant) {
        if self.found_partial.is_some() || self.partial.is_none() {
            self.partial.clone_from(&self.found_partial);
            self.partial_until = None;
            return;
        }
        let until = *self.partial_until.get_or_insert(now + LISTS_AWAITED);
        let mut found = self.found.jobs.iter();
        let are_listed = self.are_targets_listed && found.all(|job| is_listed(&job.name));
        if are_listed || until <= now {
            (self.partial, self.partial_until) = (None, None);
        }
    }

    /// When it is to be settled once more, whatever happens.
    pub(super) fn due(&self) -> Option<Instant> {
        self.partial_until
    }

    /// Why some of its targets cannot be seen now, or could not when those that are scraped were found.
    pub(super) fn partial(&self) -> Option<Partial> {
        Some(Partial {
            job: self.status.what().to_owned(),
            is_of_any_name: true,
            unseen: Unseen::default(),
            why: self.status.partial().or_else(|| self.partial.clone())?,
        })
    }
}

impl Found {
    /// Adds the jobs and rules of the other that this has none of by their name.
    fn add_missing(&mut self, other: &Found) {
        let jobs: BTreeSet<String> = self.jobs.iter().map(|job| job.name.clone()).collect();
        let missing = other.jobs.iter().filter(|job| !jobs.contains(&job.name));
        self.jobs.extend(missing.cloned());
        let rules: BTreeSet<String> = self.rules.iter().map(|file| file.path.clone()).collect();
        let missing = other
            .rules
            .iter()
            .filter(|file| !rules.contains(&file.path));
        self.rules.extend(missing.cloned());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use stillwell_engine::promql::Features;

    use super::*;
    use crate::config::{Global, job_from_json};

    fn followed(before: Option<&Followed>) -> Followed {
        let (config, _) = crate::config::load("monitors: {}\n");
        let section = Section {
            options: config.expect("it parses").monitors.remove(0),
            global: Global::default(),
            features: Features::default(),
        };
        let status = Groups::new("monitors".to_owned(), Arc::default());
        let task = tokio::spawn(async {}).abort_handle();
        Followed::new((1, section, status), task, before, true)
    }

    fn given(jobs: &[&str], are_targets_listed: bool, partial: Option<&str>) -> Given {
        let job = |name: &&str| {
            let text = format!("{{\"job_name\": \"{name}\"}}");
            job_from_json(&text, &Global::default()).expect("a job")
        };
        Given {
            found: Found {
                jobs: jobs.iter().map(job).collect(),
                rules: Vec::new(),
            },
            are_targets_listed,
            partial: partial.map(str::to_owned),
        }
    }

    fn jobs(followed: &Followed) -> Vec<&str> {
        let jobs = followed.found.jobs.iter();
        jobs.map(|job| &*job.name).collect()
    }

    fn why(followed: &Followed) -> Option<String> {
        followed.partial().map(|partial| partial.why)
    }

    /// A reload of `external_labels` dropped the targets of all monitors until they were listed again.
    #[tokio::test]
    async fn what_objects_gave_before_a_reload_stays_until_all_are_listed() {
        let now = Instant::now();
        let mut first = followed(None);
        first.take(given(&["a", "b"], true, None));
        first.settle(|_| true, now);
        let mut second = followed(Some(&first));
        assert_eq!(jobs(&second), ["a", "b"]);
        assert!(second.are_targets_listed && why(&second).is_none());
        second.take(given(&["b", "c"], false, None));
        assert_eq!(jobs(&second), ["b", "c", "a"]);
        second.take(given(&["c"], true, None));
        assert_eq!(jobs(&second), ["c"]);
    }

    #[tokio::test]
    async fn what_nobody_has_listed_is_not_known_for_ten_seconds() {
        let now = Instant::now();
        let mut followed = followed(None);
        followed.settle(|_| true, now);
        assert_eq!(why(&followed).as_deref(), Some(NO_LIST));
        assert_eq!(followed.due(), Some(now + Duration::from_secs(10)));
        followed.settle(|_| true, now + Duration::from_secs(10));
        assert_eq!((why(&followed), followed.due()), (None, None));
    }

    /// The part ended before the pods of what was found then were listed, and the others' sum was told.
    #[tokio::test]
    async fn a_part_ends_with_the_lists_of_what_was_missing() {
        let now = Instant::now();
        let mut followed = followed(None);
        followed.take(given(&["a"], true, Some("too many")));
        followed.settle(|_| true, now);
        assert_eq!(why(&followed).as_deref(), Some("too many"));
        followed.take(given(&["a", "b"], true, None));
        let later = now + Duration::from_secs(3_600);
        followed.settle(|name| name == "a", later);
        assert_eq!(why(&followed).as_deref(), Some("too many"));
        followed.settle(|_| true, later);
        assert!(why(&followed).is_none());
    }
}

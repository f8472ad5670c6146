//! A section whose objects are followed, and what they have given.
//!
//! A reload that changes what a section inherits begins anew with lists. What an object gave before stays until the list that
//! would have it is there; where nothing did, what its targets are is not known, for ten seconds at most.

use std::sync::Arc;

use stillwell_engine::signal::{Partial, Unseen};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::groups::Groups;
use super::monitors::{ByObject, Given, Section};
use super::unlisted::LISTS_AWAITED;
use crate::config::ScrapeJob;
use crate::rule_groups::RuleFile;

/// Why the targets of what was configured a moment ago are not known.
pub(super) const NO_LIST: &str = "its discovery has given no list since it was configured";

/// A section of which the objects are followed.
pub(super) struct Followed {
    pub(super) number: u64,
    pub(super) section: Section,
    pub(super) status: Groups,
    /// What is scraped and recorded of it.
    pub(super) objects: ByObject,
    /// What gives targets had been listed when this was found.
    pub(super) are_targets_listed: bool,
    /// What objects gave before a reload, which are not listed yet.
    before: ByObject,
    /// All of it had been listed then, and is not yet.
    was_listed: bool,
    /// Why that was not all that there was.
    before_partial: Option<String>,
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
        let objects = before.map(|one| one.objects.clone()).unwrap_or_default();
        let has_list = before.is_some_and(|one| one.are_targets_listed);
        let no_list = (is_awaited && before.is_none()).then(|| NO_LIST.to_owned());
        let partial = before.and_then(|one| one.found_partial.clone());
        Followed {
            number,
            section,
            status,
            are_targets_listed: has_list,
            before: objects.clone(),
            objects,
            was_listed: has_list,
            before_partial: partial.clone(),
            found_partial: partial,
            partial: before.and_then(|one| one.partial.clone()).or(no_list),
            partial_until: None,
            task,
        }
    }

    /// Takes what its objects give now.
    pub(super) fn take(&mut self, given: Given) {
        self.before.retain(|id, _| given.not_read.has(id));
        self.objects = given.by_object;
        for (id, found) in &self.before {
            let objects = self.objects.entry(id.clone());
            objects.or_insert_with(|| Arc::clone(found));
        }
        if self.before.is_empty() {
            self.before_partial = None;
        }
        self.found_partial = given.partial.or_else(|| self.before_partial.clone());
        self.was_listed &= !given.are_targets_listed;
        self.are_targets_listed = given.are_targets_listed || self.was_listed;
    }

    /// Its jobs. Two objects may give one of the same name.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &ScrapeJob> {
        self.objects.values().flat_map(|found| &found.jobs)
    }

    /// Its files of rules.
    pub(super) fn rules(&self) -> impl Iterator<Item = &RuleFile> {
        self.objects.values().flat_map(|found| &found.rules)
    }

    /// Takes notice of what is handed on: `is_listed` says of a job by name that its targets are.
    pub(super) fn settle(&mut self, is_listed: impl Fn(&str) -> bool, now: Instant) {
        if self.found_partial.is_some() || self.partial.is_none() {
            self.partial.clone_from(&self.found_partial);
            self.partial_until = None;
            return;
        }
        let until = *self.partial_until.get_or_insert(now + LISTS_AWAITED);
        let are_listed = self.are_targets_listed && self.jobs().all(|job| is_listed(&job.name));
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use stillwell_engine::promql::Features;

    use super::super::monitors::{Found, NotRead};
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

    /// What podmonitors and servicemonitors of these names give, and which of both kinds are listed.
    fn given(jobs: &[&str], listed: &[usize], partial: Option<&str>) -> Given {
        let kind = |name: &str| usize::from(name.starts_with('s'));
        let object = |name: &&str| {
            let text = format!("{{\"job_name\": \"{name}\"}}");
            let job = job_from_json(&text, &Global::default()).expect("a job");
            let found = Found {
                jobs: vec![job],
                rules: Vec::new(),
            };
            ((kind(name), format!("n/{name}")), Arc::new(found))
        };
        let missing = [0, 1].into_iter().filter(|kind| !listed.contains(kind));
        Given {
            by_object: jobs.iter().map(object).collect(),
            not_read: NotRead {
                watches: missing.map(|kind| (kind, String::new())).collect(),
                objects: BTreeSet::new(),
            },
            are_targets_listed: listed == [0, 1],
            partial: partial.map(str::to_owned),
        }
    }

    fn jobs(followed: &Followed) -> Vec<&str> {
        followed.jobs().map(|job| &*job.name).collect()
    }

    fn why(followed: &Followed) -> Option<String> {
        followed.partial().map(|partial| partial.why)
    }

    /// A reload of `external_labels` dropped the targets of all monitors until they were listed again; and those of all others where
    /// one kind may not be read.
    #[tokio::test]
    async fn what_objects_gave_before_a_reload_stays_until_their_list_is_there() {
        let now = Instant::now();
        for all_listed in [true, false] {
            let listed: &[usize] = if all_listed { &[0, 1] } else { &[0] };
            let mut first = followed(None);
            first.take(given(&["a", "b"], listed, None));
            first.settle(|_| true, now);
            first.settle(|_| true, now + LISTS_AWAITED);
            let mut second = followed(Some(&first));
            assert_eq!(jobs(&second), ["a", "b"]);
            assert_eq!(second.are_targets_listed, all_listed);
            assert!(why(&second).is_none());
            second.take(given(&["s"], &[1], None));
            assert_eq!(jobs(&second), ["a", "b", "s"]);
            second.take(given(&["b", "c", "s"], &[0], None));
            assert_eq!(jobs(&second), ["b", "c", "s"]);
            second.take(given(&["c"], &[0, 1], None));
            assert_eq!(jobs(&second), ["c"]);
            assert!(second.are_targets_listed);
        }
    }

    /// A reload while a part of what there is could be seen: the first list of another kind ended the part.
    #[tokio::test]
    async fn a_part_stays_one_while_it_stands_in_for_a_list() {
        let now = Instant::now();
        let mut first = followed(None);
        first.take(given(&["a"], &[0, 1], Some("too many")));
        first.settle(|_| true, now);
        let mut second = followed(Some(&first));
        second.take(given(&["a", "s"], &[1], None));
        second.settle(|_| true, now + LISTS_AWAITED * 2);
        assert_eq!(why(&second).as_deref(), Some("too many"));
        second.take(given(&["a", "b", "s"], &[0, 1], None));
        second.settle(|_| true, now + LISTS_AWAITED * 2);
        assert!(why(&second).is_none());
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
        followed.take(given(&["a"], &[0, 1], Some("too many")));
        followed.settle(|_| true, now);
        assert_eq!(why(&followed).as_deref(), Some("too many"));
        followed.take(given(&["a", "b"], &[0, 1], None));
        let later = now + Duration::from_secs(3_600);
        followed.settle(|name| name == "a", later);
        assert_eq!(why(&followed).as_deref(), Some("too many"));
        followed.settle(|_| true, later);
        assert!(why(&followed).is_none());
    }
}

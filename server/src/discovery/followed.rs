//! A section whose objects are followed, and what they have given.
//!
//! A reload that changes what a section inherits begins anew with lists. What an object gave before stays until the list that
//! would have it is there; where nothing did, what its targets are is not known, for ten seconds at most. What was a part before
//! stays one until the list is there that lacked something, or for a minute: it may be that nobody may read it any more.

use stillwell_engine::signal::{Partial, Unseen};
use tokio::task::AbortHandle;
use tokio::time::{Duration, Instant};

use super::groups::Groups;
use super::monitors::{ByObject, Found, Given, Id, NotRead, Part, Section};
use super::stand_in::StandIn;
use super::unlisted::LISTS_AWAITED;
use crate::config::ScrapeJob;
use crate::rule_groups::RuleFile;

/// Why the targets of what was configured a moment ago are not known.
pub(super) const NO_LIST: &str = "its discovery has given no list since it was configured";

/// What lists of before lacked is left out of what is known to lack after so long without others: an API server that refuses them
/// must not keep everybody's signals unknown.
const LACKED_MISSED: Duration = Duration::from_secs(60);

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
    before: StandIn<Id, Found>,
    /// What that lacked, ...
    lacked: NotRead,
    /// ... which is believed until then at most, though no list has it.
    lacked_until: Option<Instant>,
    /// Why what is found since is not all that there is, ...
    found: Option<Part>,
    /// ... why all of it was not when it was handed on last, ...
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
        let no_list = (is_awaited && before.is_none()).then(|| NO_LIST.to_owned());
        let partial = before.and_then(|one| one.partial.clone()).or(no_list);
        let (before, lacked) = before.map(Followed::stands_in).unwrap_or_default();
        Followed {
            number,
            section,
            status,
            objects: before.found.clone(),
            are_targets_listed: before.is_list,
            before,
            lacked,
            lacked_until: None,
            found: None,
            partial,
            partial_until: None,
            task,
        }
    }

    /// What it has for one that takes its place, and what that lacks.
    fn stands_in(&self) -> (StandIn<Id, Found>, NotRead) {
        let mut lacked = match self.before.partial {
            Some(_) => self.lacked.clone(),
            None => NotRead::default(),
        };
        if let Some(part) = &self.found {
            lacked.watches.extend(part.lacks.watches.iter().cloned());
            lacked.objects.extend(part.lacks.objects.iter().cloned());
        }
        let before = StandIn {
            found: self.objects.clone(),
            is_list: self.are_targets_listed,
            partial: self.found_partial().cloned(),
        };
        (before, lacked)
    }

    /// Why what is found is not all that there is.
    fn found_partial(&self) -> Option<&String> {
        let found = self.found.as_ref().map(|part| &part.why);
        found.or(self.before.partial.as_ref())
    }

    /// Takes what its objects give now.
    pub(super) fn take(&mut self, given: Given) {
        let before = &mut self.before;
        before.found.retain(|id, _| given.not_read.has(id));
        before.is_list &= !given.are_targets_listed;
        if !given.not_read.awaits(&self.lacked) {
            before.partial = None;
        }
        self.objects = before.with(given.by_object);
        self.found = given.partial;
        self.are_targets_listed = given.are_targets_listed || before.is_list;
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
        if self.before.partial.is_some() {
            let until = *self.lacked_until.get_or_insert(now + LACKED_MISSED);
            self.before.partial.take_if(|_| until <= now);
        }
        let found = self.found_partial().cloned();
        if found.is_some() || self.partial.is_none() {
            (self.partial, self.partial_until) = (found, None);
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
        let lacked_until = self.lacked_until.filter(|_| self.before.partial.is_some());
        let until = self.partial_until.into_iter().chain(lacked_until);
        until.min()
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
    use std::sync::Arc;

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
            partial: partial.map(|why| Part {
                why: why.to_owned(),
                lacks: NotRead {
                    watches: [(0, String::new())].into(),
                    objects: BTreeSet::new(),
                },
            }),
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

    /// Of a part one object, or all of its kind, could not be read any more after a reload, and every signal was unknown for ever.
    #[tokio::test]
    async fn a_part_of_before_ends_with_the_list_that_lacked_something_or_after_a_minute_without_it()
     {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut first = followed(None);
        first.take(given(&["a"], &[0, 1], Some("too many")));
        first.settle(|_| true, now);
        let mut second = followed(Some(&first));
        let mut without_secret = given(&["b"], &[0, 1], None);
        without_secret.not_read.objects = [(0, "n/a".to_owned())].into();
        second.take(without_secret);
        second.settle(|_| true, now);
        assert_eq!(jobs(&second), ["a", "b"]);
        assert_eq!((why(&second), second.due()), (None, None));
        let mut third = followed(Some(&first));
        third.take(given(&["s"], &[1], None));
        for (seconds, due) in [(0, Some(60)), (59, Some(60)), (60, None)] {
            third.settle(|_| true, after(seconds));
            assert_eq!(why(&third).is_some(), due.is_some(), "{seconds}");
            assert_eq!(third.due(), due.map(after), "{seconds}");
        }
        assert_eq!(jobs(&third), ["a", "s"]);
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

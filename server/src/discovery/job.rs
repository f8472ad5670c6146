//! A scrape job with the mechanisms that find its targets, and what became of each group of them.
//!
//! Where a reload gives a job another mechanism of the same kind, what the one before has found stays until the new one has
//! read its source, as a source that cannot be read keeps its last targets (rule S3a): the list, or the part of one that was read.
//! Where both read the same source, and the job's rules are those of before, a list stands for its list; otherwise its list is
//! awaited.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::mechanism::Mechanism;
use super::shard::Shard;
use super::stand_in::StandIn;
use crate::config::{Discovery, ScrapeJob};
use crate::scrape::{JobTargets, LabelRoom, Outcome, TargetGroup, collect, outcomes};

/// A job with its mechanisms.
pub(super) struct Job {
    pub(super) config: ScrapeJob,
    pub(super) options: Arc<ScrapeJob>,
    pub(super) mechanisms: Vec<Source>,
    /// Each mechanism had been read once, or one in its place before, when its targets were handed on.
    pub(super) is_listed: bool,
    /// A reload has given it a mechanism that has found nothing yet: it is waited for.
    pub(super) is_awaited: bool,
    /// Why these were not all that there are, where that is so.
    pub(super) partial: Option<String>,
    /// By mechanism and source.
    pub(super) known: BTreeMap<(usize, Arc<str>), KnownGroup>,
}

/// A mechanism of a job.
pub(super) struct Source {
    pub(super) mechanism: Arc<Mechanism>,
    /// The version of its groups that the job has seen.
    seen: Option<u64>,
    /// What was found in its place before, until it has read its source.
    before: StandIn<Arc<str>, TargetGroup>,
}

impl Source {
    /// `before`: what the job had in its place so far; `is_alike` says whether the job's rules are those of then.
    pub(super) fn new(
        mechanism: Arc<Mechanism>,
        before: Option<&Source>,
        is_alike: bool,
    ) -> Source {
        let mut source = Source {
            mechanism,
            seen: None,
            before: StandIn::default(),
        };
        let Some(before) = before else { return source };
        let (known, next) = (&before.mechanism, &source.mechanism);
        let is_list = is_alike && known.config.reads_as(&next.config);
        source.before = match known.groups.is_same(&next.groups) {
            true => before.before.clone(),
            false => before.found(),
        };
        source.before.is_list &= is_list;
        source
    }

    /// What it has found and what stands in for the rest.
    fn found(&self) -> StandIn<Arc<str>, TargetGroup> {
        let found = self.mechanism.groups.get();
        let before = &self.before;
        match found.is_read {
            true => StandIn {
                found: found.groups,
                is_list: true,
                partial: found.partial,
            },
            false => StandIn {
                found: before.with(found.groups),
                is_list: before.is_list,
                partial: found.partial.or_else(|| before.partial.clone()),
            },
        }
    }

    /// Whether nothing is known of its targets.
    pub(super) fn is_unread(&self) -> bool {
        !self.before.is_list && !self.mechanism.groups.get().is_read
    }
}

/// What each mechanism of a job takes the place of: of those that are no mechanism any more the one that reads the same source,
/// or else the one of its kind at the same place. Each is taken once.
pub(super) fn predecessors<'s>(now: &[Discovery], before: &'s [Source]) -> Vec<Option<&'s Source>> {
    let mut taken = vec![false; before.len()];
    let mut of: Vec<Option<&Source>> = vec![None; now.len()];
    let kind = std::mem::discriminant::<Discovery>;
    // Of what was at one place, and is at another.
    type Placed<'d> = (usize, &'d Discovery);
    let is_same = |(_, was): Placed<'_>, (_, is): Placed<'_>| was == is;
    let reads_as = |(_, was): Placed<'_>, (_, is): Placed<'_>| was.reads_as(is);
    let is_in_place =
        |(at, was): Placed<'_>, (place, is): Placed<'_>| at == place && kind(was) == kind(is);
    type Fits<'f> = &'f dyn Fn(Placed<'_>, Placed<'_>) -> bool;
    for fits in [&is_same as Fits<'_>, &reads_as, &is_in_place] {
        for next in now.iter().enumerate() {
            let is_free =
                |at: &usize| !taken[*at] && fits((*at, &before[*at].mechanism.config), next);
            if of[next.0].is_none()
                && let Some(at) = (0..before.len()).find(is_free)
            {
                (of[next.0], taken[at]) = (Some(&before[at]), true);
            }
        }
    }
    of
}

/// A group and what became of its targets; used again while the group stays as it is.
type KnownGroup = (Arc<TargetGroup>, Vec<Outcome>);

impl Job {
    /// Whether some of its groups have changed since its targets were looked for.
    pub(super) fn is_dirty(&self) -> bool {
        let mut mechanisms = self.mechanisms.iter();
        mechanisms.any(|one| one.seen != Some(one.mechanism.groups.version()))
    }

    /// The targets as of now, of which others have theirs.
    pub(super) fn targets(&mut self, shard: Option<Shard>) -> JobTargets {
        (self.is_listed, self.partial) = (true, None);
        let (mut known, mut room) = (BTreeMap::new(), LabelRoom::default());
        for (at, source) in self.mechanisms.iter_mut().enumerate() {
            let listed = source.mechanism.groups.get();
            source.seen = Some(listed.version);
            if listed.is_read {
                source.before = StandIn::default();
            }
            let partial = listed.partial.or_else(|| source.before.partial.clone());
            self.is_listed &= (listed.is_read || source.before.is_list) && partial.is_none();
            self.partial = self.partial.take().or(partial);
            for (source, group) in source.before.with(listed.groups) {
                let key = (at, source);
                let value = match self.known.remove(&key) {
                    Some((before, outcomes))
                        if Arc::ptr_eq(&before, &group)
                            && !outcomes.iter().any(Outcome::lacks_room) =>
                    {
                        outcomes.iter().for_each(|one| one.count_in(&mut room));
                        (before, outcomes)
                    }
                    _ => {
                        let outcomes = outcomes(&self.config, &self.options, &group, &mut room);
                        (group, outcomes)
                    }
                };
                known.insert(key, value);
            }
        }
        self.known = known;
        self.is_awaited &= !self.is_listed;
        let all = self.known.values().flat_map(|(_, outcomes)| outcomes);
        let mut found = collect(&self.config, all);
        if let Some(shard) = shard {
            found.targets.retain(|target| shard.owns(target));
        }
        JobTargets {
            name: self.config.name.clone(),
            http: self.config.http.clone(),
            dropped_targets_max: self.config.limits.dropped_targets_max,
            found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Global, job_from_json};

    /// A job with lists at these addresses.
    fn job(lists: &[(&str, &str)], relabel: &str) -> ScrapeJob {
        let entry = |(url, refresh): &(&str, &str)| {
            format!("{{\"url\": \"http://{url}\", \"refresh_interval\": \"{refresh}\"}}")
        };
        let lists: Vec<String> = lists.iter().map(entry).collect();
        let lists = lists.join(", ");
        let text = format!(
            "{{\"job_name\": \"j\", \"relabel_configs\": [{relabel}], \"http_sd_configs\": [{lists}]}}"
        );
        job_from_json(&text, &Global::default()).expect("a job")
    }

    /// The job with this configuration, which takes the place of another.
    fn next(config: ScrapeJob, before: Option<&Job>) -> Job {
        let own = before.map_or(&[][..], |job| &job.mechanisms[..]);
        let is_alike = before.is_some_and(|job| job.config.relabel == config.relabel);
        let of = predecessors(&config.discovery, own);
        let sources = config.discovery.iter().zip(of).map(|(way, before)| {
            let same = own.iter().find(|one| one.mechanism.config == *way);
            let mechanism = same.map_or_else(
                || Arc::new(Mechanism::idle(way)),
                |one| Arc::clone(&one.mechanism),
            );
            Source::new(mechanism, before, is_alike)
        });
        Job {
            mechanisms: sources.collect(),
            options: Arc::new(config.clone()),
            is_listed: false,
            is_awaited: false,
            partial: None,
            known: BTreeMap::new(),
            config,
        }
    }

    fn found(job: &mut Job) -> usize {
        job.targets(None).found.targets.len()
    }

    fn group(of: &str, count: usize) -> TargetGroup {
        let address = |port| crate::scrape::address_labels(&format!("{of}:{}", port + 1));
        TargetGroup {
            targets: (0..count).map(address).collect(),
            ..TargetGroup::default()
        }
    }

    /// So many targets at a place of the job: a list.
    fn find(job: &Job, at: usize, count: usize) {
        let groups = &job.mechanisms[at].mechanism.groups;
        groups.replace([("list".to_owned(), group(&format!("h{at}"), count))]);
    }

    /// So many of one name of the first source: no list.
    fn find_part(job: &Job, name: &str, count: usize) {
        let groups = &job.mechanisms[0].mechanism.groups;
        groups.put_part(name.to_owned(), group(name, count));
    }

    /// What another list at the same place had found stood for a list of this one, and 5 of 35 was told while it was not answered.
    #[test]
    fn only_a_list_of_the_same_source_under_the_same_rules_stands_for_a_list() {
        let both = [("old", "1m"), ("big", "1m")];
        let rule = "{\"target_label\": \"x\", \"replacement\": \"y\"}";
        for (lists, relabel, count, is_unread) in [
            (&[("big", "1m")][..], "", 30, false),
            (&[("big", "2m")], "", 30, false),
            (&[("big", "2m"), ("old", "2m")], "", 35, false),
            (&[("big", "1m"), ("new", "1m")], "", 30, true),
            (&[("new", "1m")], "", 5, true),
            (&[("big", "2m")], rule, 30, true),
            (&[("big", "1m")], rule, 30, false),
        ] {
            let first = next(job(&both, ""), None);
            find(&first, 0, 5);
            find(&first, 1, 30);
            let mut second = next(job(lists, relabel), Some(&first));
            let case = format!("{lists:?} {relabel}");
            assert_eq!(found(&mut second), count, "{case}");
            let are_unread = second.mechanisms.iter().any(Source::is_unread);
            assert_eq!(are_unread, is_unread, "{case}");
            assert_eq!(second.is_listed, !is_unread, "{case}");
        }
    }

    /// Of two names one was never answered: a reload while the other was not either took its targets away, and the sum of the other
    /// jobs was told.
    #[test]
    fn what_was_read_of_a_source_stays_where_others_of_it_never_were() {
        let first = next(job(&[("a", "1m")], ""), None);
        find_part(&first, "one", 30);
        let mut second = next(job(&[("a", "2m")], ""), Some(&first));
        assert_eq!(found(&mut second), 30);
        assert!(second.mechanisms[0].is_unread() && !second.is_listed);
        find_part(&second, "other", 3);
        assert_eq!(found(&mut second), 33);
        let mut third = next(job(&[("a", "3m")], ""), Some(&second));
        assert_eq!(found(&mut third), 33);
        find_part(&third, "one", 31);
        assert_eq!(found(&mut third), 34, "what was found now is meant");
        find(&third, 0, 7);
        assert_eq!(found(&mut third), 7);
        assert!(third.is_listed);
    }

    /// A part became all there is with a reload, and the sum without the rest was told.
    #[test]
    fn a_part_stays_one_while_it_stands_in_for_a_list() {
        let first = next(job(&[("a", "1m")], ""), None);
        find(&first, 0, 5);
        first.mechanisms[0]
            .mechanism
            .groups
            .set_partial(Some("too many".to_owned()));
        let mut second = next(job(&[("a", "2m")], ""), Some(&first));
        let mut third = next(job(&[("a", "3m")], ""), Some(&second));
        for job in [&mut second, &mut third] {
            assert_eq!(found(job), 5);
            assert_eq!(job.partial.as_deref(), Some("too many"));
            assert!(!job.is_listed);
            find(job, 0, 7);
            assert_eq!(found(job), 7);
            assert!(job.is_listed && job.partial.is_none());
        }
    }
}

//! A scrape job with the mechanisms that find its targets, and what became of each group of them.
//!
//! Where a reload gives a job another mechanism of the same kind, what the one before has found stays until the new one has
//! read its source, as a source that cannot be read keeps its last targets (rule S3a).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::groups::BySource;
use super::mechanism::Mechanism;
use super::shard::Shard;
use crate::config::ScrapeJob;
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
    before: BySource,
    /// Whether that was all there was.
    was_read: bool,
}

impl Source {
    /// `in_place`: what the job had in this place so far.
    pub(super) fn new(mechanism: Arc<Mechanism>, in_place: Option<&Source>) -> Source {
        let kind = std::mem::discriminant(&mechanism.config);
        let of_kind = in_place.filter(|one| std::mem::discriminant(&one.mechanism.config) == kind);
        let (before, was_read) = of_kind.map_or_else(Default::default, |one| {
            let found = one.mechanism.groups.get();
            match found.is_read && !one.mechanism.groups.is_same(&mechanism.groups) {
                true => (found.groups, true),
                false => (one.before.clone(), one.was_read),
            }
        });
        Source {
            mechanism,
            seen: None,
            before,
            was_read,
        }
    }

    /// Whether nothing is known of its targets.
    pub(super) fn is_unread(&self) -> bool {
        !self.was_read && !self.mechanism.groups.get().is_read
    }
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
                source.before.clear();
            }
            self.is_listed &= (listed.is_read || source.was_read) && listed.partial.is_none();
            self.partial = self.partial.take().or(listed.partial);
            let before = source.before.iter();
            let before = before.map(|(source, group)| (Arc::clone(source), Arc::clone(group)));
            // The same source may be in both: the one that was found now is meant.
            let found: BySource = before.chain(listed.groups).collect();
            for (source, group) in found {
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

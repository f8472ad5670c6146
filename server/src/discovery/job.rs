//! A scrape job with the mechanisms that find its targets, and what became of each group of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::mechanism::Mechanism;
use super::shard::Shard;
use crate::config::ScrapeJob;
use crate::scrape::{JobTargets, LabelRoom, Outcome, TargetGroup, collect, outcomes};

/// A job with its mechanisms.
pub(super) struct Job {
    pub(super) config: ScrapeJob,
    pub(super) options: Arc<ScrapeJob>,
    /// Each with the version of its groups that the job has seen.
    pub(super) mechanisms: Vec<(Arc<Mechanism>, Option<u64>)>,
    /// Each mechanism had been read once when its targets were handed on.
    pub(super) is_listed: bool,
    /// Why these were not all that there are, where that is so.
    pub(super) partial: Option<String>,
    /// By mechanism and source.
    pub(super) known: BTreeMap<(usize, Arc<str>), KnownGroup>,
}

/// A group and what became of its targets; used again while the group stays as it is.
type KnownGroup = (Arc<TargetGroup>, Vec<Outcome>);

impl Job {
    /// Whether some of its groups have changed since its targets were looked for.
    pub(super) fn is_dirty(&self) -> bool {
        let mut mechanisms = self.mechanisms.iter();
        mechanisms.any(|(mechanism, seen)| *seen != Some(mechanism.groups.version()))
    }

    /// The targets as of now, of which others have theirs.
    pub(super) fn targets(&mut self, shard: Option<Shard>) -> JobTargets {
        (self.is_listed, self.partial) = (true, None);
        let (mut known, mut room) = (BTreeMap::new(), LabelRoom::default());
        for (at, (mechanism, seen)) in self.mechanisms.iter_mut().enumerate() {
            let listed = mechanism.groups.get();
            *seen = Some(listed.version);
            self.is_listed &= listed.is_read && listed.partial.is_none();
            self.partial = self.partial.take().or(listed.partial);
            for (source, group) in listed.groups {
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

//! Which targets discovery lists, and the groups that they are of.

use super::{Facts, TargetFacts};
use crate::labels::Labels;
use crate::scrape::TargetSpec;
use crate::store::{ClockId, TargetId};

impl Facts {
    /// Adds a target; `now_ms` is the time of the newest scrape of any.
    pub(crate) fn add(&mut self, id: TargetId, spec: &TargetSpec, now_ms: i64) {
        let facts = TargetFacts {
            added_ms: now_ms,
            ..TargetFacts::new(spec)
        };
        // Of another that was there under other labels it is not known what it has done. Only of one that is not ready it matters.
        let may_be_new =
            spec.not_ready && !spec.address.is_empty() && !self.knows_address(&spec.address);
        let group = self.groups.entry(facts.group.clone()).or_default();
        group.targets += 1;
        group.empty_since_ms = None;
        for (name, value) in spec.labels.iter() {
            group.add_label_value(name, value);
        }
        let is_known = |since_ms: i64| now_ms.saturating_sub(since_ms) > facts.first_page_wait_ms();
        let facts = TargetFacts {
            values_version: group.values_version,
            joined_ms: (may_be_new && group.first_good_ms.is_some_and(is_known)).then_some(now_ms),
            ..facts
        };
        if self.targets.len() <= id.index() {
            self.targets.resize_with(id.index() + 1, || None);
        }
        self.targets[id.index()] = Some(facts);
        self.epoch += 1;
    }

    pub(crate) fn remove(&mut self, id: TargetId, at_ms: i64) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::take) else {
            return;
        };
        self.epoch += 1;
        self.record_structure_change_of_all();
        self.left_ms = self.left_ms.max(at_ms);
        self.targets_with_losses -= usize::from(facts.has_losses);
        let may_have_had = |labels: &Labels| facts.may_have_had(labels);
        self.owner_leaves(&facts.name, &facts.replicated, may_have_had);
        self.requirements.forget(id);
        if let Some(group) = self.groups.get_mut(&facts.group) {
            group.holders.retain(|_, holder| *holder != id);
            group.targets -= 1;
            group.awaiting -= usize::from(facts.awaits_page);
            if group.targets == 0 {
                group.empty_since_ms = Some(at_ms);
            }
        }
        self.forget_what_nobody_shows(&facts.group);
        self.remember_left(facts, at_ms);
    }

    /// Notes whether discovery calls a target ready.
    pub(crate) fn set_not_ready(&mut self, id: TargetId, not_ready: bool) {
        let target = self.targets.get_mut(id.index()).and_then(Option::as_mut);
        if let Some(target) = target
            && target.not_ready != not_ready
        {
            target.not_ready = not_ready;
            target.never_ready &= not_ready;
            self.epoch += 1;
        }
    }

    pub(crate) fn target(&self, id: TargetId) -> Option<&TargetFacts> {
        self.targets.get(id.index())?.as_ref()
    }

    /// The target whose scrapes a clock lists, while discovery lists it.
    pub(crate) fn target_of(&self, clock: ClockId) -> Option<&TargetFacts> {
        self.target(clock.target()?)
    }

    /// Targets that discovery lists.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (TargetId, &TargetFacts)> {
        self.targets
            .iter()
            .enumerate()
            .filter_map(|(at, facts)| Some((TargetId(at as u32), facts.as_ref()?)))
    }

    /// Removes groups that have had no target for longer than `grace_ms`.
    pub(crate) fn forget_empty_groups(&mut self, now_ms: i64, grace_ms: i64) {
        let before = self.groups.len();
        self.groups.retain(|_, group| {
            group
                .empty_since_ms
                .is_none_or(|since_ms| now_ms - since_ms <= grace_ms)
        });
        self.epoch += (before - self.groups.len()) as u64;
    }
}

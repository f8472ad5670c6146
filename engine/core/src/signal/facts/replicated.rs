//! Series that several targets show as theirs: replicas of a collector, whose labels are honoured (`honor_labels`). One of them
//! has the series. When its page no longer shows it, another's has it from its next page but one at the latest on; until then what reads it is not known.

use super::{Facts, LeftOut};
use crate::labels::Labels;
use crate::not_known::NotKnown;
use crate::store::TargetId;

/// What is known of such series of one target.
#[derive(Debug, Default)]
pub(crate) struct Replicated {
    /// Samples of its newest page whose series another target has.
    shown: LeftOut,
    /// Those of them whose series have ended since.
    ended: NotKnown,
}

impl Replicated {
    /// Whether its newest page shows series of this metric that another target has.
    pub(crate) fn shows(&self, metric: &str) -> bool {
        self.shown.of(metric).is_some()
    }

    /// The samples of those, as far as they are known by their labels.
    pub(super) fn samples(&self) -> impl Iterator<Item = &Labels> {
        self.shown.samples()
    }

    /// The metrics of those.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &str> {
        self.shown.iter().map(|(metric, _)| metric)
    }

    /// What its next page will give a value.
    pub(crate) fn not_known(&self) -> &NotKnown {
        &self.ended
    }
}

impl Facts {
    /// Each sample of a page of a target has its place: what others have ended is its own now, or is not on it either, and these are
    /// others'.
    pub(crate) fn note_replicated(&mut self, id: TargetId, shown: LeftOut) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        // As of series that are its own.
        for labels in shown.samples() {
            self.epoch += u64::from(facts.record_replaced_labels(labels));
        }
        let (before, now) = (facts.replicated.shown.is_empty(), shown.is_empty());
        self.with_replicated = self.with_replicated + usize::from(!now) - usize::from(!before);
        let ended = NotKnown::default();
        facts.replicated = Replicated { shown, ended };
    }

    /// The targets that show series which another has.
    pub(crate) fn with_replicated(&self) -> Vec<TargetId> {
        if self.with_replicated == 0 {
            return Vec::new();
        }
        let listed = self.listed();
        let of = listed.filter(|(_, target)| !target.replicated.shown.is_empty());
        of.map(|(id, _)| id).collect()
    }

    /// Whether one of these would list another series of a metric that has ended.
    pub(crate) fn list_more_ended(&self, of: &[TargetId], metric: &str) -> bool {
        let mut targets = of.iter().filter_map(|id| self.target(*id));
        targets.any(|target| {
            target.replicated.shows(metric) && !target.replicated.ended.is_full(metric)
        })
    }

    /// A series of `owner` has ended: it is not known where one of the others shows it.
    pub(crate) fn replicated_ended(
        &mut self,
        owner: TargetId,
        others: &[TargetId],
        labels: &Labels,
    ) {
        let name = self.target(owner).map(|owner| owner.name.clone());
        let name = name.unwrap_or_default();
        for other in others.iter().filter(|other| **other != owner) {
            let facts = self.targets.get_mut(other.index());
            let Some(facts) = facts.and_then(Option::as_mut) else {
                continue;
            };
            let metric = labels.metric_name().unwrap_or("");
            let shown = facts.replicated.shown.of(metric);
            if !shown.is_some_and(|shown| shown.may_have(labels)) {
                continue;
            }
            let Replicated { ended, .. } = &mut facts.replicated;
            let is_new = !ended.is_full(metric);
            let other_name = &facts.name;
            ended.add(labels, || {
                format!(
                    "{name} no longer shows {labels}, and {other_name} does: its next page gives the value"
                )
            });
            if is_new {
                self.update_losses(*other);
            }
        }
    }

    /// A target leaves, and with it its series: those that others show are not known before their next pages.
    pub(super) fn owner_leaves(
        &mut self,
        name: &str,
        replicated: &Replicated,
        may_have_had: impl Fn(&Labels) -> bool,
    ) {
        self.with_replicated -= usize::from(!replicated.shown.is_empty());
        for other in self.with_replicated() {
            let Some(target) = self.targets[other.index()].as_mut() else {
                continue; // it is listed
            };
            let Replicated { shown, ended } = &mut target.replicated;
            let other_name = &target.name;
            for labels in shown.samples().filter(|labels| may_have_had(labels)) {
                ended.add(labels, || {
                    format!(
                        "{name} has left, and {other_name} may show what it had: its next page gives the values"
                    )
                });
            }
            self.update_losses(other);
        }
    }
}

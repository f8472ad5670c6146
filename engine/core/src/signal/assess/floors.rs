//! S6b: values from before a change of process, below which no group is reported.

use super::super::assessment::Assessment;
use super::super::demand::Demand;
use super::super::grace::{self, Floor, Grace};
use super::super::signal::Signal;
use crate::labels::Labels;

impl Signal {
    /// Values from before a change of process, below which no group is reported: in a grace, and in a crash loop.
    pub(super) fn floors<'s>(
        &'s self,
        assessment: Assessment<'s>,
    ) -> impl Iterator<Item = (&'s Labels, Floor)> {
        let (grace, in_loop) = self.floors_apply(assessment);
        let grace_ms = self.policy.restart_grace_ms;
        grace
            .into_iter()
            .flat_map(move |grace| grace.floors(assessment.now_ms, grace_ms, in_loop))
    }

    /// That of one group.
    pub(in crate::signal) fn floor(
        &self,
        labels: &Labels,
        assessment: Assessment<'_>,
    ) -> Option<Floor> {
        let (grace, in_loop) = self.floors_apply(assessment);
        let grace_ms = self.policy.restart_grace_ms;
        grace?.floor(labels, assessment.now_ms, grace_ms, in_loop)
    }

    /// The grace whose values apply now, and whether a crash loop makes them apply for longer.
    pub(super) fn floors_apply(&self, assessment: Assessment<'_>) -> (Option<&Grace>, bool) {
        if self.grace.is_none() || self.query.demand == Demand::None {
            return (None, false);
        }
        let in_loop = grace::crash_loop(assessment, &self.scope, &self.policy).is_some();
        let runs = in_loop || self.grace(assessment.now_ms).is_some();
        (self.grace.as_ref().filter(|_| runs), in_loop)
    }
}

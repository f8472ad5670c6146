//! When the scopes of signals are computed again: after a change of facts, and when a target is no longer waited for.
//!
//! It is a look at all signals and all targets. Where that is a large one, the first pages of thousands of new targets share one
//! look: those that come within a moment of the last are gathered.

use crate::store::TargetId;

use super::assessment::Assessment;
use super::looks::RESCOPE_SOON_MS;
use super::registry::SignalRegistry;
use super::scope::{self, Shared};
use super::signal::Signal;

/// Signals times targets up to which a look costs little, some milliseconds: then no page waits for it.
const AT_ONCE_MAX: usize = 50_000;

impl SignalRegistry {
    /// Computes the scope of every signal again, if facts have changed or a target is no longer waited for.
    pub(crate) fn rescope(&mut self) {
        let is_due = self.rescope_ms.is_some_and(|at_ms| at_ms <= self.now_ms);
        if self.looks.epoch == self.facts.epoch && !is_due {
            return;
        }
        #[cfg(test)]
        {
            self.looks.count += 1;
        }
        self.looks.epoch = self.facts.epoch;
        self.looks.at_ms = Some(self.now_ms);
        self.rescope_ms = None;
        let late = std::mem::take(&mut self.looks.late);
        let assessment = Assessment {
            facts: &self.facts,
            names: &self.names,
            now_ms: self.now_ms,
            pins: &[],
        };
        let mut shared = Shared::default();
        for signal in self.signals.iter_mut().flatten() {
            let Signal {
                query,
                policy,
                scope,
                ..
            } = signal;
            let new = scope::of_query_sharing(assessment, query, policy, &mut shared);
            let before = std::mem::replace(scope, new);
            let is_same = (&before.counting, &before.standby) == (&scope.counting, &scope.standby);
            let has_shown = |id: TargetId| {
                let target = assessment.facts.target(id);
                target.is_some_and(|target| target.last_good_ms.is_some())
            };
            let mut seen = before.counting.iter().chain(&before.standby);
            let hides_some = !is_same && seen.any(|&id| has_shown(id) && !scope.shows(id));
            let changes_ms = scope::changes_at_ms(assessment.facts, policy, assessment.now_ms);
            self.rescope_ms = self.rescope_ms.into_iter().chain(changes_ms).min();
            if hides_some {
                // The newest page may be of one that is not seen any more.
                signal.left_ms = signal.left_ms.max(self.now_ms);
            }
            if hides_some || late.iter().any(|&target| scope.shows(target)) {
                // A page came unseen, or the result has what is not seen any more: whoever reads evaluates.
                signal.outdated = true;
                signal.pages += 1;
            }
        }
    }

    /// The same after a page of a target, or a moment later where it is a large look and there was one a moment ago.
    pub(crate) fn rescope_after_page(&mut self, target: TargetId) {
        if !self.rescope_soon() {
            self.looks.late.push(target);
        }
    }

    /// The same where it is no page that has changed something. False: the look is yet to come.
    pub(crate) fn rescope_soon(&mut self) -> bool {
        let pairs = self.signals.len().saturating_mul(self.facts.targets.len());
        let again_ms = self
            .looks
            .at_ms
            .map(|at_ms| at_ms.saturating_add(RESCOPE_SOON_MS));
        let again_ms = again_ms.filter(|again_ms| pairs > AT_ONCE_MAX && *again_ms > self.now_ms);
        let Some(again_ms) = again_ms else {
            self.rescope();
            return true;
        };
        let is_needed = self.looks.epoch != self.facts.epoch;
        if is_needed {
            self.rescope_ms = self.rescope_ms.into_iter().chain([again_ms]).min();
        }
        !is_needed
    }

    /// Pages that wait for the next look, and when the last was.
    #[cfg(test)]
    pub(crate) fn looks(&self) -> (usize, Option<i64>) {
        (self.looks.late.len(), self.looks.at_ms)
    }

    /// How many looks there were.
    #[cfg(test)]
    pub(crate) fn looks_count(&self) -> usize {
        self.looks.count
    }
}

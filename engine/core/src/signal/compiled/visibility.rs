//! Which samples of a target are visible to a program: the same as in the signal view at this time.

use crate::store::{ClockId, Store, TargetId};

use super::super::facts::Facts;
use super::super::scope::Scope;
use super::EvalContext;

/// The locked store with the context of one evaluation.
pub(super) struct EvalSnapshot<'a> {
    pub(super) store: &'a Store,
    pub(super) facts: &'a Facts,
    scope: &'a Scope,
    pub(super) at_ms: i64,
    /// How much earlier the evaluation is: at a step of a subquery.
    pub(super) back_ms: i64,
    /// The number of that step.
    pub(super) step: Option<u64>,
    lookback_ms: i64,
}

/// Which samples of the series on a page's clock are visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageVisibility {
    Hidden,
    Visible {
        /// Where windows end, in milliseconds: at the evaluation, or at the last good scrape of a frozen target.
        end_ms: i64,
        /// Whether series that are on the newest good page have a current value.
        current: bool,
    },
}

/// Whether no visible sample is later than the evaluation: a program knows only the newest value of a series.
pub(super) fn is_newest(context: &EvalContext<'_>) -> bool {
    let ahead = |id: &TargetId| {
        let good_ms = context
            .facts
            .target(*id)
            .and_then(|target| target.last_good_ms);
        good_ms > Some(context.at_ms)
    };
    // Targets that count are never ahead (S1c).
    context.facts.left_ms <= context.at_ms && !context.scope.standby.iter().any(ahead)
}

impl<'a> EvalSnapshot<'a> {
    pub(super) fn new(store: &'a Store, context: &EvalContext<'a>) -> EvalSnapshot<'a> {
        EvalSnapshot {
            store,
            facts: context.facts,
            scope: context.scope,
            at_ms: context.at_ms,
            back_ms: 0,
            step: None,
            lookback_ms: context.lookback_ms,
        }
    }

    /// The same, at a step of a subquery so much earlier.
    pub(super) fn at_step(&self, step: u64, back_ms: i64) -> EvalSnapshot<'a> {
        EvalSnapshot {
            back_ms,
            step: Some(step),
            ..*self
        }
    }

    /// The time of the oldest scrape of a clock that the store knows, in milliseconds.
    pub(super) fn oldest_ms(&self, clock: ClockId) -> i64 {
        let times = &self.store.clocks[clock.index()];
        times
            .at(times.first_tick())
            .map_or(i64::MIN, |entry| entry.time_ms)
    }

    /// Whether the series of a clock had ended by that time, because their target has left meanwhile, and it was not scraped
    /// well last: what a target left is seen as scraped.
    pub(super) fn has_ended(&self, clock: ClockId, time_ms: i64) -> bool {
        if clock
            .target()
            .is_some_and(|id| self.facts.target(id).is_some())
        {
            return false;
        }
        let times = &self.store.clocks[clock.index()];
        let last = times.at(times.tick_after(time_ms) - 1);
        last.is_some_and(|last| !last.good)
    }

    /// Whether series about scrapes are read as of an earlier time than their newest sample, which is all that a program knows:
    /// their target is frozen, or a scrape failed since the evaluation.
    pub(super) fn is_ahead(&self, clock: ClockId) -> bool {
        if !clock.is_report() {
            return false;
        }
        let is_frozen = |id: TargetId| {
            let target = self.facts.target(id);
            self.scope.counting.binary_search(&id).is_ok()
                && target.is_some_and(|one| one.last_good_ms.is_some() && !one.is_fresh(self.at_ms))
        };
        let last = self.store.clocks[clock.index()].last();
        last.is_some_and(|last| last.time_ms > self.at_ms) || clock.target().is_some_and(is_frozen)
    }

    /// The visibility of the series on the clock of a target.
    pub(super) fn visibility(&self, clock: ClockId) -> PageVisibility {
        if clock.is_report() {
            let last = self.store.clocks[clock.index()].last();
            let after_ms = self.at_ms.saturating_sub(self.lookback_ms);
            // Those of a frozen target are not read here ([`EvalSnapshot::is_ahead`]), and nothing hides the others.
            return PageVisibility::Visible {
                end_ms: self.at_ms,
                current: last.is_some_and(|last| last.time_ms > after_ms),
            };
        }
        let of_target = |id: TargetId| Some((id, self.facts.target(id)?));
        let Some((id, target)) = clock.target().and_then(of_target) else {
            // The target has left: its series have ended, their history is still visible.
            return PageVisibility::Visible {
                end_ms: self.at_ms,
                current: false,
            };
        };
        let fresh = target.is_fresh(self.at_ms);
        if self.scope.excluded.binary_search(&id).is_ok()
            || (!fresh && self.scope.standby.binary_search(&id).is_ok())
        {
            return PageVisibility::Hidden;
        }
        let Some(good_ms) = target.last_good_ms else {
            return PageVisibility::Visible {
                end_ms: self.at_ms,
                current: false,
            };
        };
        let end_ms = if fresh {
            self.at_ms
        } else {
            good_ms.min(self.at_ms)
        };
        let times = &self.store.clocks[clock.index()];
        let remembered = times
            .at(times.first_tick())
            .is_some_and(|oldest| oldest.time_ms <= good_ms);
        PageVisibility::Visible {
            end_ms,
            current: remembered && good_ms > end_ms.saturating_sub(self.lookback_ms),
        }
    }
}

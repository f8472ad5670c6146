//! What is known of signals beside their readings: what they read, and why they say what they say.

use std::sync::Arc;

use super::Reader;
use crate::labels::{METRIC_NAME, Matcher};
use crate::limits::{EXPLAINED_SERIES_MAX, LOOKBACK_MS_DEFAULT};
use crate::promql::EvalOptions;
use crate::promql::select::{Projection, Samples, SelectRequest, View, is_stale};
use crate::signal::{Evaluated, Explanation, Outline, SignalId, SignalView, evaluate};
use crate::time::Timestamp;

/// Selectors that are looked at while a commit waits: a fraction of a millisecond.
const SELECTORS_AT_ONCE: usize = 1_000;

impl Reader {
    /// The labels that every selector of a signal's query fixes to the same value. They describe the result, although an
    /// aggregated result does not carry them.
    pub fn pinned(&self, signal: SignalId) -> Vec<(String, String)> {
        self.registry.read().pinned(signal)
    }

    /// The same for threads that must not block; `None` where a commit holds the signals at this moment.
    pub fn pinned_if_ready(&self, signal: SignalId) -> Option<Vec<(String, String)>> {
        Some(self.registry.try_read()?.pinned(signal))
    }

    /// For each signal the number of committed pages of its targets. While it is unchanged, only time can change the
    /// reading. `None`: there is no such signal.
    pub fn pages(&self, signals: impl IntoIterator<Item = SignalId>) -> Vec<Option<u64>> {
        let registry = self.registry.read();
        let pages = |id| registry.signal(id).map(|signal| signal.pages);
        signals.into_iter().map(pages).collect()
    }

    /// For how long after its last good page a number of a signal may still be told, in milliseconds: the shortest hold of its
    /// targets (S5). `None`: there is no such signal, or no target counts for it.
    pub fn hold_ms(&self, signal: SignalId) -> Option<i64> {
        let registry = self.registry.read();
        let signal = registry.signal(signal)?;
        let counting = signal.scope.counting.iter();
        let targets = counting.filter_map(|id| registry.facts.target(*id));
        let holds = targets.map(|target| signal.policy.hold_ms(target.interval_ms));
        holds.min()
    }

    /// Whether some target counts for a signal, or stands by. `None`: there is no such signal.
    pub fn has_targets(&self, signal: SignalId) -> Option<bool> {
        let registry = self.registry.read();
        let scope = &registry.signal(signal)?.scope;
        Some(!scope.counting.is_empty() || !scope.standby.is_empty())
    }

    /// The selectors by which registered signals may read one of these metrics: conditions on labels, the name among them. Commits
    /// wait for [`SELECTORS_AT_ONCE`] selectors at most.
    pub fn selectors_of(&self, metrics: &[&str]) -> Vec<Vec<Matcher>> {
        let reads = |metric: Option<&str>, matchers: &[Matcher]| {
            let of_name = |one: &&Matcher| one.name() == METRIC_NAME;
            let fits = |metric: &&str| {
                let mut conditions = matchers.iter().filter(of_name);
                conditions.all(|one| one.matches(metric))
            };
            match metric {
                Some(metric) => metrics.contains(&metric),
                None => metrics.iter().any(fits),
            }
        };
        let mut found = Vec::new();
        let mut from = 0;
        loop {
            let registry = self.registry.read();
            let mut looked_at = 0;
            while looked_at < SELECTORS_AT_ONCE {
                let Some(signal) = registry.signals.get(from) else {
                    return found;
                };
                from += 1;
                let selectors = signal.iter().flat_map(|signal| &signal.query.selectors);
                looked_at += 1 + selectors.clone().count();
                let read = selectors.filter(|one| reads(one.metric.as_deref(), &one.matchers));
                found.extend(read.map(|one| one.matchers.clone()));
            }
        }
    }

    /// What a list says of a signal beside its reading. Cost: no series and no target is read out.
    pub fn outline(&self, id: SignalId) -> Option<Outline> {
        let registry = self.registry.read();
        Some(registry.outline(registry.signal(id)?))
    }

    /// Explains the reading of a signal: the state of its targets and the series that contribute.
    pub fn explain(&self, id: SignalId, now: Timestamp) -> Option<Explanation> {
        let (view, selectors, mut explanation) = {
            let registry = self.registry.read();
            let signal = registry.signal(id)?;
            let at_ms = registry.newest_good_ms(signal).unwrap_or(now.ms());
            let store = Arc::clone(&self.store);
            let view = SignalView::new(
                store,
                &registry.facts,
                &registry.names,
                &signal.scope,
                at_ms,
            );
            (
                view,
                signal.query.matchers(),
                registry.explain(signal, now.ms()),
            )
        };
        let mut scratch = Samples::default();
        for matchers in selectors {
            let request = SelectRequest {
                matchers: &matchers,
                after_ms: now.ms().saturating_sub(LOOKBACK_MS_DEFAULT),
                until_ms: now.ms(),
                projection: Projection::All,
                last_only: true,
                memory: None,
                stop: None,
            };
            let Ok(selection) = view.select(&request) else {
                continue;
            };
            for index in 0..selection.len() {
                let Some(last) = selection
                    .last(index, &mut scratch)
                    .filter(|last| !is_stale(last.value))
                else {
                    continue;
                };
                explanation.series_count += 1;
                if explanation.series.len() < EXPLAINED_SERIES_MAX {
                    let time = Timestamp::from_ms(last.time_ms);
                    explanation
                        .series
                        .push((selection.labels(index).clone(), last.value, time));
                }
            }
        }
        Some(explanation)
    }

    /// Whether whoever reads a signal next evaluates it first, for the same test.
    #[doc(hidden)]
    pub fn is_outdated(&self, id: SignalId) -> bool {
        self.registry
            .read()
            .signal(id)
            .is_some_and(|signal| signal.outdated)
    }

    /// For the test that compares the two: the result of a signal's program for the newest page (`None` if it has none, or
    /// it could not answer), and that of evaluation from the plan.
    #[doc(hidden)]
    pub fn both_ways(&self, id: SignalId) -> Option<(Option<Evaluated>, Evaluated)> {
        let registry = self.registry.read();
        let signal = registry.signal(id)?;
        let at_ms = signal.at_ms.or_else(|| registry.newest_good_ms(signal))?;
        let store = Arc::clone(&self.store);
        let (facts, names) = (&registry.facts, &registry.names);
        let view = SignalView::new(store, facts, names, &signal.scope, at_ms);
        let at = Timestamp::from_ms(at_ms);
        let options = EvalOptions {
            wall_offset_ms: registry.facts.wall_offset_ms,
            ..signal.policy.options()
        };
        let from_plan = evaluate(&signal.query, &view, at, &options);
        let from_plan = from_plan.map_err(|error| error.to_string());
        Some((signal.by_program(), from_plan))
    }
}

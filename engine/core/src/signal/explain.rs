//! The explanation of a reading, for people: the kind of the query, the targets, the series and the warnings.

use crate::labels::Labels;
use crate::time::Timestamp;

use super::assessment::describe;
use super::demand::Demand;
use super::lint::foreign_labels;
use super::query::Kind;
use super::registry::SignalRegistry;
use super::signal::Signal;

/// What the reading of a signal is based on.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The text of its query.
    pub query: String,
    /// The kind of the query (S7), and what follows from it.
    pub kind: &'static str,
    /// How it is evaluated.
    pub plan: &'static str,
    /// Why it is not evaluated by a program; empty if it is.
    pub plan_reason: String,
    /// When it was last evaluated.
    pub evaluated: Option<Timestamp>,
    /// The numbers of the newest evaluation. In a grace, or where the signal is unknown, they are not what is reported.
    pub measured: Vec<(Labels, f64)>,
    /// Targets that are left out of the signal (S3c), and labels of the query that no gateway gives the metric.
    pub warnings: Vec<String>,
    /// The targets in its scope.
    pub targets: Vec<TargetState>,
    /// Contributing series with their newest value and its time; at most `EXPLAINED_SERIES_MAX`.
    pub series: Vec<(Labels, f64, Timestamp)>,
    /// How many series contribute in all.
    pub series_count: usize,
}

/// What a list of signals says of one beside its reading: what is cheap to say of a thousand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The text of its query.
    pub query: String,
    /// The kind of the query (S7), and what follows from it.
    pub kind: &'static str,
    /// How it is evaluated.
    pub plan: &'static str,
    /// Why it is not evaluated by a program; empty if it is.
    pub plan_reason: String,
    /// As in [`Explanation`].
    pub warnings: Vec<String>,
}

/// A target in the scope of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetState {
    /// Its labels.
    pub labels: Labels,
    /// False for a standby (S3d).
    pub counts: bool,
    /// Whether its newest scrape succeeded at most two intervals ago (S2a).
    pub fresh: bool,
    /// When it was last scraped successfully.
    pub last_good: Option<Timestamp>,
    /// Why its newest scrape failed; empty if it succeeded.
    pub error: String,
}

impl SignalRegistry {
    /// Everything but the series, which the caller adds.
    pub(crate) fn explain(&self, signal: &Signal, now_ms: i64) -> Explanation {
        let counting = signal.scope.counting.iter().map(|id| (id, true));
        let standby = signal.scope.standby.iter().map(|id| (id, false));
        let targets = counting.chain(standby).filter_map(|(&id, counts)| {
            let target = self.facts.target(id)?;
            Some(TargetState {
                labels: target.labels.clone(),
                counts,
                fresh: target.is_fresh(now_ms),
                last_good: target.last_good_ms.map(Timestamp::from_ms),
                error: target.error.clone(),
            })
        });
        let Outline {
            query,
            kind,
            plan,
            plan_reason,
            warnings,
        } = self.outline(signal);
        Explanation {
            query,
            kind,
            plan,
            plan_reason,
            evaluated: signal.at_ms.map(Timestamp::from_ms),
            measured: signal.result.clone().unwrap_or_default(),
            warnings,
            targets: targets.collect(),
            series: Vec::new(),
            series_count: 0,
        }
    }

    pub(crate) fn outline(&self, signal: &Signal) -> Outline {
        let plan_reason = signal.why_from_plan().unwrap_or_default();
        let with_each_scrape = signal.query.demand != Demand::None && !signal.policy.when_read;
        Outline {
            query: signal.text.clone(),
            kind: match (signal.query.kind, signal.query.demand) {
                (Kind::Demand, _) => "demand: a proven absence is 0, a restart is smoothed over",
                (Kind::Sum, Demand::None) => "sum: a proven absence is 0",
                (Kind::Sum, _) => "sum: a proven absence is 0, a restart is smoothed over",
                (Kind::Other, Demand::None) => {
                    "other: never 0 by absence, unknown until its windows are covered"
                }
                (Kind::Other, _) => {
                    "other, of demand: never 0 by absence, unknown until its windows are covered, a restart is smoothed over"
                }
            },
            plan: match (&signal.compiled, plan_reason.is_empty(), with_each_scrape) {
                (Ok(_), true, _) => {
                    "compiled: brought up to date with each scrape, from what has changed"
                }
                (Ok(_), false, true) => {
                    "compiled, but not used at present: evaluated whole with each scrape"
                }
                (Ok(_), false, false) => {
                    "compiled, but not used at present: evaluated whole when it is read"
                }
                (Err(_), _, true) => "not compiled: evaluated whole with each scrape",
                (Err(_), _, false) => "not compiled: evaluated whole when it is read",
            },
            plan_reason,
            warnings: self.warnings(signal),
        }
    }

    fn warnings(&self, signal: &Signal) -> Vec<String> {
        let never_answered = signal.scope.never_answered.iter();
        let never_answered = never_answered.filter_map(|&id| self.facts.target(id));
        let left_out = never_answered.map(|target| {
            let since = match target.awaits_page {
                true => "has given no good page under its new configuration",
                false => "has never given a good page",
            };
            let (of, error) = (describe(target), &target.first_error);
            if target.not_ready {
                return format!(
                    "{of} {since} ({error}) and is left out while discovery calls it not ready, for others of its group answer"
                );
            }
            format!(
                "{of} {since} ({error}) and is left out, for other targets give what the query reads; if it belongs to this \
                 signal, give it a label that the query pins, or list its job under `jobs`"
            )
        });
        let is_of_targets = |label: &str| {
            let mut counting = signal.scope.counting.iter();
            counting.any(|&id| {
                let target = self.facts.target(id);
                target.is_some_and(|target| target.constant_label(label).is_some())
            })
        };
        let foreign = foreign_labels(&signal.query.query, &self.names, is_of_targets);
        left_out.chain(foreign).collect()
    }
}

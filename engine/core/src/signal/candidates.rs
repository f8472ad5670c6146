//! The targets among which the scopes of callers and of groups are looked for.
//!
//! A label that a caller or a group pins only ever rules targets out (S3b), so those of the signal's own scope are enough: the
//! ones that count, that stand by, and that are no longer waited for (S3c), because what answers in their place may be ruled
//! out. `tests` compare with scopes that are computed over all targets. Budget: one look at each target per reading, whatever
//! its groups (bench `scaler_reads`, `object_reads`).

use std::cell::{OnceCell, RefCell};

use hashbrown::HashMap;

use crate::store::TargetId;

use super::assessment::{Assessment, Pins};
use super::policy::Policy;
use super::query::SignalQuery;
use super::scope::{self, Scope, Shared};

/// Targets of which pins rule some out.
pub(super) struct Candidates<'a> {
    assessment: Assessment<'a>,
    /// Where they are taken from as soon as somebody asks.
    scope: Option<&'a Scope>,
    ids: OnceCell<Vec<TargetId>>,
    by_label: Option<ByLabel<'a>>,
    shared: RefCell<Shared<'a>>,
}

/// Targets by the value of a label that they have.
struct ByLabel<'a> {
    label: &'a str,
    of_value: HashMap<&'a str, Vec<TargetId>>,
    /// Those that may belong to any value.
    of_any: Vec<TargetId>,
}

impl<'a> Candidates<'a> {
    /// The targets of a scope: of the query that the scopes are for, or of a larger one, with no pins that they lack.
    pub(super) fn of(assessment: Assessment<'a>, scope: &Scope) -> Candidates<'a> {
        Candidates {
            assessment,
            scope: None,
            ids: OnceCell::from(all_of(scope)),
            by_label: None,
            shared: RefCell::default(),
        }
    }

    /// The same, which are collected when the first of them is asked for: most readings have neither pins nor groups.
    pub(super) fn later(assessment: Assessment<'a>, scope: &'a Scope) -> Candidates<'a> {
        Candidates {
            assessment,
            scope: Some(scope),
            ids: OnceCell::new(),
            by_label: None,
            shared: RefCell::default(),
        }
    }

    fn ids(&self) -> &[TargetId] {
        self.ids
            .get_or_init(|| self.scope.map(all_of).unwrap_or_default())
    }

    /// Sorts the targets by a label, for many scopes that pin it.
    pub(super) fn sort_by(&mut self, label: &'a str, query: &SignalQuery) {
        if !query
            .selectors
            .iter()
            .all(|selector| selector.carried.has(label))
        {
            return; // it rules no target out
        }
        let Assessment { facts, names, .. } = self.assessment;
        let names_pool = |selector| scope::is_pool_pin(names, selector, label);
        let by_pool = query.selectors.iter().all(names_pool);
        let mut sorted = ByLabel {
            label,
            of_value: HashMap::new(),
            of_any: Vec::new(),
        };
        for &id in self.ids() {
            let Some(target) = facts.target(id) else {
                continue;
            };
            if let Some(value) = target.constant_label(label) {
                sorted.of_value.entry(value).or_default().push(id);
            } else if by_pool && !target.pools.is_empty() {
                for pool in &target.pools {
                    sorted.of_value.entry(pool).or_default().push(id);
                }
            } else {
                sorted.of_any.push(id);
            }
        }
        self.by_label = Some(sorted);
    }

    /// The scope of the query, or of a part of it, for these pins.
    pub(super) fn scope(&self, pins: Pins<'_>, query: &'a SignalQuery, policy: &Policy) -> Scope {
        let Assessment { facts, .. } = self.assessment;
        let shared = &mut *self.shared.borrow_mut();
        let sorted = self.of_value(pins);
        let ids = sorted.as_deref().unwrap_or(self.ids());
        let targets = || ids.iter().filter_map(|&id| Some((id, facts.target(id)?)));
        scope::among(self.assessment, pins, query, policy, shared, targets)
    }

    /// The targets that may have the value that is pinned of the label by which they are sorted.
    fn of_value(&self, pins: Pins<'_>) -> Option<Vec<TargetId>> {
        let sorted = self.by_label.as_ref()?;
        let (_, value) = pins.iter().find(|(label, _)| label == sorted.label)?;
        let own = sorted.of_value.get(value.as_str());
        let own = own.map_or(&[][..], Vec::as_slice);
        let mut ids = [own, &sorted.of_any].concat();
        ids.sort_unstable();
        Some(ids)
    }
}

/// The targets of a scope that may concern its query, in order.
fn all_of(scope: &Scope) -> Vec<TargetId> {
    let lists = [&scope.counting, &scope.standby, &scope.never_answered];
    let mut ids: Vec<TargetId> = lists.into_iter().flatten().copied().collect();
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests {
    use super::super::query::ParseOptions;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::facts::{CounterMoves, Facts};
    use super::super::names::Names;
    use super::*;
    use crate::labels::Labels;
    use crate::scrape::TargetSpec;
    use crate::store::SeriesId;

    const QUEUE: &str = "inference_extension_flow_control_queue_size";
    const QUERIES: [&str; 9] = [
        "sum by (pod, job) (label_replace(a, \"pod\", \"$1\", \"job\", \"(.+)\"))",
        "sum by (pod, job) (a * on(pod) group_left(job) b)",
        "sum by (inference_pool) (inference_extension_flow_control_queue_size)",
        "sum(inference_pool_average_queue_size) by (name)",
        "sum(inference_extension_flow_control_queue_size{inference_pool=\"b\"})",
        "sum(a) + sum(b{pod=~\"1|2\"}) or vector(0)",
        "sum(a{job=\"1\"}) or sum(inference_pool_ready_pods)",
        "count(up) by (pod)",
        "sum({__name__=~\"a|b\", inference_pool!=\"a\"})",
    ];
    const LABELS: [&str; 5] = ["job", "pod", "inference_pool", "name", "absent"];
    const VALUES: [&str; 3] = ["a", "b", "1"];
    const METRICS: [&str; 5] = [
        "a",
        "b",
        QUEUE,
        "inference_pool_ready_pods",
        "leader_election_master_status",
    ];

    /// Pairs of indices into `LABELS` and `VALUES`.
    type Pairs = Vec<(usize, usize)>;

    /// A target: its labels, its series as an index into `METRICS` with labels, its value of leases, whether pages may replace
    /// labels, and its scrapes as times with whether they were good.
    type Target = (Pairs, Vec<(usize, Pairs)>, bool, bool, Vec<(i64, bool)>);

    fn pairs(lengths: std::ops::Range<usize>) -> impl Strategy<Value = Pairs> {
        vec((0..LABELS.len(), 0..VALUES.len()), lengths)
    }

    fn target() -> impl Strategy<Value = Target> {
        let series = vec((0..METRICS.len(), pairs(0..3)), 0..4);
        let scrapes = vec((0..60_000_i64, any::<bool>()), 0..3);
        (pairs(0..4), series, any::<bool>(), any::<bool>(), scrapes)
    }

    fn texts(pairs: &Pairs) -> Vec<(String, String)> {
        let text =
            |&(label, value): &(usize, usize)| (LABELS[label].to_owned(), VALUES[value].to_owned());
        pairs.iter().map(text).collect()
    }

    fn labels(pairs: &Pairs, metric: Option<&str>) -> Labels {
        let mut by_name: std::collections::BTreeMap<String, String> =
            texts(pairs).into_iter().collect();
        if let Some(metric) = metric {
            by_name.insert("__name__".to_owned(), metric.to_owned());
        }
        Labels::from_pairs(by_name.iter().map(|(l, v)| (l.as_str(), v.as_str())))
    }

    fn facts(targets: &[Target]) -> Facts {
        let mut facts = Facts::default();
        for (at, (own, series, leads, honor_labels, scrapes)) in targets.iter().enumerate() {
            let id = TargetId(at as u32);
            let spec = TargetSpec {
                labels: labels(own, None),
                honor_labels: *honor_labels,
                interval_ms: 1_000,
                ..TargetSpec::default()
            };
            facts.add(id, &spec, 0);
            let mut scrapes = scrapes.clone();
            scrapes.sort_unstable();
            if scrapes.iter().any(|(_, good)| *good) {
                for (number, (metric, own)) in series.iter().enumerate() {
                    let labels = labels(own, Some(METRICS[*metric]));
                    let series = SeriesId(number as u32);
                    facts.series_appeared(id, series, &labels, None);
                }
            }
            for (at_ms, good) in scrapes {
                if good {
                    facts.scrape_succeeded(
                        id,
                        at_ms,
                        |_| f64::from(*leads),
                        CounterMoves::default(),
                        true,
                    );
                } else {
                    facts.scrape_failed(id, at_ms, "refused", false);
                }
            }
        }
        facts
    }

    /// What a verdict depends on.
    fn what_counts(scope: Scope) -> [Vec<u32>; 4] {
        let ids = |ids: Vec<TargetId>| ids.into_iter().map(|id| id.0).collect();
        let unseen = scope.never_seen.into_iter().map(|at| at as u32).collect();
        [
            ids(scope.counting),
            ids(scope.standby),
            ids(scope.never_answered),
            unseen,
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// The own scope may be older than the reading: targets are given up in between.
        #[test]
        fn a_scope_among_candidates_is_the_one_among_all_targets(
            targets in vec(target(), 0..8),
            query in 0..QUERIES.len(),
            caller in pairs(0..2),
            group in pairs(0..3),
            listed_jobs in any::<bool>(),
            times_ms in (0..70_000_i64, 0..70_000_i64),
            sorted_by in 0..LABELS.len() + 1,
        ) {
            let names = Names::default();
            let facts = facts(&targets);
            let query = SignalQuery::parse(QUERIES[query], &names, &ParseOptions::default()).unwrap();
            let mut policy = Policy::default();
            if listed_jobs {
                policy.jobs = vec!["1".to_owned(), "a".to_owned()];
            }
            let assessment = |now_ms, pins| Assessment { facts: &facts, names: &names, now_ms, pins };
            let (before_ms, now_ms) = (times_ms.0.min(times_ms.1), times_ms.0.max(times_ms.1));
            let own = scope::of_query(assessment(before_ms, &[]), &query, &policy);
            let (caller, mut both) = (texts(&caller), texts(&group));
            both.extend(caller.iter().cloned());
            let of_caller = Candidates::of(assessment(now_ms, &caller), &own)
                .scope(&caller, &query, &policy);
            let over_all = |pins| scope::of_query(assessment(now_ms, pins), &query, &policy);
            prop_assert_eq!(what_counts(of_caller.clone()), what_counts(over_all(&caller)));
            let mut candidates = Candidates::of(assessment(now_ms, &caller), &of_caller);
            if let Some(label) = LABELS.get(sorted_by) {
                candidates.sort_by(label, &query);
            }
            let of_group = candidates.scope(&both, &query, &policy);
            prop_assert_eq!(what_counts(of_group), what_counts(over_all(&both)));
            for part in &query.parts {
                let of_part = candidates.scope(&both, part, &policy);
                let over_all = scope::of_query(assessment(now_ms, &both), part, &policy);
                prop_assert_eq!(what_counts(of_part), what_counts(over_all));
            }
        }
    }
}

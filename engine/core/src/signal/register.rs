//! Registering a signal while pages are committed.
//!
//! The text may come from any client, and it may select by a label of a million series whose values were not tracked so
//! far. Neither parsing the text nor reading those series delays a commit: both happen without the registry's lock, the
//! latter in batches.

use std::collections::{BTreeSet, VecDeque};

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::labels::{METRIC_NAME, Matcher};
use crate::limits::{ASKED_SELECTORS_MAX, READ_BATCH_ROWS, REMEMBERED_VALUES_MAX, SIGNALS_MAX};
use crate::promql::QueryError;
use crate::promql::RecordedRules;
use crate::store::{SeriesId, Store, TargetId, for_each_match};

use super::policy::Policy;
use super::query::{Selector, SignalQuery};
use super::reading::SignalId;
use super::registry::SignalRegistry;
use super::scope;
use super::signal::Signal;

/// Values of a label, by the targets that have them, each with when the last series ended that had it, in milliseconds.
type Values = HashMap<TargetId, HashMap<Box<str>, i64>>;

/// Label names of a metric, by the targets that show it.
type LabelNames = HashMap<TargetId, BTreeSet<Box<str>>>;

/// Labels whose values, and metrics whose label names, are not known from the pages so far.
type Unknown = (Vec<String>, Vec<String>);

/// Registers a signal. Error: the query does not parse, or there are `SIGNALS_MAX` signals.
pub(crate) fn register(
    registry: &RwLock<SignalRegistry>,
    store: &RwLock<Store>,
    text: &str,
    policy: Policy,
) -> Result<SignalId, QueryError> {
    let (query, names_version) = parse(registry, text)?;
    check_selectors(&query, &policy)?;
    // From here on commits track these labels and metrics; what earlier pages had is read from the store.
    let unknown = remember(&mut registry.write(), &query);
    learn(registry, store, unknown);
    let mut registry = registry.write();
    // The configured names or rules have changed meanwhile, which may change the query's kind: rare, so parsed under the lock.
    let query = match registry.names_version == names_version {
        true => query,
        false => registry.parse(text)?,
    };
    registry.insert(text, query, policy)
}

fn check_selectors(query: &SignalQuery, policy: &Policy) -> Result<(), QueryError> {
    let selectors = query.selectors.len();
    if !policy.is_of_anybody() || selectors <= ASKED_SELECTORS_MAX {
        return Ok(());
    }
    let message = format!(
        "the query reads {selectors} selectors; of one that is not configured {ASKED_SELECTORS_MAX} are taken: name the metrics by a \
         pattern, or configure it under `signals`"
    );
    Err(QueryError::BadData {
        message,
        position: None,
    })
}

/// Sets the rules whose series signals read as the rules' expressions (see `SignalRegistry::set_recorded`).
pub(crate) fn set_recorded(
    registry: &RwLock<SignalRegistry>,
    store: &RwLock<Store>,
    recorded: RecordedRules,
) {
    let mut locked = registry.write();
    let mut unknown = Unknown::default();
    for query in locked.set_recorded(recorded) {
        let (labels, metrics) = remember(&mut locked, &query);
        unknown.0.extend(labels);
        unknown.1.extend(metrics);
    }
    drop(locked);
    learn(registry, store, unknown);
}

/// Reads what earlier pages had of labels and metrics that are tracked from now on.
fn learn(registry: &RwLock<SignalRegistry>, store: &RwLock<Store>, (labels, metrics): Unknown) {
    let seen: Vec<(String, Values)> = labels
        .into_iter()
        .map(|label| {
            let values = values_of(store, &label);
            (label, values)
        })
        .collect();
    let shown: Vec<(String, LabelNames)> = metrics
        .into_iter()
        .map(|metric| {
            let labels = label_names_of(store, &metric);
            (metric, labels)
        })
        .collect();
    let mut registry = registry.write();
    for (label, values) in &seen {
        for (&target, values) in values {
            for (value, &ended_ms) in values {
                registry
                    .facts
                    .add_label_value_until(target, (label, value), ended_ms);
            }
        }
    }
    for (metric, targets) in &shown {
        for (&target, labels) in targets {
            let labels = labels.iter().map(|label| &**label);
            registry.facts.learn_labels(target, metric, labels);
        }
    }
}

fn parse(registry: &RwLock<SignalRegistry>, text: &str) -> Result<(SignalQuery, u64), QueryError> {
    let locked = registry.read();
    let (names, version) = (locked.names.clone(), locked.names_version);
    let parsing = locked.parsing.clone();
    drop(locked);
    let query = SignalQuery::parse(text, &names, &parsing)?;
    Ok((query, version))
}

/// Starts tracking the labels by which the query selects and the metrics that it reads. Returns those that are new.
fn remember(registry: &mut SignalRegistry, query: &SignalQuery) -> Unknown {
    let SignalRegistry { facts, names, .. } = registry;
    let required = query.selectors.iter().flat_map(Selector::required);
    let labels = required
        .filter(|matcher| facts.remember(matcher.name()))
        .map(|matcher| matcher.name().to_owned())
        .collect();
    let metrics = query.metrics();
    let metrics = metrics.flat_map(|metric| facts.track_metric(metric, names));
    (labels, metrics.collect())
}

/// The label names of a metric's present series, by target.
fn label_names_of(store: &RwLock<Store>, metric: &str) -> LabelNames {
    let mut found = LabelNames::new();
    for_each_match(
        store,
        &[Matcher::equal(METRIC_NAME, metric)],
        |store, id| {
            let row = store.series.row(id);
            let is_shown = row.is_present() && store.is_shown(row);
            if let (true, Some(target)) = (is_shown, row.clock.target()) {
                let names = found.entry(target).or_default();
                let labels = store.series.labels(id);
                for (name, _) in labels.iter() {
                    if !names.contains(name) {
                        names.insert(name.into());
                    }
                }
            }
            0
        },
    );
    found
}

/// The values of a label, by target. Series that are added meanwhile may be missing.
fn values_of(store: &RwLock<Store>, label: &str) -> Values {
    let mut seen = Values::new();
    let mut next = 0;
    loop {
        let store = store.read();
        let end = store.series.id_end();
        let Some(name) = store.series.symbols.find(label) else {
            return seen; // no series has it
        };
        let until = end.min(next + READ_BATCH_ROWS);
        for id in (next..until).map(SeriesId) {
            let row = store.series.row(id);
            let Some(target) = row.clock.target().filter(|_| store.is_shown(row)) else {
                continue;
            };
            if let Some(value) = store.series.label(id, name) {
                let values = seen.entry(target).or_default();
                let text = store.series.symbols.text(value);
                let ended = || store.clocks[row.clock.index()].at(row.since);
                let ended_ms = match row.is_present() {
                    true => i64::MAX,
                    false => ended().map_or(i64::MIN, |entry| entry.time_ms),
                };
                if let Some(known_ms) = values.get_mut(text) {
                    *known_ms = ended_ms.max(*known_ms);
                } else if values.len() < REMEMBERED_VALUES_MAX {
                    values.insert(text.into(), ended_ms);
                }
            }
        }
        next = until;
        if next == end {
            return seen;
        }
    }
}

impl SignalRegistry {
    /// Adds a signal under the first free id. Error: there are `SIGNALS_MAX` already.
    fn insert(
        &mut self,
        text: &str,
        query: SignalQuery,
        policy: Policy,
    ) -> Result<SignalId, QueryError> {
        let free = self.signals.iter().position(Option::is_none);
        let at = free.unwrap_or(self.signals.len());
        if at >= SIGNALS_MAX {
            return Err(QueryError::Execution(format!(
                "there are {SIGNALS_MAX} signals already, the most there may be"
            )));
        }
        for metric in query.metrics() {
            // Tracked already, unless the configured names have changed since; then the next pages add what is missing.
            self.facts.track_metric(metric, &self.names);
        }
        self.facts.requirements.add(&query, &self.names);
        self.facts.look_for_losses(&self.judged_by(&query));
        let assessment = self.assessment(self.now_ms, &[]);
        let scope = scope::of_query(assessment, &query, &policy);
        let changes_ms = scope::changes_at_ms(assessment.facts, &policy, assessment.now_ms);
        self.rescope_ms = self.rescope_ms.into_iter().chain(changes_ms).min();
        self.next_serial += 1;
        let known = self.recall(text, &policy.jobs);
        let mut signal = Signal {
            text: text.to_owned(),
            policy,
            compiled: Signal::compile(&query),
            by_program: false,
            query,
            scope,
            result: Ok(Vec::new()),
            at_ms: None,
            left_ms: self.facts.left_ms,
            outdated: true,
            serial: self.next_serial,
            pages: 0,
            empty_parts: Vec::new(),
            left_out: Default::default(),
            not_finite: Vec::new(),
            nan_in_part: Vec::new(),
            measured: known.measured,
            last_value: None,
            known_since_ms: known.known_since_ms,
            numbers: known.numbers,
            grace: known.grace,
            unmeasured: false,
            is_in_part: false,
            unknown_since_ms: None,
            transitions: VecDeque::new(),
        };
        self.start_recent_graces(&mut signal);
        if at == self.signals.len() {
            self.signals.push(Some(signal));
        } else {
            self.signals[at] = Some(signal);
        }
        Ok(SignalId(at as u32))
    }
}

#[cfg(test)]
mod tests {
    use crate::labels::Labels;
    use crate::promql::{Features, Query, RecordedRule};
    use crate::scrape::{Retain, TargetSpec};
    use crate::signal::Names;

    use super::*;

    const TARGETS: usize = 3;
    const QUEUE: &str = "vllm:num_requests_waiting";
    const RUNNING: &str = "vllm:num_requests_running";

    /// 60 queries of 900 selectors each held 60 MB, and whoever may ask has 500 kept.
    #[test]
    fn a_query_that_nobody_configured_has_few_selectors() {
        let store = RwLock::new(Store::new());
        let registry = RwLock::new(SignalRegistry::new(1 << 20));
        let when_read = Policy {
            when_read: true,
            ..Policy::default()
        };
        let of_few_series = Policy {
            series_max: Some(10),
            ..Policy::default()
        };
        for (policy, is_asked) in [
            (Policy::default(), false),
            (when_read, true),
            (of_few_series, true),
        ] {
            let of = |count: usize| {
                let text = format!("sum({})", vec!["m"; count].join(" or "));
                register(&registry, &store, &text, policy.clone())
            };
            assert!(of(ASKED_SELECTORS_MAX).is_ok());
            let more = of(ASKED_SELECTORS_MAX + 1);
            assert_eq!(more.is_err(), is_asked);
            if let Err(error) = more {
                let why = error.to_string();
                assert!(
                    why.contains("101 selectors") && why.contains("100 are taken"),
                    "{why}"
                );
            }
        }
    }

    /// 1,000 signals and 5,000 targets: a reload that changed nothing looked 50 million metrics up, while commits waited.
    #[test]
    fn targets_are_looked_at_for_losses_where_a_query_reads_what_it_did_not_before() {
        let store = RwLock::new(Store::new());
        let registry = RwLock::new(SignalRegistry::new(1 << 20));
        for at in 0..TARGETS {
            let spec = TargetSpec {
                retain: Retain::Signals,
                ..TargetSpec::default()
            };
            registry.write().facts.add(TargetId(at as u32), &spec, 0);
        }
        let looks = || std::mem::take(&mut registry.write().facts.looks_for_losses);
        for (query, looked) in [
            ("sum(of_no_table)".to_owned(), TARGETS),
            ("max(of_no_table)".to_owned(), 0),
            (format!("sum({QUEUE}) + sum({RUNNING})"), TARGETS),
            ("sum(recorded)".to_owned(), TARGETS),
        ] {
            register(&registry, &store, &query, Policy::default()).expect("it parses");
            assert_eq!(looks(), looked, "{query}");
        }
        let names = Names {
            demand: vec!["of_no_table".to_owned()],
            ..Names::default()
        };
        for names in [Names::default(), names] {
            registry.write().set_names(names);
            assert_eq!(looks(), 0, "a query reads what it did");
        }
        let mut recorded = RecordedRules::default();
        let rule = RecordedRule {
            labels: Labels::empty(),
            query: Query::parse(&format!("sum({QUEUE})"), &Features::default()).expect("PromQL"),
            interval_ms: 1_000,
        };
        recorded.add("recorded", rule);
        for looked in [TARGETS, 0] {
            set_recorded(&registry, &store, recorded.clone());
            assert_eq!(looks(), looked);
        }
    }
}

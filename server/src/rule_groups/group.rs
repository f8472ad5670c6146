//! One group: its rules evaluated in order at one time, each on a store that holds what those before it wrote
//! (rules/group.go, rules/recording.go).

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use stillwell_adapters::host::{self, RuleKind};
use stillwell_adapters::prometheus::print_query;
use stillwell_engine::labels::{Labels, METRIC_NAME};
use stillwell_engine::promql::select::{STALE_NAN_BITS, View};
use stillwell_engine::promql::{EvalOptions, Query, Value};
use stillwell_engine::{AppendedSeries, Timestamp};

use super::alert::{ALERT_NAME, Alerts, Element, Terms};
use super::file::{GroupSpec, RuleKindSpec, RuleSpec};
use super::notification::Notification;
use super::restore::{RestoreOptions, restore};
use super::sending;
use super::template::{Budget, Data, expand};

/// Where rules read and write.
pub trait RuleStore {
    /// What there is now.
    fn view(&self) -> Box<dyn View + '_>;

    /// Takes what a rule yields; an error says which sample is not taken, and why.
    fn append(&mut self, series: Vec<AppendedSeries>) -> Result<(), String>;
}

/// What groups have in common.
#[derive(Clone)]
pub struct Environment<'a> {
    /// How queries are evaluated.
    pub options: EvalOptions<'a>,
    /// Of this server, for templates.
    pub external_labels: Labels,
    /// Of this server, for templates and links.
    pub external_url: String,
    /// Between two evaluations of a group that does not say.
    pub interval_ms: u64,
    /// Of a group that does not say.
    pub query_offset_ms: u64,
    /// A clock for how long evaluations take.
    pub now_ns: fn() -> u64,
}

/// Said of a rule whose evaluation panicked.
const FAULT: &str =
    "a fault of this program in evaluating the rule, not of the rule; the log has the place";

/// A group and what came of its rules.
pub struct Group {
    spec: GroupSpec,
    rules: Vec<Rule>,
    last_evaluation: Option<Timestamp>,
    evaluation_ns: u64,
    /// Evaluations since the start, where alerts of an earlier run are still to be restored.
    restoring: Option<u32>,
}

struct Rule {
    spec: RuleSpec,
    alerts: Alerts,
    /// The series of the last evaluation: those that are not among the next one's end.
    series: BTreeSet<Labels>,
    error: String,
    last_evaluation: Option<Timestamp>,
    evaluation_ns: u64,
}

impl Group {
    /// A group that was not evaluated yet.
    pub fn new(spec: GroupSpec) -> Group {
        let rules = spec.rules.iter().map(|spec| Rule {
            spec: spec.clone(),
            alerts: Alerts::default(),
            series: BTreeSet::new(),
            error: String::new(),
            last_evaluation: None,
            evaluation_ns: 0,
        });
        Group {
            rules: rules.collect(),
            spec,
            last_evaluation: None,
            evaluation_ns: 0,
            restoring: None,
        }
    }

    /// The same, where an earlier run may have left alerts: until they are restored nothing is written of any.
    pub fn restoring(self) -> Group {
        Group {
            restoring: Some(0),
            ..self
        }
    }

    /// What it was made of.
    pub fn spec(&self) -> &GroupSpec {
        &self.spec
    }

    /// Evaluates every rule at `at`.
    pub fn evaluate(
        &mut self,
        at: Timestamp,
        store: &mut dyn RuleStore,
        environment: &Environment<'_>,
    ) {
        let began_ns = (environment.now_ns)();
        let offset_ms = self
            .spec
            .query_offset_ms
            .unwrap_or(environment.query_offset_ms);
        let query_at = at.minus_ms(i64::try_from(offset_ms).unwrap_or(i64::MAX));
        for rule in &mut self.rules {
            let rule_began_ns = (environment.now_ns)();
            let shows = self.restoring.is_none();
            let limit = self.spec.limit;
            let evaluate = || rule.evaluate(at, query_at, (limit, shows), store, environment);
            // A fault in one rule must not end all rules. What it has of alerts and series may be of either evaluation.
            let outcome = catch_unwind(AssertUnwindSafe(evaluate));
            let outcome = outcome.unwrap_or_else(|_| Err(FAULT.to_owned()));
            rule.error = outcome.err().unwrap_or_default();
            rule.last_evaluation = Some(at);
            rule.evaluation_ns = (environment.now_ns)().saturating_sub(rule_began_ns);
        }
        self.last_evaluation = Some(at);
        self.evaluation_ns = (environment.now_ns)().saturating_sub(began_ns);
    }

    /// Restores what an earlier run has written of alerts, once there were two evaluations: before, what rules read may
    /// not have been scraped or recorded yet (rules/group.go, `RestoreForState`).
    pub fn restore(&mut self, at: Timestamp, store: &dyn RuleStore, options: &RestoreOptions) {
        let Some(evaluations) = &mut self.restoring else {
            return;
        };
        *evaluations += 1;
        if *evaluations < 2 {
            return;
        }
        self.restoring = None;
        let view = store.view();
        for rule in &mut self.rules {
            if let RuleKindSpec::Alert { for_ms, .. } = &rule.spec.kind {
                restore(&mut rule.alerts, &rule.spec, *for_ms, at, &*view, options);
            }
        }
    }

    /// The alerts that Alertmanagers have to be told of after an evaluation at `at`.
    pub fn take_due(
        &mut self,
        at: Timestamp,
        resend_ms: u64,
        environment: &Environment<'_>,
    ) -> Vec<Notification> {
        let interval_ms = self.spec.interval_ms.unwrap_or(environment.interval_ms);
        let terms = sending::Terms {
            at,
            resend_ms,
            interval_ms,
            wall_offset_ms: environment.options.wall_offset_ms,
            external_url: &environment.external_url,
        };
        let rules = self.rules.iter_mut();
        let due = rules.flat_map(|rule| sending::take_due(&mut rule.alerts, &rule.spec, &terms));
        due.collect()
    }

    /// Ends every series: the group is gone.
    pub fn end(&mut self, at: Timestamp, store: &mut dyn RuleStore) {
        let series = self
            .rules
            .iter_mut()
            .flat_map(|rule| std::mem::take(&mut rule.series));
        let ended = series.map(|labels| float(labels, at, f64::from_bits(STALE_NAN_BITS)));
        // What cannot be ended ends by the lookback.
        store.append(ended.collect()).ok();
    }

    /// The alerts that fire, by name: their labels and annotations.
    pub fn firing(&self, name: &str) -> Vec<(Labels, Labels)> {
        let rules = self.rules.iter().filter(|rule| rule.spec.name == name);
        let alerts = rules.flat_map(|rule| rule.alerts.active());
        let firing = alerts.filter(|(_, alert)| alert.state == super::alert::State::Firing);
        firing
            .map(|(labels, alert)| (labels.clone(), alert.annotations.clone()))
            .collect()
    }

    /// Rules whose last evaluation failed, with the reason.
    pub fn errors(&self) -> impl Iterator<Item = (&str, &str)> {
        let failed = self.rules.iter().filter(|rule| !rule.error.is_empty());
        failed.map(|rule| (rule.spec.name.as_str(), rule.error.as_str()))
    }

    /// As `/api/v1/rules` tells it.
    pub fn describe(&self, environment: &Environment<'_>) -> host::RuleGroup {
        host::RuleGroup {
            name: self.spec.name.clone(),
            file: self.spec.file.clone(),
            interval_ms: self.spec.interval_ms.unwrap_or(environment.interval_ms),
            limit: self.spec.limit,
            rules: self.rules.iter().map(Rule::describe).collect(),
            evaluation_s: seconds(self.evaluation_ns),
            last_evaluation: self.last_evaluation,
        }
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

impl Rule {
    fn evaluate(
        &mut self,
        at: Timestamp,
        query_at: Timestamp,
        (limit, shows_alerts): (u64, bool),
        store: &mut dyn RuleStore,
        environment: &Environment<'_>,
    ) -> Result<(), String> {
        let Some(query) = &self.spec.query else {
            return Err("the query does not read".to_owned()); // such a file is refused
        };
        let found = vector(query, store, query_at, &environment.options)?;
        let series = match &self.spec.kind {
            RuleKindSpec::Record => recorded(&self.spec, found, query_at, limit)?,
            RuleKindSpec::Alert {
                for_ms,
                keep_firing_for_ms,
                annotations,
            } => {
                let terms = Terms {
                    for_ms: *for_ms,
                    keep_firing_for_ms: *keep_firing_for_ms,
                    limit,
                };
                let elements =
                    elements(&self.spec, annotations, found, store, query_at, environment);
                let series = self.alerts.step(elements, at.ms(), terms)?;
                let series = series.into_iter().filter(|_| shows_alerts);
                series
                    .map(|(labels, value)| float(labels, query_at, value))
                    .collect()
            }
        };
        let now: BTreeSet<Labels> = series.iter().map(|one| one.labels.clone()).collect();
        let gone = self.series.difference(&now).cloned();
        let ended = gone.map(|labels| float(labels, query_at, f64::from_bits(STALE_NAN_BITS)));
        let ended: Vec<AppendedSeries> = ended.collect();
        self.series = now;
        let appended = store.append(series);
        // What cannot be ended ends by the lookback.
        store.append(ended).ok();
        appended
    }

    fn describe(&self) -> host::RuleState {
        let spec = &self.spec;
        let health = match (self.last_evaluation, self.error.is_empty()) {
            (None, _) => "unknown",
            (Some(_), true) => "ok",
            (Some(_), false) => "err",
        };
        let kind = match &spec.kind {
            RuleKindSpec::Record => RuleKind::Recording,
            RuleKindSpec::Alert {
                for_ms,
                keep_firing_for_ms,
                annotations,
            } => RuleKind::Alerting {
                state: self.alerts.state().as_str(),
                for_ms: *for_ms,
                keep_firing_for_ms: *keep_firing_for_ms,
                annotations: annotations.clone(),
                alerts: self
                    .alerts
                    .active()
                    .map(|(labels, alert)| host::Alert {
                        labels: labels.clone(),
                        annotations: alert.annotations.clone(),
                        state: alert.state.as_str(),
                        active_at: Timestamp::from_ms(alert.active_at_ms),
                        keep_firing_since: alert.keep_firing_since_ms.map(Timestamp::from_ms),
                        value: alert.value,
                    })
                    .collect(),
            },
        };
        let query = spec.query.as_ref();
        host::RuleState {
            name: spec.name.clone(),
            query: query.map_or(spec.expr.clone(), |query| print_query(query, &spec.expr)),
            labels: spec.labels.clone(),
            health,
            last_error: self.error.clone(),
            evaluation_s: seconds(self.evaluation_ns),
            last_evaluation: self.last_evaluation,
            kind,
        }
    }
}

/// The elements of a query's answer; a number is one without labels.
fn vector(
    query: &Query,
    store: &dyn RuleStore,
    at: Timestamp,
    options: &EvalOptions<'_>,
) -> Result<Vec<stillwell_engine::promql::VectorSample>, String> {
    let view = store.view();
    let answer = query.instant(&*view, at, options);
    match answer.map_err(|error| error.to_string())?.value {
        Value::Vector(elements) => Ok(elements),
        Value::Scalar(time, value) => Ok(vec![stillwell_engine::promql::VectorSample {
            labels: Labels::empty(),
            time,
            value,
            histogram: None,
        }]),
        Value::Matrix(_) | Value::String(..) => {
            Err("rule result is not a vector or scalar".to_owned())
        }
    }
}

fn recorded(
    spec: &RuleSpec,
    found: Vec<stillwell_engine::promql::VectorSample>,
    at: Timestamp,
    limit: u64,
) -> Result<Vec<AppendedSeries>, String> {
    let mut seen = BTreeSet::new();
    let mut series = Vec::with_capacity(found.len());
    for element in found {
        let mut labels = element.labels.to_builder();
        labels.set(METRIC_NAME, &spec.name);
        for (name, value) in spec.labels.iter() {
            labels.set(name, value);
        }
        let labels = labels.build();
        if !seen.insert(labels.clone()) {
            let why = "vector contains metrics with the same labelset after applying rule labels";
            return Err(why.to_owned());
        }
        series.push(match element.histogram {
            Some(histogram) => AppendedSeries {
                labels,
                floats: Vec::new(),
                histograms: vec![(at, (*histogram).clone())],
            },
            None => float(labels, at, element.value),
        });
    }
    let count = series.len() as u64;
    if limit > 0 && count > limit {
        return Err(format!("exceeded limit of {limit} with {count} series"));
    }
    Ok(series)
}

/// How long the templates of one evaluation of a rule may take: other groups wait.
const TEMPLATES_NS_MAX: u64 = 2_000_000_000;
/// Answers to queries in them that are remembered meanwhile.
const TEMPLATE_ANSWERS_MAX: usize = 16;

/// The elements of an alert's query with their labels and annotations filled in.
fn elements(
    spec: &RuleSpec,
    annotations: &Labels,
    found: Vec<stillwell_engine::promql::VectorSample>,
    store: &dyn RuleStore,
    at: Timestamp,
    environment: &Environment<'_>,
) -> Vec<Element> {
    let options = &environment.options;
    let evaluate = |text: &str| -> Result<Vec<(Labels, f64)>, String> {
        let query = Query::parse(text, &options.features).map_err(|error| error.to_string())?;
        let found = vector(&query, store, at, options)?;
        let found = found.into_iter().map(|one| (one.labels, one.value));
        Ok(found.collect())
    };
    // An annotation with a query asks the same for each of thousands of elements.
    let answers = RefCell::new(HashMap::new());
    let query = |text: &str| {
        let mut answers = answers.borrow_mut();
        if answers.len() >= TEMPLATE_ANSWERS_MAX {
            answers.clear();
        }
        let answer = answers.entry(text.to_owned());
        answer.or_insert_with(|| evaluate(text)).clone()
    };
    let began_ns = (environment.now_ns)();
    let is_over = || {
        let spent_ns = (environment.now_ns)().saturating_sub(began_ns);
        spent_ns > TEMPLATES_NS_MAX || options.stop.is_some_and(|stop| stop().is_some())
    };
    let budget = Budget::new(&is_over);
    let fill = |element: &stillwell_engine::promql::VectorSample| {
        let data = Data {
            labels: &element.labels,
            value: element.value,
            external_labels: &environment.external_labels,
            external_url: &environment.external_url,
            now_s: at.ms() as f64 / 1000.0,
            query: &query,
            budget: &budget,
        };
        let mut labels = element.labels.without_metric_name().to_builder();
        for (name, text) in spec.labels.iter() {
            labels.set(name, &expand(text, &data));
        }
        labels.set(ALERT_NAME, &spec.name);
        let filled = annotations
            .iter()
            .map(|(name, text)| (name, expand(text, &data)));
        let filled: Vec<(&str, String)> = filled.collect();
        let pairs = filled.iter().map(|(name, text)| (*name, text.as_str()));
        Element {
            labels: labels.build(),
            annotations: Labels::from_pairs(pairs),
            value: element.value,
        }
    };
    found.iter().map(fill).collect()
}

fn float(labels: Labels, at: Timestamp, value: f64) -> AppendedSeries {
    AppendedSeries {
        labels,
        floats: vec![(at, value)],
        histograms: Vec::new(),
    }
}

//! `signals:` of the configuration, kept by the engine, under the names by which the APIs ask for them.

mod describe;
mod judge;
mod reasons;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use stillwell_adapters::ClientAddress;
use stillwell_adapters::host::{
    Description, Element, GuardedRefusal, NoNumbers, NoneFits, ObjectList, ObjectMetric,
    ObjectQuestion, Outline, Reading, Signals, UsageList, UsageOf,
};
use stillwell_adapters::objects::{Kinds, Selector};
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::plan::ValueType;
use stillwell_engine::promql::{Answer, EvalOptions, Features, Query, QueryError};
use stillwell_engine::signal::{Policy, SignalId, State};
use stillwell_engine::{Engine, Limits, Reader, Timestamp};
use tracing::info;

use judge::{Pins, ask, judge_about, judge_signal};

use super::adhoc_signals::{AdhocSignals, EXPIRES_MS};
use super::askers::Askers;
use super::guarded_refusals::GuardedRefusals;
use super::object_metrics::{Asked, ObjectMetrics};
use super::objects::told;
use super::usage::UsageMetrics;
use super::{askers, for_each, not_there, rules, sanitized};
use crate::config::{Config, Problem, SignalSpec};
use crate::floor::highest;
use crate::rules::Rule;

/// The signals of one configuration.
pub struct Watched {
    signals: Vec<(SignalSpec, SignalId)>,
    /// The floor that applies to each.
    floors: Mutex<Vec<Option<f64>>>,
    /// Rules whose query depends on who asks.
    rules: Vec<Arc<Rule>>,
    /// Metrics of objects.
    objects: ObjectMetrics,
    /// CPU and memory.
    usage: UsageMetrics,
    reader: Reader,
    /// Carried, like what follows, from one configuration to the next. What anybody may ask for has places of its own, so
    /// that it displaces nothing that an HPA reads.
    asked: Arc<AdhocSignals>,
    asked_by_rules: Arc<AdhocSignals>,
    askers: Arc<Askers>,
    refusals: Arc<GuardedRefusals>,
    last_reads: Arc<Mutex<HashMap<SignalId, (Timestamp, String)>>>,
}

/// Checks every expression of the configuration: whether the engine would keep it.
pub fn check(specs: &[SignalSpec]) -> Vec<Problem> {
    let (_, reader) = Engine::new(Limits::default());
    register(specs, &reader, &[]).err().unwrap_or_default()
}

impl Watched {
    /// No signals.
    pub(super) fn none(reader: Reader) -> Watched {
        let asked = Asked::new();
        Watched {
            signals: Vec::new(),
            floors: Mutex::default(),
            rules: Vec::new(),
            usage: UsageMetrics::new(None, reader.clone(), Arc::clone(&asked)),
            objects: ObjectMetrics::new(Vec::new(), reader.clone(), asked),
            reader,
            asked: Arc::new(AdhocSignals::by_anybody()),
            asked_by_rules: Arc::new(AdhocSignals::by_rules()),
            askers: Arc::default(),
            refusals: Arc::default(),
            last_reads: Arc::default(),
        }
    }

    /// The signals of a new configuration. One whose expression and jobs are as before goes on with what it has seen,
    /// under its new policy. With errors nothing changes. `wall` is the time of the wall clock, for floors.
    pub(super) fn replace(
        config: &Config,
        before: &Watched,
        wall: Timestamp,
    ) -> Result<Watched, Vec<Problem>> {
        let reader = before.reader.clone();
        let signals = register(&config.signals, &reader, &before.signals)?;
        let mut floors = Vec::new();
        for (spec, id) in &signals {
            let floor = highest(&spec.floors, wall);
            let policy = spec.policy.clone();
            reader.set_policy(*id, Policy { floor, ..policy });
            floors.push(floor);
        }
        Ok(Watched {
            signals,
            floors: Mutex::new(floors),
            rules: config.rules.clone(),
            usage: UsageMetrics::new(
                config.resource_rules.clone(),
                reader.clone(),
                Arc::clone(before.objects.asked()),
            ),
            objects: ObjectMetrics::new(
                config.object_rules.clone(),
                reader.clone(),
                Arc::clone(before.objects.asked()),
            ),
            reader,
            asked: Arc::clone(&before.asked),
            asked_by_rules: Arc::clone(&before.asked_by_rules),
            askers: Arc::clone(&before.askers),
            refusals: Arc::clone(&before.refusals),
            last_reads: Arc::clone(&before.last_reads),
        })
    }

    /// Puts the floors into force that apply at this time of the wall clock.
    pub(super) fn apply_floors(&self, wall: Timestamp) {
        for ((spec, id), applied) in self.signals.iter().zip(self.floors.lock().iter_mut()) {
            let floor = highest(&spec.floors, wall);
            if *applied != floor {
                info!(signal = spec.name, ?floor, "the floor of a signal changes");
                *applied = floor;
                let policy = spec.policy.clone();
                self.reader.set_policy(*id, Policy { floor, ..policy });
            }
        }
    }

    /// Ends the signals of queries that nobody asks about any more.
    pub(super) fn expire(&self, now: Timestamp) {
        self.asked.expire(&self.reader, now);
        self.asked_by_rules.expire(&self.reader, now);
        self.objects.asked().expire(&self.reader, now);
        self.askers.expire(EXPIRES_MS, now);
    }

    /// Ends the signals that `kept` does not go on with, once nobody reads them by name any more.
    pub(super) fn end_unless_in(&self, kept: &Watched) {
        for (_, id) in &self.signals {
            if kept.signals.iter().all(|(_, other)| other != id) {
                self.reader.remove(*id);
                self.last_reads.lock().remove(id);
            }
        }
    }
}

/// What a name stands for.
pub(super) enum Found<'a> {
    /// A signal.
    Signal(&'a SignalSpec, SignalId),
    /// A metric of a rule: the query for whoever asks.
    Rule(Result<String, QueryError>),
}

/// The kinds under which signals are listed on the custom metrics API.
const SIGNAL_KINDS: [&str; 3] = [
    "inferencepools.inference.networking.k8s.io",
    "inferencepools.inference.networking.x-k8s.io",
    "services",
];

/// The label by which elements of signals say in which namespace their object is.
const NAMESPACE: &str = "namespace";

impl Watched {
    /// The signal of this name, in any case.
    fn named(&self, name: &str) -> Option<&(SignalSpec, SignalId)> {
        let named = |(spec, _): &&(SignalSpec, SignalId)| spec.name.eq_ignore_ascii_case(name);
        self.signals.iter().find(named)
    }

    /// The signal that answers for metrics of objects of this name. One that an external rule made does not where there are
    /// custom rules: prometheus-adapter keeps the names of the two apart, and which metrics a pattern makes is only known once
    /// there are series.
    fn named_for(&self, question: &ObjectQuestion<'_>) -> Option<&(SignalSpec, SignalId)> {
        let named = self.named(question.metric)?;
        (!named.0.from_rules || !self.objects.has_rules()).then_some(named)
    }

    /// What this name, in any case, stands for to a caller of this namespace who selects nothing.
    pub(super) fn find(&self, name: &str, namespace: &str) -> Option<Found<'_>> {
        if let Some((spec, id)) = self.named(name) {
            return Some(Found::Signal(spec, *id));
        }
        let all = Selector::default();
        rules::query_for(&self.rules, &self.reader, name, namespace, &all).map(Found::Rule)
    }

    /// Whether there may be a metric of this name, whatever is scraped. Takes no look at the store.
    pub(super) fn may_have(&self, name: &str) -> bool {
        let begins = |signal: &SignalSpec| {
            let begin = name.get(..signal.name.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(&signal.name))
        };
        let is_of_signal = |(spec, _): &(SignalSpec, SignalId)| {
            spec.name.eq_ignore_ascii_case(name) || (!spec.for_each.is_empty() && begins(spec))
        };
        let may_make = |rule| match rules::fixed_name(rule) {
            Some(made) => made.is_some_and(|made| made.eq_ignore_ascii_case(name)),
            None => true, // one over a pattern of names makes what the store tells
        };
        self.signals.iter().any(is_of_signal) || self.rules.iter().any(|rule| may_make(rule))
    }

    /// The names that the configuration gives. Takes no look at the store.
    pub(super) fn fixed_names(&self) -> Vec<String> {
        let made = self.rules.iter().filter_map(|rule| rules::fixed_name(rule));
        let signals = self.signals.iter().map(|(spec, _)| spec.name.clone());
        signals.chain(made.flatten()).collect()
    }

    /// What a selector means to a signal that reads values sanitised.
    fn resolve(&self, spec: &SignalSpec, selector: &Selector) -> Result<Selector, String> {
        let query =
            Query::parse(&spec.expr, &Features::all()).map_err(|error| error.to_string())?;
        let series: Vec<_> = query
            .selectors()
            .map(|used| used.matchers.to_vec())
            .collect();
        sanitized::resolve(selector, &series, &self.reader)
    }

    /// What each signal of the configuration says, by name. Nobody counts as having read them.
    pub(super) fn readings(
        &self,
        now: Timestamp,
    ) -> Vec<(String, stillwell_engine::signal::Reading)> {
        let read = |(spec, id): &(SignalSpec, SignalId)| {
            let reading = self.reader.signal(*id, now, &[])?;
            Some((spec.name.clone(), reading))
        };
        self.signals.iter().filter_map(read).collect()
    }

    /// The names of those of the configuration.
    pub(super) fn configured_names(&self) -> BTreeSet<String> {
        let signals = self.signals.iter();
        signals.map(|(spec, _)| spec.name.clone()).collect()
    }

    /// The same for whoever adds up what several processes say that share their targets: without signals that are unknown
    /// here because no target of this process counts for them.
    pub(super) fn readings_of_shard(
        &self,
        now: Timestamp,
    ) -> Vec<(String, stillwell_engine::signal::Reading)> {
        let mut readings = self.readings(now);
        readings.retain(|(name, reading)| {
            let of_name = |(spec, _): &&(SignalSpec, SignalId)| spec.name == *name;
            let id = self.signals.iter().find(of_name).map(|(_, id)| *id);
            let has_targets = id.and_then(|id| self.reader.has_targets(id));
            !matches!(reading.state, State::Unknown { .. }) || has_targets != Some(false)
        });
        readings
    }

    /// Remembers who read a signal, and what was told.
    pub(super) fn note_read(&self, id: SignalId, now: Timestamp, told: String) {
        self.last_reads.lock().insert(id, (now, told));
    }
}

/// Why a query can never be a number, whatever is scraped; `None` where it may, or does not parse.
fn no_number(expr: &str) -> Option<String> {
    let query = Query::parse(expr, &Features::all()).ok()?;
    match query.plan().value_type() {
        ValueType::Scalar | ValueType::Vector => None,
        other => Some(format!(
            "it yields a {}; a signal needs an instant vector or a scalar",
            other.documented()
        )),
    }
}

/// What was told of many objects, in a few words.
fn told_of_many(list: &Result<ObjectList, NoNumbers>, label: &str) -> String {
    match list {
        Ok(list) => format!(
            "{} of {} {label}s",
            list.told.len(),
            list.told.len() + list.missing.len()
        ),
        Err(why) => format!("unknown: {why}"),
    }
}

fn register(
    specs: &[SignalSpec],
    reader: &Reader,
    before: &[(SignalSpec, SignalId)],
) -> Result<Vec<(SignalSpec, SignalId)>, Vec<Problem>> {
    let (mut registered, mut started, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for spec in specs {
        let same = |(old, id): &&(SignalSpec, SignalId)| {
            // Two signals of one expression are two signals.
            let free = registered.iter().all(|(_, taken)| taken != id);
            free && old.expr == spec.expr && old.policy.jobs == spec.policy.jobs
        };
        let kept = before.iter().find(same).map(|(_, id)| *id);
        if let Some(why) = no_number(&spec.expr) {
            let message = format!("signal {:?}: expr: {why}", spec.name);
            problems.push(Problem::new(spec.line, message));
            continue;
        }
        let id = match kept {
            Some(id) => Ok(id),
            None => reader
                .register(&spec.expr, spec.policy.clone())
                .inspect(|id| started.push(*id)),
        };
        match id {
            Ok(id) => registered.push((spec.clone(), id)),
            Err(error) => {
                let message = format!("signal {:?}: expr: {error}", spec.name);
                problems.push(Problem::new(spec.line, message));
            }
        }
    }
    if problems.is_empty() {
        return Ok(registered);
    }
    for id in started {
        reader.remove(id);
    }
    Err(problems)
}

impl Signals for Watched {
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .signals
            .iter()
            .map(|(spec, _)| spec.name.clone())
            .collect();
        for (spec, _) in self
            .signals
            .iter()
            .filter(|(spec, _)| !spec.for_each.is_empty())
        {
            names.extend(for_each::names(spec, &self.reader));
        }
        names.extend(rules::metrics(&self.rules, &self.reader));
        names.sort();
        names.dedup();
        names
    }

    fn read(
        &self,
        name: &str,
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<Reading> {
        let judged = self.judge(name, namespace, selector, now)?;
        let asker = || askers::external(name, namespace, selector);
        self.note_judged(&judged, asker, now);
        Some(judged.reading)
    }

    fn read_if_ready(
        &self,
        name: &str,
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<Reading> {
        let asker = || askers::external(name, namespace, selector);
        let Some((spec, id)) = self.named(name) else {
            let judged = self.read_rule_if_ready(name, namespace, selector, now)?;
            self.note_judged(&judged, asker, now);
            return Some(judged.reading);
        };
        if spec.sanitized {
            return None; // its selector is resolved by what is in the store
        }
        let read = |id, pins: &Pins| self.reader.signal_if_ready(id, now, pins);
        let all = Selector::default();
        let wanted = match spec.passes_over(selector) {
            true => &all,
            false => selector,
        };
        let judged = judge_signal((spec, *id), namespace, wanted, read)?;
        self.note_judged(&judged, asker, now);
        Some(judged.reading)
    }

    fn read_object(
        &self,
        question: &ObjectQuestion<'_>,
        name: &str,
        now: Timestamp,
    ) -> Option<Reading> {
        let judged = self.judge_object(question, name, now)?;
        self.note_judged(&judged, || askers::custom(question, name), now);
        Some(judged.reading)
    }

    fn read_object_if_ready(
        &self,
        question: &ObjectQuestion<'_>,
        name: &str,
        now: Timestamp,
    ) -> Option<Reading> {
        let found = self.named_for(question);
        let (spec, id) = found.filter(|(spec, _)| !spec.sanitized)?;
        let pinned = self.reader.pinned_if_ready(*id)?;
        let read = |id, pins: &Pins| self.reader.signal_if_ready(id, now, pins);
        let judged = judge_about((question, name), spec, &pinned, |wanted| {
            judge_signal((spec, *id), question.namespace, wanted, read)
        })?;
        if let Reading::Unknown(_) = judged.reading {
            return None; // whether it is there takes a look at the series
        }
        self.note_judged(&judged, || askers::custom(question, name), now);
        Some(judged.reading)
    }

    fn read_objects(
        &self,
        question: &ObjectQuestion<'_>,
        names: Option<&[String]>,
        now: Timestamp,
    ) -> Option<Result<ObjectList, NoNumbers>> {
        let Some((spec, id)) = self.named_for(question) else {
            let (asked, list) = self.objects.read_many(question, names, now)?;
            let told = told_of_many(&list, question.kind.label());
            self.askers
                .note(askers::custom(question, "*"), asked, told, now);
            return Some(list);
        };
        let (namespace, label) = (question.namespace, question.kind.label());
        if !spec.allows(namespace) {
            return Some(Err(NoNumbers::Forbidden));
        }
        let asked = not_there::Question {
            query: &spec.expr,
            namespace_label: NAMESPACE,
            label,
            names,
            asked: question,
            holds_conditions: false,
        };
        let selected = |mut list: ObjectList| {
            let elements = list.told.iter().map(|(_, element)| element.clone());
            let mut elements: Vec<Element> = elements.collect();
            let selector = question.selector;
            match NoneFits::or_keep(selector, &mut elements) {
                Err(none) if !list.told.is_empty() => Err(NoNumbers::NoneFits(none)),
                _ => {
                    list.told.retain(|(_, one)| selector.matches(&one.labels));
                    Ok(list)
                }
            }
        };
        let (of_query, list) = self.objects.ask_many(&asked, &spec.policy, now);
        let list = list.and_then(selected);
        let told = told_of_many(&list, label);
        self.askers
            .note(askers::custom(question, "*"), of_query, told.clone(), now);
        self.note_read(*id, now, format!("namespace {namespace}: {told}"));
        Some(list)
    }

    fn object_metrics(&self, kinds: &Kinds) -> Vec<ObjectMetric> {
        let mut listed = self.objects.list(kinds);
        // Signals may be about any kind whose label their elements have; these are the usual ones.
        let of_signals = SIGNAL_KINDS.iter().filter_map(|path| kinds.of_path(path));
        for kind in of_signals {
            for (spec, _) in self.signals.iter().filter(|(spec, _)| !spec.from_rules) {
                listed.insert(ObjectMetric {
                    resource: kind.path(),
                    name: spec.name.clone(),
                    namespaced: true,
                });
            }
        }
        listed.into_iter().collect()
    }

    fn usage(
        &self,
        of: UsageOf<'_>,
        names: &[String],
        now: Timestamp,
    ) -> Option<Result<UsageList, String>> {
        self.usage.read(of, names, now)
    }

    fn history(
        &self,
        name: &str,
        range: (Timestamp, Timestamp),
        step_ms: i64,
        within: &EvalOptions<'_>,
    ) -> Option<Result<Answer, QueryError>> {
        let (_, id) = self.named(name)?;
        self.reader.signal_range(*id, range, step_ms, within)
    }

    fn guarded(
        &self,
        query: &str,
        (now, address): (Timestamp, Option<ClientAddress>),
        within: &EvalOptions<'_>,
    ) -> Result<Reading, QueryError> {
        let asked = ask(&self.asked, &self.reader, query, (now, address), within)?;
        Ok(asked.1)
    }

    fn guarded_if_ready(&self, query: &str, now: Timestamp) -> Option<Reading> {
        let id = self.asked.standing(query, now)?;
        let reading = self.reader.signal_if_ready(id, now, &[])?;
        Some(told(reading, &Labels::empty()))
    }

    fn guarded_refused(&self, query: &str, why: &str, now: Timestamp) {
        self.refusals.add(query, why, now);
    }

    fn guarded_answered(&self, query: &str) {
        self.refusals.remove(query);
    }

    fn guarded_refusals(&self, now: Timestamp) -> Vec<GuardedRefusal> {
        self.refusals.list(now)
    }

    fn outlines(&self, now: Timestamp) -> Vec<Outline> {
        describe::outlines(self, now)
    }

    fn describe(&self, only: Option<&str>, now: Timestamp) -> Vec<Description> {
        describe::describe(self, only, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, expr: &str, hold_ms: i64) -> SignalSpec {
        SignalSpec {
            name: name.to_owned(),
            expr: expr.to_owned(),
            namespaces: Vec::new(),
            labels: Labels::empty(),
            policy: Policy {
                hold_ms: Some(hold_ms),
                ..Policy::default()
            },
            line: 7,
            from_rules: false,
            sanitized: false,
            floors: Vec::new(),
            for_each: Vec::new(),
        }
    }

    fn config(signals: Vec<SignalSpec>) -> Config {
        Config {
            signals,
            ..Config::default()
        }
    }

    fn ids(registered: &Watched) -> Vec<SignalId> {
        registered.signals.iter().map(|(_, id)| *id).collect()
    }

    #[test]
    fn a_reload_keeps_what_it_does_not_change_and_a_bad_one_keeps_everything() {
        let (_writer, reader) = Engine::new(Limits::default());
        let none = Watched::none(reader);
        let first = Watched::replace(
            &config(vec![spec("a", "sum(x)", 1), spec("b", "sum(y)", 1)]),
            &none,
            Timestamp::from_ms(0),
        )
        .expect("valid");
        let problems = Watched::replace(
            &config(vec![spec("a", "sum(x)", 9), spec("c", "sum(", 1)]),
            &first,
            Timestamp::from_ms(0),
        )
        .err()
        .expect("an expression is broken");
        assert_eq!((problems.len(), problems[0].line), (1, 7));
        let texts = check(&[spec("s", "\"x\"", 1), spec("m", "x[5m]", 1)]);
        let texts: Vec<&str> = texts.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(
            texts,
            [
                "signal \"s\": expr: it yields a string; a signal needs an instant vector or a scalar",
                "signal \"m\": expr: it yields a range vector; a signal needs an instant vector or a scalar",
            ]
        );
        let second = Watched::replace(
            &config(vec![spec("n", "sum(z)", 1), spec("renamed", "sum(x)", 2)]),
            &first,
            Timestamp::from_ms(0),
        )
        .expect("valid");
        assert_eq!(
            ids(&second)[1],
            ids(&first)[0],
            "same expression, another name and policy"
        );
        assert!(!ids(&first)[..1].contains(&ids(&second)[0]));
        assert_eq!(second.names(), ["n", "renamed"]);
    }
}

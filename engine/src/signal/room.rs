//! All signals: their queries, what they last said, and the moments at which that changed.
//!
//! A signal is evaluated when a target that counts for it has given a page, and judged whenever somebody asks, for
//! time alone can turn a value into a held one and a held one into nothing (S5).

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::labels::Labels;
use crate::limits::{SIGNALS_MAX, TRANSITIONS_MAX};
use crate::promql::{EvalOptions, Features, Query, QueryError, Value};
use crate::store::{Store, TargetId};
use crate::time::Timestamp;

use super::facts::{ChangeKind, Facts};
use super::judge::{self, Verdict};
use super::names::Names;
use super::policy::{Nan, Policy};
use super::query::{Kind, SignalQuery};
use super::scope::{self, Pins, Scope};
use super::standing::Standing;
use super::view::SignalView;

/// Numbers past this wrap around in the HPA's arithmetic (apimachinery `Quantity.MilliValue`).
pub(crate) const NUMBER_MAX: f64 = 9.2e15;

/// Some 140,000 years.
const NOW_MS_MAX: i64 = 1 << 52;

/// A standing signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalId(pub(crate) u32);

impl SignalId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a signal may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Measured now.
    Value,
    /// Not quite: some target is frozen for less than the hold, or a process has just changed.
    Held {
        /// How old the oldest part is.
        age_ms: i64,
        /// Who is not fresh.
        why: String,
    },
    /// No number may be told.
    Unknown {
        /// Who, since when, and what to change.
        why: String,
    },
}

/// A number with its group's labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// The group.
    pub labels: Labels,
    /// The number.
    pub value: f64,
    /// When it was measured; for a held one, when its oldest part was.
    pub time: Timestamp,
}

/// What a signal says now.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Whether its numbers may be told.
    pub state: State,
    /// Empty where the state is unknown; else at least one.
    pub elements: Vec<Element>,
}

/// A change of what a signal says.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// When it was noticed.
    pub time: Timestamp,
    /// What it said from then on.
    pub state: State,
    /// Its first number, if it had any.
    pub value: Option<f64>,
}

/// All signals, and what their targets have shown.
pub(crate) struct Room {
    pub(crate) facts: Facts,
    pub(crate) names: Names,
    pub(crate) features: Features,
    pub(crate) signals: Vec<Option<Signal>>,
    /// The facts' epoch at which scopes were last worked out.
    scoped_epoch: u64,
    next_serial: u64,
}

/// One signal.
pub(crate) struct Signal {
    pub(crate) text: String,
    pub(crate) policy: Policy,
    pub(crate) query: SignalQuery,
    /// The query in the form that needs no query engine, where it has it.
    standing: Option<Standing>,
    /// What counts, as of the last structural change.
    pub(crate) scope: Scope,
    /// The newest evaluation.
    result: Result<Vec<(Labels, f64)>, String>,
    pub(crate) at_ms: Option<i64>,
    /// A target that counts has given a page since.
    pub(crate) outdated: bool,
    /// Tells this signal from another that had its number before.
    pub(crate) serial: u64,
    /// Pages of targets that count, so far.
    pub(crate) pages: u64,
    /// Which parts of the query were empty at the newest evaluation.
    empty_parts: Vec<usize>,
    /// The newest evaluation at which everything was fresh and no grace ran.
    unclamped: Option<(i64, Vec<(Labels, f64)>)>,
    /// Per group, the last result that was a number, for `nan: last`.
    numbers: Vec<(Labels, f64)>,
    grace: Option<Grace>,
    pub(crate) transitions: VecDeque<Transition>,
}

/// The time after a change of process (S6).
struct Grace {
    start_ms: i64,
    /// What was true before, if it is young enough to stand in.
    floor: Vec<(Labels, f64)>,
    why: String,
}

impl Room {
    pub(crate) fn new() -> Room {
        Room {
            facts: Facts::default(),
            names: Names::default(),
            features: Features::default(),
            signals: Vec::new(),
            scoped_epoch: 0,
            next_serial: 0,
        }
    }

    pub(crate) fn watch(
        &mut self,
        store: &RwLock<Store>,
        text: &str,
        policy: Policy,
    ) -> Result<SignalId, QueryError> {
        let query = SignalQuery::parse(text, &self.features, &self.names)?;
        for selector in &query.selectors {
            self.facts
                .watch_metric(selector.metric.as_deref(), &self.names);
        }
        for (label, _) in query.selectors.iter().flat_map(|selector| &selector.pins) {
            if self.facts.remember(label) {
                store
                    .read()
                    .each_value(label, |target, value| self.facts.see(target, label, value));
            }
        }
        let free = self.signals.iter().position(Option::is_none);
        let at = free.unwrap_or(self.signals.len());
        if at >= SIGNALS_MAX {
            return Err(QueryError::Execution(format!(
                "there are {SIGNALS_MAX} signals already, the most there may be"
            )));
        }
        self.facts.needs.add(&query, &self.names);
        let scope = scope::of_query(&self.facts, &self.names, &query, &policy, &[]);
        self.next_serial += 1;
        let signal = Signal {
            text: text.to_owned(),
            policy,
            standing: Standing::compile(query.query.plan()),
            query,
            scope,
            result: Ok(Vec::new()),
            at_ms: None,
            outdated: true,
            serial: self.next_serial,
            pages: 0,
            empty_parts: Vec::new(),
            unclamped: None,
            numbers: Vec::new(),
            grace: None,
            transitions: VecDeque::new(),
        };
        if at == self.signals.len() {
            self.signals.push(Some(signal));
        } else {
            self.signals[at] = Some(signal);
        }
        Ok(SignalId(at as u32))
    }

    pub(crate) fn signal(&self, id: SignalId) -> Option<&Signal> {
        self.signals.get(id.index())?.as_ref()
    }

    /// Works out what counts for each signal, where that may have changed.
    pub(crate) fn rescope(&mut self) {
        if self.scoped_epoch == self.facts.epoch {
            return;
        }
        self.scoped_epoch = self.facts.epoch;
        for signal in self.signals.iter_mut().flatten() {
            signal.scope =
                scope::of_query(&self.facts, &self.names, &signal.query, &signal.policy, &[]);
        }
    }

    /// A target's process changed, or it left: signals for which it counts remember what was true before (S6).
    pub(crate) fn changed(&mut self, target: TargetId, name: &str, kind: &ChangeKind, at_ms: i64) {
        for signal in self.signals.iter_mut().flatten() {
            if signal.scope.counting.contains(&target) || signal.scope.standby.contains(&target) {
                signal.start_grace(name, kind, at_ms);
            }
        }
    }

    /// What users know of names, beside the table. Signals whose kind it changes are judged by it at once.
    pub(crate) fn set_names(&mut self, names: Names) {
        self.names = names;
        for signal in self.signals.iter_mut().flatten() {
            // The text was parsed before; only what the names make of it is new.
            if let Ok(query) = SignalQuery::parse(&signal.text, &self.features, &self.names) {
                signal.query = query;
                signal.outdated = true;
                signal.pages += 1;
            }
        }
        self.facts.needs.publish(&self.names);
        self.facts.epoch += 1;
        self.rescope();
    }

    /// Gives a signal another policy; what it has seen stays (S1b).
    pub(crate) fn set_policy(&mut self, id: SignalId, policy: Policy) {
        let Room {
            facts,
            names,
            signals,
            ..
        } = self;
        if let Some(signal) = signals.get_mut(id.index()).and_then(Option::as_mut) {
            signal.policy = policy;
            signal.scope = scope::of_query(facts, names, &signal.query, &signal.policy, &[]);
        }
    }

    pub(crate) fn unwatch(&mut self, id: SignalId) {
        let Room {
            facts,
            names,
            signals,
            ..
        } = self;
        if let Some(signal) = signals.get_mut(id.index()).and_then(Option::take) {
            facts.needs.remove(&signal.query, names);
        }
        // Queries come and go as people ask; what is watched must not grow with all that ever were.
        facts.forget_metrics();
        for selector in signals
            .iter()
            .flatten()
            .flat_map(|signal| &signal.query.selectors)
        {
            facts.watch_metric(selector.metric.as_deref(), names);
        }
    }

    /// S1c: the newest good scrape among the targets that count.
    pub(crate) fn newest_good_ms(&self, signal: &Signal) -> Option<i64> {
        signal
            .scope
            .counting
            .iter()
            .filter_map(|&id| self.facts.target(id)?.last_good_ms)
            .max()
    }

    /// Remembers state changes of all signals.
    pub(crate) fn note(&mut self, now_ms: i64) {
        let Room {
            facts,
            names,
            signals,
            ..
        } = self;
        for signal in signals.iter_mut().flatten() {
            signal.note(facts, names, now_ms);
        }
    }

    /// A target has given a page: signals for which it counts are evaluated, or noted for evaluation when they are
    /// next read, if nothing depends on what they were in between.
    pub(crate) fn evaluate(&mut self, store: &Arc<RwLock<Store>>, target: TargetId, at: Timestamp) {
        let Room {
            facts,
            names,
            signals,
            ..
        } = self;
        for signal in signals
            .iter_mut()
            .flatten()
            .filter(|signal| signal.scope.counting.contains(&target))
        {
            signal.outdated = true;
            signal.pages += 1;
            if signal.stand(store, facts, names, at.ms()) {
                continue;
            }
            if signal.query.kind == Kind::Demand {
                let hidden = &signal.hidden(facts, at.ms());
                let view = SignalView::new(Arc::clone(store), facts, names, hidden, at.ms());
                let result = evaluate(&signal.query, &view, at, &signal.policy.options());
                signal.take(result, facts, at.ms());
            }
        }
    }

    /// S1c, S9: what a signal says at `now`, for a caller who pins some labels.
    pub(crate) fn read(&self, id: SignalId, now: Timestamp, pins: Pins<'_>) -> Option<Reading> {
        let signal = self.signal(id)?;
        // Far enough for everybody, and no arithmetic on it can overflow.
        let now_ms = now.ms().clamp(-NOW_MS_MAX, NOW_MS_MAX);
        Some(signal.read(&self.facts, &self.names, now_ms, pins))
    }
}

fn is_frozen(facts: &Facts, id: TargetId, at_ms: i64) -> bool {
    facts
        .target(id)
        .is_some_and(|target| !target.is_fresh(at_ms))
}

impl Signal {
    /// Evaluates without the query engine, where that is possible. Allocates nothing while the structure stands.
    fn stand(&mut self, store: &RwLock<Store>, facts: &Facts, names: &Names, at_ms: i64) -> bool {
        let Some(mut standing) = self.standing.take() else {
            return false;
        };
        let mut result = std::mem::replace(&mut self.result, Ok(Vec::new())).unwrap_or_default();
        let hidden;
        let hidden = match self
            .scope
            .standby
            .iter()
            .any(|&id| is_frozen(facts, id, at_ms))
        {
            false => &self.scope.excluded,
            true => {
                hidden = self.hidden(facts, at_ms);
                &hidden
            }
        };
        let done = standing.evaluate(store, facts, names, hidden, &mut result);
        let series = standing.series();
        self.standing = Some(standing);
        if let Some(max) = self.policy.series_max
            && done
            && series > max
        {
            let why = format!(
                "the query reads {series} series, at most {max} may be read here: select fewer"
            );
            self.take(Err(why), facts, at_ms);
        } else if done {
            self.take(
                Ok(Outcome {
                    values: result,
                    empty_parts: Vec::new(),
                }),
                facts,
                at_ms,
            );
        }
        done
    }

    /// Targets whose series this signal does not see: those that do not count, and frozen ones that stand by.
    pub(crate) fn hidden(&self, facts: &Facts, at_ms: i64) -> Vec<TargetId> {
        let frozen = self
            .scope
            .standby
            .iter()
            .filter(|&&id| is_frozen(facts, id, at_ms));
        self.scope.excluded.iter().chain(frozen).copied().collect()
    }

    fn start_grace(&mut self, name: &str, kind: &ChangeKind, at_ms: i64) {
        let grace_ms = self.policy.restart_grace_ms;
        if self
            .grace
            .as_ref()
            .is_some_and(|grace| at_ms - grace.start_ms < grace_ms)
        {
            return;
        }
        let floor = match &self.unclamped {
            Some((before_ms, values)) if at_ms - before_ms < grace_ms => values.clone(),
            _ => Vec::new(),
        };
        let why = match kind {
            ChangeKind::Restarted => format!("{name} restarted"),
            ChangeKind::LeftDiscovery => format!("{name} left discovery"),
            ChangeKind::LeadershipMoved => format!("leadership moved, as {name} says"),
        };
        self.grace = Some(Grace {
            start_ms: at_ms,
            floor,
            why,
        });
    }

    fn grace(&self, now_ms: i64) -> Option<&Grace> {
        let grace = self.grace.as_ref()?;
        (self.query.kind == Kind::Demand && now_ms - grace.start_ms < self.policy.restart_grace_ms)
            .then_some(grace)
    }

    /// A new result, as of `at_ms`.
    pub(crate) fn take(&mut self, outcome: Result<Outcome, String>, facts: &Facts, at_ms: i64) {
        self.empty_parts.clear();
        self.result = outcome.map(|outcome| {
            self.empty_parts = outcome.empty_parts;
            outcome.values
        });
        self.at_ms = Some(at_ms);
        self.outdated = false;
        let fresh =
            judge::targets(facts, &self.scope, &self.query, &self.policy, at_ms) == Verdict::Fresh;
        if let (Ok(values), true, true) = (&self.result, fresh, self.grace(at_ms).is_none()) {
            let keeps_numbers = self.policy.nan == Nan::Last;
            for (labels, value) in values
                .iter()
                .filter(|(_, value)| keeps_numbers && !value.is_nan())
            {
                match self.numbers.iter_mut().find(|(have, _)| have == labels) {
                    Some((_, last)) => *last = *value,
                    None => self.numbers.push((labels.clone(), *value)),
                }
            }
            let unclamped = self.unclamped.get_or_insert_with(Default::default);
            unclamped.0 = at_ms;
            unclamped.1.clone_from(values);
        }
    }

    fn read(&self, facts: &Facts, names: &Names, now_ms: i64, pins: Pins<'_>) -> Reading {
        match self.judge(facts, names, now_ms, pins) {
            Ok(reading) => reading,
            Err(why) => Reading {
                state: State::Unknown { why },
                elements: Vec::new(),
            },
        }
    }

    fn judge(
        &self,
        facts: &Facts,
        names: &Names,
        now_ms: i64,
        pins: Pins<'_>,
    ) -> Result<Reading, String> {
        self.crash_loops(facts, now_ms)?;
        let values = match (&self.result, self.at_ms) {
            (Ok(values), Some(_)) => values,
            (Err(why), _) => return Err(why.clone()),
            (Ok(values), None) => values,
        };
        let fits = |labels: &Labels| {
            pins.iter()
                .all(|(l, v)| labels.get(l).is_none_or(|have| have == v))
        };
        let groups: Vec<&(Labels, f64)> =
            values.iter().filter(|(labels, _)| fits(labels)).collect();
        let mut held: Option<(i64, String)> = None;
        let mut elements = Vec::new();
        for (labels, value) in groups {
            let group_pins: Vec<(String, String)> = labels
                .iter()
                .map(|(l, v)| (l.to_owned(), v.to_owned()))
                .chain(pins.iter().cloned())
                .collect();
            let time_ms = self.judge_group(facts, names, now_ms, &group_pins, &mut held)?;
            let value = self.number(labels, *value, now_ms)?;
            elements.push(Element {
                labels: labels.clone(),
                value,
                time: Timestamp::from_ms(time_ms),
            });
        }
        self.add_vanished(facts, names, now_ms, pins, &mut held, &mut elements)?;
        self.prove_empty_parts(facts, names, now_ms, pins, &mut elements)?;
        if elements.is_empty() {
            let time_ms = self.judge_group(facts, names, now_ms, pins, &mut held)?;
            let labels = self.empty_group(pins)?;
            let value = self.empty_value(facts, names, now_ms, pins)?;
            let value = self.number(&labels, value, now_ms)?;
            elements.push(Element {
                labels,
                value,
                time: Timestamp::from_ms(time_ms),
            });
        }
        let state = match held {
            None => State::Value,
            Some((since_ms, why)) => State::Held {
                age_ms: now_ms - since_ms,
                why,
            },
        };
        Ok(Reading { state, elements })
    }

    /// In a grace a group that the new process does not show yet is held at what it was (S6b).
    fn add_vanished(
        &self,
        facts: &Facts,
        names: &Names,
        now_ms: i64,
        pins: Pins<'_>,
        held: &mut Option<(i64, String)>,
        elements: &mut Vec<Element>,
    ) -> Result<(), String> {
        let Some(grace) = self.grace(now_ms) else {
            return Ok(());
        };
        for (labels, floor) in grace.floor.iter().filter(|(labels, _)| !labels.is_empty()) {
            let fits = pins
                .iter()
                .all(|(l, v)| labels.get(l).is_none_or(|have| have == v));
            if !fits || elements.iter().any(|element| element.labels == *labels) {
                continue;
            }
            let group: Vec<(String, String)> = labels
                .iter()
                .map(|(l, v)| (l.to_owned(), v.to_owned()))
                .chain(pins.iter().cloned())
                .collect();
            let time_ms = self.judge_group(facts, names, now_ms, &group, held)?;
            let time = Timestamp::from_ms(time_ms);
            elements.push(Element {
                labels: labels.clone(),
                value: *floor,
                time,
            });
        }
        Ok(())
    }

    /// Sums within the query that had no series count as 0 only where that is proven, each for itself (S4).
    fn prove_empty_parts(
        &self,
        facts: &Facts,
        names: &Names,
        now_ms: i64,
        pins: Pins<'_>,
        elements: &mut [Element],
    ) -> Result<(), String> {
        let at_ms = self.at_ms.unwrap_or(now_ms);
        for part in self
            .empty_parts
            .iter()
            .filter_map(|&index| self.query.parts.get(index))
        {
            let scope = scope::of_query(facts, names, part, &self.policy, pins);
            judge::absence(facts, names, &scope, part, &self.policy, pins, at_ms)?;
        }
        let all_empty =
            !self.query.parts.is_empty() && self.empty_parts.len() == self.query.parts.len();
        if let (true, Some(fallback)) = (all_empty, self.query.fallback) {
            for element in elements {
                element.value = self.number(&element.labels, fallback, now_ms)?;
            }
        }
        Ok(())
    }

    /// May a number be told for a group? Its time; `held` remembers the oldest reason to hold.
    fn judge_group(
        &self,
        facts: &Facts,
        names: &Names,
        now_ms: i64,
        pins: Pins<'_>,
        held: &mut Option<(i64, String)>,
    ) -> Result<i64, String> {
        let narrowed;
        let scope = if pins.is_empty() {
            &self.scope
        } else {
            narrowed = scope::of_query(facts, names, &self.query, &self.policy, pins);
            &narrowed
        };
        let mut time_ms = self.at_ms.unwrap_or(now_ms);
        match judge::targets(facts, scope, &self.query, &self.policy, now_ms) {
            Verdict::Fresh => {}
            Verdict::Unknown { why } => return Err(why),
            Verdict::Held { since_ms, why } => {
                time_ms = time_ms.min(since_ms);
                if held
                    .as_ref()
                    .is_none_or(|(oldest_ms, _)| since_ms < *oldest_ms)
                {
                    *held = Some((since_ms, why));
                }
            }
        }
        if self.query.kind != Kind::Demand {
            judge::processes_cover(facts, scope, &self.query, now_ms)?;
            judge::windows_covered(facts, scope, &self.query, &self.policy, now_ms)?;
        }
        if let Some(grace) = self.grace(now_ms).filter(|grace| grace.floor.is_empty()) {
            let grace_ms = self.policy.restart_grace_ms;
            judge::known_before(facts, scope, &self.query, grace.start_ms, grace_ms)?;
        }
        if let Some(grace) = self.grace(now_ms)
            && held.is_none()
        {
            *held = Some((grace.start_ms, grace.why.clone()));
        }
        Ok(time_ms)
    }

    /// The number of a group: clamped in a grace, checked for what a quantity cannot be.
    fn number(&self, labels: &Labels, value: f64, now_ms: i64) -> Result<f64, String> {
        let mut value = value;
        if value.is_nan() {
            value = match self.policy.nan {
                Nan::Zero => 0.0,
                Nan::Last => self.before(labels).ok_or_else(|| {
                    "the result is NaN, and there was no number before it".to_owned()
                })?,
                Nan::Unknown => {
                    return Err("the result is NaN (a division by zero, most likely: no traffic in the window); \
                                `nan: zero` or `nan: last` says what that means here"
                        .to_owned());
                }
            };
        }
        if let Some(grace) = self.grace(now_ms) {
            let floor = grace
                .floor
                .iter()
                .find(|(have, _)| have == labels)
                .map(|(_, value)| *value);
            value = floor.map_or(value, |floor| value.max(floor));
        }
        if value.abs() > NUMBER_MAX {
            return Err(format!(
                "the result is {value}, which no Kubernetes quantity can carry"
            ));
        }
        Ok(value)
    }

    fn before(&self, labels: &Labels) -> Option<f64> {
        self.numbers
            .iter()
            .find(|(have, _)| have == labels)
            .map(|(_, value)| *value)
    }

    /// S9c: the one group that an empty result can stand for.
    fn empty_group(&self, pins: Pins<'_>) -> Result<Labels, String> {
        let mut pairs = Vec::new();
        for label in &self.query.grouping {
            match pins.iter().find(|(pinned, _)| pinned == label) {
                Some((label, value)) => pairs.push((label.as_str(), value.as_str())),
                None => {
                    return Err(format!(
                        "no group exists, and which one would be 0 is not said: pin the label {label:?}"
                    ));
                }
            }
        }
        Ok(Labels::from_pairs(pairs))
    }

    fn empty_value(
        &self,
        facts: &Facts,
        names: &Names,
        now_ms: i64,
        pins: Pins<'_>,
    ) -> Result<f64, String> {
        if self.query.is_opaque && self.query.fallback.is_none() {
            return Err("some part of the query has no series, and which of its parts would be 0 cannot be told; add \
                        `or vector(0)` to each part"
                .to_owned());
        }
        let narrowed = scope::of_query(facts, names, &self.query, &self.policy, pins);
        judge::absence(
            facts,
            names,
            &narrowed,
            &self.query,
            &self.policy,
            pins,
            self.at_ms.unwrap_or(now_ms),
        )?;
        Ok(self.query.fallback.unwrap_or(0.0))
    }

    /// S6c.
    fn crash_loops(&self, facts: &Facts, now_ms: i64) -> Result<(), String> {
        let window_ms = self.policy.restart_grace_ms.saturating_mul(5);
        for target in self
            .scope
            .counting
            .iter()
            .filter_map(|&id| facts.target(id))
        {
            let restarts = target
                .changes_ms
                .iter()
                .filter(|&&change_ms| now_ms - change_ms < window_ms)
                .count();
            if restarts >= 3 {
                return Err(format!(
                    "crash loop: {} restarted {restarts} times within {} s",
                    target.name,
                    judge::seconds(window_ms)
                ));
            }
        }
        Ok(())
    }

    /// Remembers what the signal says, where that is another state than before.
    fn note(&mut self, facts: &Facts, names: &Names, now_ms: i64) {
        let reading = self.read(facts, names, now_ms, &[]);
        let kind = std::mem::discriminant(&reading.state);
        if self
            .transitions
            .back()
            .is_some_and(|last| std::mem::discriminant(&last.state) == kind)
        {
            return;
        }
        if self.transitions.len() == TRANSITIONS_MAX {
            self.transitions.pop_front();
        }
        let value = reading.elements.first().map(|element| element.value);
        self.transitions.push_back(Transition {
            time: Timestamp::from_ms(now_ms),
            state: reading.state,
            value,
        });
    }
}

/// What an evaluation yields.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) values: Vec<(Labels, f64)>,
    /// Parts of the query that had no series.
    pub(crate) empty_parts: Vec<usize>,
}

/// Evaluates a query in the signal view.
pub(crate) fn evaluate(
    query: &SignalQuery,
    view: &SignalView,
    at: Timestamp,
    options: &EvalOptions<'_>,
) -> Result<Outcome, String> {
    let values = vector(&query.query, view, at, options)?;
    let mut empty_parts = Vec::new();
    for (index, part) in query.parts.iter().enumerate() {
        if vector(&part.query, view, at, options)?.is_empty() {
            empty_parts.push(index);
        }
    }
    Ok(Outcome {
        values,
        empty_parts,
    })
}

fn vector(
    query: &Query,
    view: &SignalView,
    at: Timestamp,
    options: &EvalOptions<'_>,
) -> Result<Vec<(Labels, f64)>, String> {
    let answer = query
        .instant(view, at, options)
        .map_err(|error| error.to_string())?;
    match answer.value {
        Value::Vector(samples) if samples.iter().any(|sample| sample.histogram.is_some()) => Err(
            "the query yields native histograms, and a scaler takes numbers: reduce them, as by histogram_quantile, \
             histogram_count or histogram_sum"
                .to_owned(),
        ),
        Value::Vector(samples) => Ok(samples
            .into_iter()
            .map(|sample| (sample.labels, sample.value))
            .collect()),
        Value::Scalar(_, value) => Ok(vec![(Labels::empty(), value)]),
        Value::String(..) | Value::Matrix(_) => {
            Err("the query yields no instant vector".to_owned())
        }
    }
}

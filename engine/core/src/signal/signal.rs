//! One signal: its query, the newest result, and what is remembered of earlier results.

use std::collections::VecDeque;

use parking_lot::RwLock;

use crate::labels::Labels;
use crate::limits::{REFUSED_REST_MS, SIGNAL_ELEMENTS_MAX, TRANSITIONS_MAX};
use crate::store::Store;
use crate::time::Timestamp;

use super::assessment::Assessment;
use super::compiled::{CompiledQuery, EvalContext, Unsupported};
use super::demand::Demand;
use super::evaluate::{Compared, Evaluated, Evaluation};
use super::facts::{ChangeKind, Facts};
use super::grace::{self, Grace, Measured};
use super::judge;
use super::losses;
use super::names::Names;
use super::nan_as_zero;
use super::policy::{FallbackNumber, Nan, Policy};
use super::query::SignalQuery;
use super::reading::{Reading, State, Transition};
use super::remembered::LastNumbers;
use super::scope::Scope;

/// One signal.
pub(crate) struct Signal {
    pub(crate) text: String,
    pub(crate) policy: Policy,
    pub(crate) query: SignalQuery,
    /// The program of the query, or what in the query no program has.
    pub(super) compiled: Result<CompiledQuery, Unsupported>,
    /// Whether the newest result is the program's.
    pub(super) by_program: bool,
    /// The targets that count, as of the last change of facts.
    pub(crate) scope: Scope,
    /// The newest evaluation.
    pub(super) result: Result<Vec<(Labels, f64)>, String>,
    pub(crate) at_ms: Option<i64>,
    /// When a target that it saw has left last.
    pub(super) left_ms: i64,
    /// A page of a target that it sees was committed after the newest evaluation.
    pub(crate) outdated: bool,
    /// Distinguishes this signal from earlier ones with the same id.
    pub(crate) serial: u64,
    /// Number of pages of its targets so far.
    pub(crate) pages: u64,
    /// Parts of the query whose result was empty at the newest evaluation.
    pub(super) empty_parts: Vec<usize>,
    /// Whether comparisons in the query left out all that there was.
    pub(super) left_out: Compared,
    /// Series of which the newest evaluation found no finite number, where its result does not show that.
    pub(super) not_finite: Vec<Labels>,
    /// Elements that are NaN because a part of what they read is, with `nan: zero`.
    pub(super) nan_in_part: Vec<Labels>,
    /// The newest evaluation at which every target was fresh.
    pub(super) measured: Option<Measured>,
    /// The newest reading that was a value, proven zeros included; kept for the fallback to the last one.
    pub(super) last_value: Option<Measured>,
    /// The first such evaluation at which the value before the present processes was known, too (S6e).
    pub(super) known_since_ms: Option<i64>,
    /// Kept for `nan: last`, as long as the processes go on that gave them.
    pub(super) numbers: LastNumbers,
    pub(super) grace: Option<Grace>,
    /// Pages came before the grace that were not evaluated, so that its floors may be too low.
    pub(super) unmeasured: bool,
    /// The newest evaluation measured a part of what is read: some of it was lost, left out, or is not known (S4, S2b).
    pub(super) is_in_part: bool,
    /// Since when it is unknown, as far as that was noticed.
    pub(super) unknown_since_ms: Option<i64>,
    pub(crate) transitions: VecDeque<Transition>,
}

impl Signal {
    /// Whether a query of somebody who is not trusted with much (`series_max`) failed a moment ago, as one of too many series or
    /// elements does at each page.
    pub(super) fn is_refused_at(&self, now_ms: i64) -> bool {
        let rests = |at_ms: i64| now_ms < at_ms.saturating_add(REFUSED_REST_MS);
        self.policy.series_max.is_some()
            && !self.outdated
            && self.result.is_err()
            && self.at_ms.is_some_and(rests)
    }

    /// Whether the program of such a query selects its series at the next page.
    pub(super) fn selects_anew(&self, facts: &Facts, at_ms: i64) -> bool {
        let selects = |program: &CompiledQuery| program.selects(facts, at_ms);
        self.policy.series_max.is_some() && self.compiled.as_ref().is_ok_and(selects)
    }

    /// A page is not evaluated by the program.
    pub(super) fn pass_program(&mut self) {
        self.by_program = false;
    }

    /// How many series its program reads.
    pub(crate) fn series_of_program(&self) -> Option<usize> {
        self.compiled.as_ref().ok().map(CompiledQuery::series)
    }

    /// Evaluates the query by its program. False if it has none, or the program cannot answer now. Allocates nothing while
    /// the same series are on the pages.
    pub(crate) fn evaluate_compiled(
        &mut self,
        store: &RwLock<Store>,
        facts: &Facts,
        names: &Names,
        at_ms: i64,
        window_bytes_max: usize,
    ) -> bool {
        let Ok(compiled) = &mut self.compiled else {
            return false;
        };
        let (values, error) = match std::mem::replace(&mut self.result, Ok(Vec::new())) {
            Ok(values) => (values, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let mut outcome = Evaluation {
            values,
            empty_parts: std::mem::take(&mut self.empty_parts),
            left_out: std::mem::take(&mut self.left_out),
            not_finite: std::mem::take(&mut self.not_finite),
            nan_in_part: std::mem::take(&mut self.nan_in_part),
        };
        let bytes_max = self.policy.bytes_max.unwrap_or(usize::MAX);
        let context = EvalContext {
            store,
            facts,
            names,
            scope: &self.scope,
            at_ms,
            lookback_ms: self.policy.options().lookback_ms,
            window_bytes_max: window_bytes_max.min(bytes_max),
        };
        let done = compiled.evaluate(&context, &mut outcome);
        // Which samples are NaN is found out from the plan; until then any may be a part of what is read.
        let is_nan = nan_as_zero::concerns(self.policy.nan, &outcome);
        if is_nan {
            let nan = outcome.values.iter().filter(|(_, value)| value.is_nan());
            outcome
                .nan_in_part
                .extend(nan.map(|(labels, _)| labels.clone()));
        }
        let done = done && !is_nan;
        let series = compiled.series();
        self.by_program = done;
        if let Some(max) = self.policy.series_max
            && done
            && series > max
        {
            let why = format!(
                "the query reads {series} series, at most {max} may be read here: select fewer"
            );
            self.set_result(Err(why), facts, names, at_ms);
        } else if done {
            self.set_result(Ok(outcome), facts, names, at_ms);
        } else {
            self.result = error.map_or(Ok(outcome.values), Err);
            self.empty_parts = outcome.empty_parts;
            self.left_out = outcome.left_out;
            self.not_finite = outcome.not_finite;
            self.nan_in_part = outcome.nan_in_part;
        }
        done
    }

    /// The newest result, if it is the program's.
    pub(crate) fn by_program(&self) -> Option<Evaluated> {
        let outcome = |values: &Vec<(Labels, f64)>| Evaluation {
            values: values.clone(),
            empty_parts: self.empty_parts.clone(),
            left_out: self.left_out.clone(),
            not_finite: self.not_finite.clone(),
            nan_in_part: self.nan_in_part.clone(),
        };
        self.by_program
            .then(|| self.result.as_ref().map(outcome).map_err(String::clone))
    }

    /// Compiles the query. Error: what in it no program has.
    pub(crate) fn compile(query: &SignalQuery) -> Result<CompiledQuery, Unsupported> {
        CompiledQuery::compile(query)
    }

    /// Why the query is evaluated from its plan; `None` where its program is run.
    pub(crate) fn why_from_plan(&self) -> Option<String> {
        if self.policy.when_read {
            return Some("queries of any client cost commits nothing".to_owned());
        }
        match &self.compiled {
            Ok(compiled) => compiled.blocked().map(str::to_owned),
            Err(unsupported) => Some(unsupported.to_string()),
        }
    }

    /// Bytes that the windows of its program hold.
    pub(crate) fn window_bytes(&self) -> usize {
        self.compiled
            .as_ref()
            .map_or(0, CompiledQuery::window_bytes)
    }

    /// Starts a grace: the process of a target that it sees has changed (S6a).
    pub(super) fn start_grace(&mut self, name: &str, kind: &ChangeKind, at_ms: i64) {
        let continues = self.grace(at_ms).is_some();
        // Where pods come and go without a fault, what was last measured has to do: a scaler that is told nothing after each
        // of its own steps falls back.
        let comes_and_goes = matches!(
            kind,
            ChangeKind::LeftDiscovery
                | ChangeKind::SeriesLeft {
                    counters: false,
                    ..
                }
        );
        let is_fault = !comes_and_goes;
        self.numbers.clear();
        // Of who may be the same, what somebody was told within the grace before has to do.
        let grace_ms = self.policy.restart_grace_ms;
        let has_floor = |(ms, _): &Measured| at_ms.saturating_sub(*ms) < grace_ms;
        let is_old = match kind {
            ChangeKind::MayHaveRestarted => !self.measured.as_ref().is_some_and(has_floor),
            _ => self.outdated,
        };
        let is_unmeasured = is_old || self.is_in_part || self.has_no_number();
        self.unmeasured = (is_fault && is_unmeasured) || (continues && self.unmeasured);
        self.grace = Some(Grace::start(
            self.grace.take(),
            self.measured.as_ref(),
            (name, kind),
            at_ms,
            self.policy.restart_grace_ms,
        ));
    }

    /// Where nothing is known that was measured before the changes of its grace, no 0 is told within it.
    pub(super) fn require_floor(&mut self) {
        self.unmeasured |= self.grace.as_ref().is_some_and(Grace::has_no_floor);
    }

    /// The grace that applies at `now_ms`: only queries that read demand have one.
    pub(super) fn grace(&self, now_ms: i64) -> Option<&Grace> {
        let runs = |grace: &&Grace| grace.runs(now_ms, self.policy.restart_grace_ms);
        let grace = self.grace.as_ref().filter(runs);
        grace.filter(|_| self.query.demand != Demand::None)
    }

    /// Whether some sample or group of the newest result is no number, so that nothing was measured.
    fn has_no_number(&self) -> bool {
        let values = self.result.as_deref().unwrap_or_default();
        let mut numbers = values.iter().map(|(_, value)| value);
        let mut is_hidden =
            || !self.not_finite.is_empty() || numbers.any(|value| !value.is_finite());
        !self.nan_in_part.is_empty() || (self.policy.nan == Nan::Unknown && is_hidden())
    }

    /// Whether a result of this time counts as measured: every target is fresh and knows what is read, or each object is judged
    /// by its own (S5).
    pub(super) fn is_measured(&self, assessment: Assessment<'_>) -> bool {
        self.policy.object_label.is_some()
            || (judge::are_fresh(assessment, &self.scope, &self.query)
                && self.reads_all(assessment))
    }

    /// Whether nothing of what is read is missing: what the others show is no measurement of it all.
    fn reads_all(&self, assessment: Assessment<'_>) -> bool {
        let (scope, query) = (&self.scope, &self.query);
        losses::not_known(assessment, scope, query).is_none()
            && losses::nothing_is_missing(assessment, scope, query, self.policy.absent).is_ok()
    }

    /// Stores a new result, as of `at_ms`.
    pub(crate) fn set_result(
        &mut self,
        outcome: Evaluated,
        facts: &Facts,
        names: &Names,
        at_ms: i64,
    ) {
        self.empty_parts.clear();
        self.left_out.clear();
        self.not_finite.clear();
        self.nan_in_part.clear();
        let elements_max = match self.policy.object_label {
            Some(_) => usize::MAX,
            None => SIGNAL_ELEMENTS_MAX,
        };
        let outcome = outcome.and_then(|outcome| match outcome.values.len() {
            count if count > elements_max => Err(format!(
                "the query yields {count} elements, more than the {elements_max} that a signal may have; aggregate them"
            )),
            _ => Ok(outcome),
        });
        self.result = outcome.map(|outcome| {
            self.empty_parts = outcome.empty_parts;
            self.left_out = outcome.left_out;
            self.not_finite = outcome.not_finite;
            self.nan_in_part = outcome.nan_in_part;
            outcome.values
        });
        self.at_ms = Some(at_ms);
        self.outdated = false;
        let assessment = Assessment {
            facts,
            names,
            now_ms: at_ms,
            pins: &[],
        };
        self.is_in_part = self.policy.object_label.is_none() && !self.reads_all(assessment);
        let is_fresh = || judge::are_fresh(assessment, &self.scope, &self.query);
        let fresh = self.policy.object_label.is_some() || (!self.is_in_part && is_fresh());
        let finite = !self.has_no_number();
        if let (Ok(values), true) = (&self.result, fresh && finite) {
            let keeps_numbers = self.policy.nan == Nan::Last;
            for (labels, value) in values
                .iter()
                .filter(|(_, value)| keeps_numbers && !value.is_nan())
            {
                match self.numbers.get_mut(labels) {
                    Some(last) => *last = (*value, at_ms),
                    None => drop(self.numbers.insert(labels.clone(), (*value, at_ms))),
                }
            }
            if self.numbers.len() > 2 * values.len().max(SIGNAL_ELEMENTS_MAX) {
                let newest_ms = at_ms; // groups that come and go are no longer there
                self.numbers
                    .retain(|_, (_, measured_ms)| *measured_ms == newest_ms);
            }
            if self.known_since_ms.is_none() {
                let grace_ms = self.policy.restart_grace_ms;
                let unseen = grace::has_restarted_unseen(assessment, &self.scope, grace_ms);
                self.known_since_ms = (!unseen).then_some(at_ms);
            }
            let measured = self.measured.get_or_insert_with(Default::default);
            measured.0 = at_ms;
            measured.1.clone_from(values);
        }
    }

    /// Forgets what its query measured, because it reads something else now (S1b).
    pub(super) fn forget_measured(&mut self) {
        self.result = Ok(Vec::new());
        self.at_ms = None;
        self.empty_parts.clear();
        self.left_out.clear();
        self.not_finite.clear();
        self.nan_in_part.clear();
        self.measured = None;
        self.last_value = None;
        self.known_since_ms = None;
        self.numbers.clear();
        self.grace = None;
        self.unmeasured = false;
        self.is_in_part = false;
    }

    /// How many targets are judged for its state: those in scope, once for each element of the result.
    pub(super) fn judged_targets(&self) -> usize {
        let elements = self.result.as_ref().map_or(0, Vec::len);
        (1 + elements).saturating_mul(self.scope.len().max(1))
    }

    fn keep_last_value(&mut self, measured: &Reading, now_ms: i64) {
        let keeps =
            matches!(&self.policy.fallback, Some(one) if one.number == FallbackNumber::Last);
        if let (true, State::Value, [_, ..]) = (keeps, &measured.state, &measured.elements[..]) {
            let elements = measured.elements.iter();
            let values = elements.map(|element| (element.labels.clone(), element.value));
            let at_ms = self.at_ms.unwrap_or(now_ms);
            self.last_value = Some((at_ms, values.collect()));
        }
    }

    /// Records the state, if it differs from the last recorded one.
    pub(super) fn record_transition(&mut self, assessment: Assessment<'_>) {
        if self.policy.object_label.is_some() {
            return; // its objects have states, it has none
        }
        let measured = self.read_measured(assessment);
        self.unknown_since_ms = match measured.state {
            State::Unknown { .. } => self.unknown_since_ms.or(Some(assessment.now_ms)),
            _ => None,
        };
        self.keep_last_value(&measured, assessment.now_ms);
        let reading = self.configured(measured, assessment);
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
            time: Timestamp::from_ms(assessment.now_ms),
            state: reading.state,
            value,
        });
    }
}

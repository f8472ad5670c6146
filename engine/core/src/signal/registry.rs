//! All signals, and the facts about their targets.
//!
//! A signal is evaluated when a page of one of its targets is committed. It is judged at every reading, because time
//! alone turns a value into a held one, and a held one into an unknown one (S5).

use std::sync::Arc;

use parking_lot::RwLock;

use crate::limits::{
    COMPILED_ELEMENTS_MAX, READY_SIGNAL_ELEMENTS_MAX, READY_SIGNAL_TARGETS_MAX,
    SELECTED_SERIES_MAX, TRANSITION_TARGETS_MAX,
};
use crate::promql::RecordedRules;
use crate::promql::plan::ExprKind;
use crate::promql::{Features, Query, QueryError};
use crate::store::{Store, TargetId};
use crate::time::Timestamp;

use super::assess;
use super::assessment::{Assessment, Pins};
use super::demand::Demand;
use super::facts::{ChangeKind, Facts};
use super::judge;
use super::looks::{Looks, RESCOPE_SOON_MS};
use super::names::{Names, TableMetrics};
use super::policy::Policy;
use super::query::{ParseOptions, SignalQuery};
use super::reading::{Reading, SignalId, State};
use super::remembered::Remembered;
use super::scope::Scope;
use super::signal::Signal;
use super::unanswered;

/// About 140,000 years.
pub(super) const NOW_MS_MAX: i64 = 1 << 52;

/// The signals and the facts they share. One lock guards it all.
pub(crate) struct SignalRegistry {
    pub(crate) facts: Facts,
    pub(crate) names: Names,
    pub(super) parsing: ParseOptions,
    pub(crate) signals: Vec<Option<Signal>>,
    /// Of signals in a snapshot that nobody has registered yet.
    pub(super) remembered: Vec<Remembered>,
    /// The newest time of a scrape, in milliseconds.
    pub(crate) now_ms: i64,
    /// At scopes.
    pub(super) looks: Looks,
    /// When scopes have to be computed again although the facts' epoch has not changed.
    pub(super) rescope_ms: Option<i64>,
    pub(super) next_serial: u64,
    /// Where `record_transitions` goes on.
    next_transition: usize,
    /// Incremented whenever the configured names or rules change.
    pub(super) names_version: u64,
    /// Bytes that the windows of compiled queries hold, and may hold.
    pub(crate) window_bytes: usize,
    window_bytes_max: usize,
}

/// Whether a change of a target's page is one for a query. Series that leave are, where their metric has a value as long as
/// what it tells of is there: a model server that has shown a gauge shows it until its process ends.
pub(super) fn concerns(kind: &ChangeKind, query: &SignalQuery, names: &Names) -> bool {
    let ChangeKind::SeriesLeft {
        metrics,
        of_sources,
        counters,
    } = kind
    else {
        return true;
    };
    let reads = |metric: &str| {
        let is_of_engine = || {
            names
                .family(metric)
                .is_some_and(|(family, ..)| family.class.is_of_engine())
        };
        (*of_sources || names.is_never_absent(metric) || is_of_engine())
            && query.metrics().any(|queried| names.reads(queried, metric))
    };
    *counters || metrics.iter().any(|metric| reads(metric))
}

/// The metric names of a query as it is written.
fn names_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(query) = Query::parse(text, &Features::all()) {
        query.plan().walk(&mut |expr| {
            if let ExprKind::Selector(selector) | ExprKind::Range { selector, .. } = &expr.kind {
                names.extend(selector.metric_name().map(str::to_owned));
            }
        });
    }
    names
}

impl SignalRegistry {
    /// `window_bytes_max`: bytes that the windows of all compiled queries may hold together.
    pub(crate) fn new(window_bytes_max: usize) -> SignalRegistry {
        SignalRegistry {
            facts: Facts::default(),
            names: Names::default(),
            parsing: ParseOptions::default(),
            signals: Vec::new(),
            remembered: Vec::new(),
            now_ms: i64::MIN,
            looks: Looks::default(),
            rescope_ms: None,
            next_serial: 0,
            next_transition: 0,
            names_version: 0,
            window_bytes: 0,
            window_bytes_max,
        }
    }

    pub(crate) fn signal(&self, id: SignalId) -> Option<&Signal> {
        self.signals.get(id.index())?.as_ref()
    }

    /// The context of a judgement at this time, for a caller who pins these labels.
    pub(crate) fn assessment<'a>(&'a self, now_ms: i64, pins: Pins<'a>) -> Assessment<'a> {
        Assessment {
            facts: &self.facts,
            names: &self.names,
            now_ms,
            pins,
        }
    }

    /// Whether a target that may show what a signal reads for these pins has no fresh page; true where there is no such signal.
    pub(crate) fn is_unanswered(&self, id: SignalId, now: Timestamp, pins: Pins<'_>) -> bool {
        let now_ms = now.ms().clamp(-NOW_MS_MAX, NOW_MS_MAX);
        self.signal(id).is_none_or(|signal| {
            unanswered::is_unanswered(self.assessment(now_ms, pins), &signal.query, &signal.policy)
        })
    }

    /// Advances the clock of the registry to the time of a scrape; it never goes back.
    pub(crate) fn advance_to(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// A target's process has changed, or the target has left, or its page something: the signals that see it start a grace
    /// (S6).
    pub(crate) fn process_changed(&mut self, target: TargetId, kind: &ChangeKind, at_ms: i64) {
        self.facts.note_change(target, kind, at_ms);
        let facts = self.facts.target(target);
        let name = facts.map_or("", |facts| facts.name.as_str());
        let names = &self.names;
        for signal in self.signals.iter_mut().flatten() {
            if signal.scope.shows(target) && concerns(kind, &signal.query, names) {
                signal.start_grace(name, kind, at_ms);
            }
        }
    }

    /// Parses a query with what is configured.
    pub(super) fn parse(&self, text: &str) -> Result<SignalQuery, QueryError> {
        SignalQuery::parse(text, &self.names, &self.parsing)
    }

    /// Sets the names that users configure in addition to the table. Every query is classified and compiled again, where they
    /// are others than before: a reload sets them, mostly to what they were.
    pub(crate) fn set_names(&mut self, names: Names) {
        if self.names != names {
            self.names = names;
            self.parse_again(|_| true);
        }
        self.facts.requirements.publish(&self.names);
        self.facts.look_for_losses(&TableMetrics::default());
    }

    /// Sets the rules whose series signals read as the rules' expressions. What a signal measured by other rules is
    /// forgotten (S1b). Returns the queries that changed.
    pub(super) fn set_recorded(&mut self, recorded: RecordedRules) -> Vec<SignalQuery> {
        if *self.parsing.recorded == recorded {
            return Vec::new(); // of a cluster's rules each change of anything is reported
        }
        let before = std::mem::replace(&mut self.parsing.recorded, Arc::new(recorded));
        let after = Arc::clone(&self.parsing.recorded);
        self.parse_again(|signal| {
            let names = names_in(&signal.text);
            names.iter().any(|name| before.has(name) || after.has(name))
        })
    }

    /// Sets the step of subqueries that name none: Prometheus' is the interval at which rules are evaluated.
    pub(crate) fn set_subquery_step(&mut self, step_ms: i64) {
        if std::mem::replace(&mut self.parsing.subquery_step_ms, step_ms) != step_ms {
            self.parse_again(|_| true);
        }
    }

    /// The metrics of the names table whose loss concerns a query: those that it reads, and where not all is stored, witnesses of
    /// their absence.
    pub(super) fn judged_by(&self, query: &SignalQuery) -> TableMetrics {
        let mut metrics = query.of_table();
        if !self.facts.requirements.keep_all() {
            for metric in query.metrics() {
                let is_witness = self.names.absence_witnesses(metric);
                metrics.add(&TableMetrics::that(is_witness));
            }
        }
        metrics
    }

    /// Parses, classifies and compiles the queries of these signals again. Returns those that read something else now.
    fn parse_again(&mut self, which: impl Fn(&Signal) -> bool) -> Vec<SignalQuery> {
        let mut changed = Vec::new();
        self.names_version += 1;
        for index in 0..self.signals.len() {
            let Some(signal) = self.signals[index].as_ref().filter(|signal| which(signal)) else {
                continue;
            };
            // The text was parsed before, so it parses again; what it reads and its kind may differ.
            let Ok(query) = self.parse(&signal.text) else {
                continue;
            };
            let judged_by = self
                .judged_by(&query)
                .without(&self.judged_by(&signal.query));
            let SignalRegistry {
                facts,
                names,
                signals,
                window_bytes,
                ..
            } = self;
            let Some(signal) = &mut signals[index] else {
                continue;
            };
            for metric in query.metrics() {
                facts.track_metric(metric, names);
            }
            if query.query.plan() != signal.query.query.plan() {
                facts.requirements.remove(&signal.query, names);
                facts.requirements.add(&query, names);
                // One that was not evaluated yet has what a snapshot says of it, of a run that had the rule.
                if signal.at_ms.is_some() {
                    signal.forget_measured();
                }
                changed.push(query.clone());
            }
            facts.look_for_losses(&judged_by);
            *window_bytes -= signal.window_bytes();
            signal.compiled = Signal::compile(&query);
            signal.query = query;
            signal.outdated = true;
            signal.pages += 1;
        }
        self.facts.epoch += 1;
        self.rescope();
        changed
    }

    /// Replaces the policy of a signal; what is known of its targets stays (S1b).
    pub(crate) fn set_policy(&mut self, id: SignalId, policy: Policy) {
        let signal = self.signals.get_mut(id.index()).and_then(Option::as_mut);
        match signal {
            // A reload sets the policy of every signal, mostly to what it was.
            Some(signal) if signal.policy != policy => signal.policy = policy,
            _ => return,
        }
        self.facts.epoch += 1;
        self.rescope();
    }

    /// Removes a signal and stops tracking the metrics that only it read.
    pub(crate) fn remove(&mut self, id: SignalId) {
        let SignalRegistry {
            facts,
            names,
            signals,
            window_bytes,
            ..
        } = self;
        if let Some(signal) = signals.get_mut(id.index()).and_then(Option::take) {
            *window_bytes -= signal.window_bytes();
            facts.requirements.remove(&signal.query, names);
        }
        // Ad-hoc signals come and go: what is tracked must not grow with every query that ever was registered.
        let queries = signals.iter().flatten().map(|signal| &signal.query);
        facts.track_only(queries.flat_map(SignalQuery::metrics), names);
    }

    /// S1c: the time as of which a signal is evaluated.
    pub(crate) fn newest_good_ms(&self, signal: &Signal) -> Option<i64> {
        newest_good_ms(&self.facts, signal)
    }

    /// Records the state of every signal whose state has changed. Where that takes more than `TRANSITION_TARGETS_MAX`, only
    /// of the next ones; the others follow at the next calls.
    pub(crate) fn record_transitions(&mut self, now_ms: i64) {
        let SignalRegistry {
            facts,
            names,
            signals,
            next_transition,
            ..
        } = self;
        let assessment = Assessment {
            facts,
            names,
            now_ms,
            pins: &[],
        };
        let count = signals.len();
        let (mut judged, mut looked_at) = (0, 0);
        while looked_at < count && judged < TRANSITION_TARGETS_MAX {
            let at = *next_transition % count;
            if let Some(signal) = &mut signals[at] {
                judged += signal.judged_targets();
                signal.record_transition(assessment);
            }
            *next_transition = at + 1;
            looked_at += 1;
        }
    }

    /// A page of a target was committed: evaluates the compiled signals that see the target, and marks the others as
    /// outdated. Returns those of the others whose value at every page matters (queries of demand, S6): the caller refreshes
    /// them as soon as it holds no lock.
    pub(crate) fn evaluate(
        &mut self,
        store: &RwLock<Store>,
        target: TargetId,
        at: Timestamp,
    ) -> Vec<SignalId> {
        self.evaluate_matching(store, |scope| scope.shows(target), at)
    }

    /// A scrape of a target has failed. From the first failure on the series of a standby are hidden (S3d), and a leader
    /// may have become a standby, so the signals that see it are evaluated again. Returns what `evaluate` returns.
    pub(crate) fn scrape_failed(
        &mut self,
        store: &RwLock<Store>,
        target: TargetId,
        at: Timestamp,
        (error, answered): (&str, bool),
    ) -> Vec<SignalId> {
        self.advance_to(at.ms());
        let facts = self.facts.target(target);
        if facts.is_some_and(|facts| facts.first_attempt_ms.is_none()) {
            // From when it is no longer waited for is found out soon: it is in scope until then, and of 5,000 new targets that
            // fail at once each would cost a look at all.
            let soon_ms = at.ms().saturating_add(RESCOPE_SOON_MS);
            self.rescope_ms = self.rescope_ms.into_iter().chain([soon_ms]).min();
        }
        let is_first_failure = self.facts.scrape_failed(target, at.ms(), error, answered);
        self.rescope();
        match is_first_failure {
            true => self.evaluate_matching(store, |scope| scope.standby.contains(&target), at),
            false => Vec::new(),
        }
    }

    /// A target leaves at this time: the signals that see its series are evaluated as of no earlier time from now on, and before
    /// anybody reads them. Of many that leave together none costs an evaluation.
    pub(crate) fn target_leaves(&mut self, target: TargetId, at_ms: i64) {
        for signal in self.signals.iter_mut().flatten() {
            if signal.scope.shows(target) {
                signal.left_ms = signal.left_ms.max(at_ms);
                signal.outdated = true;
                signal.pages += 1;
            }
        }
    }

    fn evaluate_matching(
        &mut self,
        store: &RwLock<Store>,
        of: impl Fn(&Scope) -> bool,
        at: Timestamp,
    ) -> Vec<SignalId> {
        let SignalRegistry {
            facts,
            names,
            signals,
            window_bytes,
            window_bytes_max,
            ..
        } = self;
        let mut others = Vec::new();
        let mut selected = 0;
        for (index, signal) in signals.iter_mut().enumerate() {
            let Some(signal) = signal.as_mut().filter(|one| of(&one.scope)) else {
                continue;
            };
            if signal.is_refused_at(at.ms()) {
                continue;
            }
            signal.outdated = true;
            signal.pages += 1;
            if signal.policy.when_read {
                continue;
            }
            let selects = signal.selects_anew(facts, at.ms());
            if selects && selected >= SELECTED_SERIES_MAX {
                signal.pass_program();
                continue; // with a later page: until then it is evaluated when it is read
            }
            // S1c: a page may arrive later than a newer page of another target.
            let at_ms = newest_good_ms(facts, signal).map_or(at.ms(), |ms| ms.max(at.ms()));
            let before = signal.window_bytes();
            let of_others = *window_bytes - before;
            let bytes_max = window_bytes_max.saturating_sub(of_others);
            let done = signal.evaluate_compiled(store, facts, names, at_ms, bytes_max);
            if selects {
                selected += signal
                    .series_of_program()
                    .filter(|_| done)
                    .unwrap_or(COMPILED_ELEMENTS_MAX);
            }
            *window_bytes = of_others + signal.window_bytes();
            // While a target is frozen nothing counts as measured, and readers evaluate what they ask for.
            let assessment = Assessment {
                facts,
                names,
                now_ms: at_ms,
                pins: &[],
            };
            if !done && signal.query.demand != Demand::None && signal.is_measured(assessment) {
                others.push(SignalId(index as u32));
            }
        }
        others
    }

    /// Whether a reading takes no evaluation, some microseconds at most, and changes nothing that is remembered.
    pub(crate) fn is_ready(&self, signal: &Signal, pins: Pins<'_>) -> bool {
        let elements = signal.result.as_deref().unwrap_or_default();
        if elements.len() > READY_SIGNAL_ELEMENTS_MAX {
            return false;
        }
        // The targets are judged for the caller, and those that may belong to it for each group of the answer (S9).
        let groups = elements
            .iter()
            .filter(|(labels, _)| !labels.is_empty() && assess::fits(labels, pins));
        let judged = (1 + groups.count()) * signal.scope.len();
        let has_to_be_evaluated = signal.outdated && self.newest_good_ms(signal).is_some();
        !has_to_be_evaluated
            && judged <= READY_SIGNAL_TARGETS_MAX
            && !self.facts.requirements.pins_new_label(pins)
    }

    /// The labels that every selector of a signal's query fixes to the same value.
    pub(crate) fn pinned(&self, id: SignalId) -> Vec<(String, String)> {
        let selectors = self.signal(id).map(|signal| &signal.query.selectors);
        let Some([first, rest @ ..]) = selectors.map(Vec::as_slice) else {
            return Vec::new();
        };
        let everywhere = |pin: &&(String, String)| {
            rest.iter().all(|selector| selector.pins.contains(pin))
                // `{a="1",a="2"}` fits nothing, and is about nothing.
                && first.pins.iter().filter(|(label, _)| *label == pin.0).count() == 1
        };
        first.pins.iter().filter(everywhere).cloned().collect()
    }

    /// S1c, S9: the reading of a signal at `now` for a caller who pins these labels; `None` if there is no such signal.
    pub(crate) fn read(&self, id: SignalId, now: Timestamp, pins: Pins<'_>) -> Option<Reading> {
        let signal = self.signal(id)?;
        // Clamped so that no arithmetic on times can overflow.
        let now_ms = now.ms().clamp(-NOW_MS_MAX, NOW_MS_MAX);
        let assessment = self.assessment(now_ms, pins);
        let mut reading = signal.read(assessment);
        if let State::Unknown { why } = &mut reading.state {
            why.push_str(&judge::nearest_metric(
                assessment,
                &signal.scope,
                &signal.query,
            ));
        }
        Some(reading)
    }
}

/// S1c: the time of the newest good page among the targets of a signal, or when one of them has left since: it is there no more.
fn newest_good_ms(facts: &Facts, signal: &Signal) -> Option<i64> {
    let counting = signal.scope.counting.iter();
    let newest_ms = counting
        .filter_map(|&id| facts.target(id)?.last_good_ms)
        .max();
    newest_ms.map(|ms| ms.max(signal.left_ms))
}

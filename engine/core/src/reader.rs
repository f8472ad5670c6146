//! The read side of the engine: signals, PromQL views, series and label queries, metadata, statistics.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::labels::{Labels, METRIC_NAME, Matcher};
use crate::limits::{
    CHEAP_QUERY_HISTORY_BYTES_MAX, CHEAP_QUERY_SAMPLES_MAX, CHEAP_QUERY_SELECTORS_MAX,
    CHEAP_QUERY_SERIES_MAX, CHEAP_QUERY_TEXT_BYTES_MAX, EXPLAINED_SERIES_MAX, LOOKBACK_MS_DEFAULT,
    OBJECTS_AT_ONCE,
};
use crate::metadata::FamilyMetadata;
use crate::promql::RecordedRules;
use crate::promql::plan::ExprKind;
use crate::promql::select::{Projection, Samples, SelectRequest, View, is_stale};
use crate::promql::{Answer, EvalOptions, Query, QueryError};
use crate::signal::{
    Evaluated, Explanation, Names, ObjectReading, Outline, Policy, Reading, SignalId,
    SignalRegistry, SignalView, Transition, Unlisted, evaluate, refresh, register, set_recorded,
};
use crate::store::{Bytes, Exemplar, Families, PlainView, ReadBudget, Store};
use crate::time::Timestamp;

/// Reads the store and the signals. Cheap to clone; any number of readers work on any threads.
#[derive(Clone)]
pub struct Reader {
    store: Arc<RwLock<Store>>,
    registry: Arc<RwLock<SignalRegistry>>,
    memory_bytes_max: u64,
}

/// How much the engine holds, and what was dropped for the memory limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Series, including absent ones that still have history.
    pub series: usize,
    /// Bytes by part.
    pub bytes: Bytes,
    /// Bytes of the targets' templates.
    pub template_bytes: usize,
    /// The memory limit.
    pub memory_bytes_max: u64,
    /// Bytes of the windows of compiled signals.
    pub window_bytes: usize,
    /// Signals that a program evaluates.
    pub signals_compiled: usize,
    /// Signals that are evaluated from their plans.
    pub signals_ordinary: usize,
    /// Blocks of history dropped for the memory limit.
    pub blocks_dropped_for_memory: u64,
    /// The newest time of which history was dropped for the memory limit, in milliseconds.
    pub history_dropped_until_ms: Option<i64>,
    /// Time of the oldest scrape held, in milliseconds.
    pub oldest_ms: Option<i64>,
}

impl Reader {
    pub(crate) fn new(
        store: Arc<RwLock<Store>>,
        registry: Arc<RwLock<SignalRegistry>>,
        memory_bytes_max: u64,
    ) -> Reader {
        Reader {
            store,
            registry,
            memory_bytes_max,
        }
    }

    /// The memory limit of the engine ([`crate::Limits::memory_bytes_max`]).
    pub fn memory_bytes_max(&self) -> u64 {
        self.memory_bytes_max
    }

    /// Registers a signal: a query whose result is kept up to date and judged by `policy` before it is reported. Error: the
    /// query does not parse, or there are too many signals. See also [`crate::Writer::register`].
    pub fn register(&self, query: &str, policy: Policy) -> Result<SignalId, QueryError> {
        register(&self.registry, &self.store, query, policy)
    }

    /// Replaces the policy of a signal. What is known of its targets stays; its state follows the new policy at once.
    pub fn set_policy(&self, signal: SignalId, policy: Policy) {
        self.registry.write().set_policy(signal, policy);
    }

    /// Sets what users configured about metric names, in addition to the built-in table (rules S4, S7).
    pub fn set_names(&self, names: Names) {
        self.registry.write().set_names(names);
    }

    /// Sets the jobs whose discovery has given no list since this program started. What may read their targets is unknown
    /// while the lists are awaited, and what reads targets that a snapshot knows of them until they are there, for an hour at most (rule S6f).
    pub fn set_unlisted(&self, unlisted: Unlisted) {
        self.registry.write().facts.set_unlisted(unlisted);
    }

    /// Sets the step of subqueries that name none, in milliseconds. Prometheus' is its `evaluation_interval`.
    pub fn set_subquery_step(&self, step_ms: i64) {
        self.registry.write().set_subquery_step(step_ms);
    }

    /// Sets the recording rules whose series signals read as the rules' expressions: a recorded sample is as old as the
    /// rule's last evaluation, and does not say of which targets it tells. Signals whose queries change by that begin anew.
    pub fn set_recorded(&self, recorded: RecordedRules) {
        set_recorded(&self.registry, &self.store, recorded);
    }

    /// Removes a signal. Its id may be given to another one; if there is no such signal, nothing happens.
    pub fn remove(&self, signal: SignalId) {
        self.registry.write().remove(signal);
    }

    /// The reading of a signal at `now`. `pins` restricts the result to groups with these label values (empty: all
    /// groups). `None`: there is no such signal.
    pub fn signal(
        &self,
        signal: SignalId,
        now: Timestamp,
        pins: &[(String, String)],
    ) -> Option<Reading> {
        // Nothing stops it, and it draws on no shared memory: there is no error but the query's own.
        self.signal_within(signal, now, pins, &EvalOptions::default())
            .unwrap_or_default()
    }

    /// The same, where the signal's evaluation, if it takes one, is bounded by the `stop`, `memory`, `bytes_max` and
    /// `samples_max` of `within`. Error: it was stopped, or there was no memory for it; what the signal said stays.
    pub fn signal_within(
        &self,
        signal: SignalId,
        now: Timestamp,
        pins: &[(String, String)],
        within: &EvalOptions<'_>,
    ) -> Result<Option<Reading>, QueryError> {
        refresh(&self.registry, &self.store, signal, within)?;
        let registry = self.registry.read();
        let reading = registry.read(signal, now, pins);
        let pins_new_label = registry.facts.requirements.pins_new_label(pins);
        drop(registry);
        if pins_new_label {
            let mut registry = self.registry.write();
            let SignalRegistry { facts, names, .. } = &mut *registry;
            facts.requirements.learn_pinned_labels(pins, names);
        }
        Ok(reading)
    }

    /// The same, where it takes neither a wait nor an evaluation: for threads that must not block. `None`: a commit holds the
    /// signals at this moment, the newest page is not evaluated yet, more targets have to be judged than takes some microseconds, these
    /// pins are new, or there is no such signal; ask [`Reader::signal`] on a thread that may block.
    pub fn signal_if_ready(
        &self,
        signal: SignalId,
        now: Timestamp,
        pins: &[(String, String)],
    ) -> Option<Reading> {
        let registry = self.registry.try_read()?;
        let is_ready = registry.is_ready(registry.signal(signal)?, pins);
        is_ready.then(|| registry.read(signal, now, pins))?
    }

    /// The values of a signal's query from `start` to `end`, as its selectors read the store: under all names of a metric, and
    /// with a frozen target's last values. They are not judged. `None`: there is no such signal.
    pub fn signal_range(
        &self,
        signal: SignalId,
        (start, end): (Timestamp, Timestamp),
        step_ms: i64,
        within: &EvalOptions<'_>,
    ) -> Option<Result<Answer, QueryError>> {
        let registry = self.registry.read();
        let found = registry.signal(signal)?;
        let store = Arc::clone(&self.store);
        let (facts, names) = (&registry.facts, &registry.names);
        let view = SignalView::new(store, facts, names, &found.scope, end.ms());
        let query = found.query.clone();
        drop(registry);
        Some(query.query.range(&view, start, end, step_ms, within))
    }

    /// What a signal whose policy names an `object_label` says about each object: about those of `wanted`, in their order, or
    /// about all that it knows. `pins` restricts the groups. `None`: there is no such signal. Error inside: nothing can be
    /// said of any object, and why.
    pub fn objects(
        &self,
        signal: SignalId,
        now: Timestamp,
        pins: &[(String, String)],
        wanted: Option<&[String]>,
    ) -> Option<Result<Vec<ObjectReading>, String>> {
        let within = EvalOptions::default();
        if let Err(error) = refresh(&self.registry, &self.store, signal, &within) {
            return Some(Err(error.to_string()));
        }
        let Some(wanted) = wanted else {
            let registry = self.registry.read();
            return registry.read_objects(signal, now, pins, None);
        };
        let mut read = Vec::with_capacity(wanted.len());
        let mut rest = wanted;
        loop {
            let registry = self.registry.read();
            // Each hold looks at the targets once, so it is worth as many objects.
            let at_once = OBJECTS_AT_ONCE.max(registry.facts.targets.len());
            let (now_read, later) = rest.split_at(at_once.min(rest.len()));
            match registry.read_objects(signal, now, pins, Some(now_read))? {
                Ok(objects) => read.extend(objects),
                Err(why) => return Some(Err(why)),
            }
            if later.is_empty() {
                return Some(Ok(read));
            }
            rest = later;
        }
    }

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

    /// Whether some target that may show what these pins select of a signal has no fresh page, so that what nobody shows may be
    /// there all the same. True where there is no such signal.
    pub fn is_unanswered(
        &self,
        signal: SignalId,
        now: Timestamp,
        pins: &[(String, String)],
    ) -> bool {
        self.registry.read().is_unanswered(signal, now, pins)
    }

    /// The last state changes of a signal, oldest first.
    pub fn transitions(&self, signal: SignalId) -> Vec<Transition> {
        let registry = self.registry.read();
        registry
            .signal(signal)
            .map(|signal| signal.transitions.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// The newest change of a signal's state; `None` if nothing was recorded yet, or the signal was removed.
    pub fn newest_transition(&self, signal: SignalId) -> Option<Transition> {
        let registry = self.registry.read();
        registry.signal(signal)?.transitions.back().cloned()
    }

    /// The selectors by which registered signals may read one of these metrics: conditions on labels, the name among them.
    pub fn selectors_of(&self, metrics: &[&str]) -> Vec<Vec<Matcher>> {
        let registry = self.registry.read();
        let signals = registry.signals.iter().flatten();
        let selectors = signals.flat_map(|signal| signal.query.matchers());
        let reads = |matchers: &Vec<Matcher>| {
            let of_name = |one: &&Matcher| one.name() == METRIC_NAME;
            let mut conditions = metrics.iter().map(|metric| {
                let mut conditions = matchers.iter().filter(of_name);
                conditions.all(|one| one.matches(metric))
            });
            conditions.any(|fits| fits)
        };
        selectors.filter(reads).collect()
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

    pub(crate) fn store(&self) -> &RwLock<Store> {
        &self.store
    }

    pub(crate) fn registry(&self) -> &RwLock<SignalRegistry> {
        &self.registry
    }

    pub(crate) fn shared_store(&self) -> &Arc<RwLock<Store>> {
        &self.store
    }

    /// A view of the store as Prometheus would show it, for PromQL. It is of one moment, that of the first selector that is read:
    /// take another for the next query.
    pub fn plain(&self) -> PlainView {
        PlainView::new(Arc::clone(&self.store), None)
    }

    /// Answers an instant query if that takes little work, about 300 us at most, for threads that must not block.
    /// `None`: it may take more, or it failed; evaluate it on a thread that may block, which also yields the error.
    pub fn instant_if_cheap(
        &self,
        query: &Query,
        at: Timestamp,
        options: &EvalOptions<'_>,
    ) -> Option<Answer> {
        if !is_cheap(query) {
            return None;
        }
        let budget = ReadBudget {
            series_max: CHEAP_QUERY_SERIES_MAX,
            bytes_max: CHEAP_QUERY_HISTORY_BYTES_MAX,
        };
        let view = PlainView::new(Arc::clone(&self.store), Some(budget));
        let options = EvalOptions {
            samples_max: options.samples_max.min(CHEAP_QUERY_SAMPLES_MAX),
            ..*options
        };
        query.instant(&view, at, &options).ok()
    }

    /// The exemplars within `start..=end` of the series that a query selects, by series, each list ascending by time.
    /// Offsets and ranges of the query do not count, as in Prometheus.
    pub fn exemplars(
        &self,
        query: &Query,
        start: Timestamp,
        end: Timestamp,
    ) -> Vec<(Labels, Vec<Exemplar>)> {
        let mut found: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        // Matched after the lock is released: a regular expression may take its time.
        let within = self.store.read().exemplars.between(start.ms(), end.ms());
        for at in within {
            let fits = |matchers: &[Matcher]| matchers.iter().all(|m| m.matches_labels(&at.series));
            if query.selectors().any(|selector| fits(selector.matchers)) {
                let of_series = found.entry(at.series.clone()).or_default();
                of_series.push(at.exemplar.clone());
            }
        }
        for exemplars in found.values_mut() {
            exemplars.sort_by_key(|exemplar| exemplar.time_ms);
        }
        found.into_iter().collect()
    }

    /// Type and help text by family, with each variant that some target exposes, sorted by family.
    pub fn metadata(&self) -> BTreeMap<String, Vec<FamilyMetadata>> {
        let store = self.store.read();
        let mut families: BTreeMap<String, Vec<FamilyMetadata>> = BTreeMap::new();
        for (family, metadata) in store.metadata.values().flat_map(Families::iter) {
            let variants = families.entry(family.to_string()).or_default();
            if !variants.contains(metadata) {
                variants.push(metadata.clone());
            }
        }
        families
    }

    /// Type and help of the families of one target, sorted by family.
    pub fn target_metadata(&self, target: crate::TargetId) -> Vec<(String, FamilyMetadata)> {
        let store = self.store.read();
        let families = store
            .metadata
            .get(&target)
            .into_iter()
            .flat_map(Families::iter);
        families
            .map(|(family, metadata)| (family.to_string(), metadata.clone()))
            .collect()
    }

    /// How much the engine holds.
    pub fn stats(&self) -> Stats {
        let registry = self.registry.read();
        let window_bytes = registry.window_bytes;
        let (mut signals_compiled, mut signals_ordinary) = (0, 0);
        for signal in registry.signals.iter().flatten() {
            match signal.why_from_plan() {
                None => signals_compiled += 1,
                Some(_) => signals_ordinary += 1,
            }
        }
        drop(registry);
        let store = self.store.read();
        Stats {
            window_bytes,
            signals_compiled,
            signals_ordinary,
            series: store.series.len(),
            bytes: store.bytes(),
            template_bytes: store.stage_bytes,
            memory_bytes_max: self.memory_bytes_max,
            blocks_dropped_for_memory: store.dropped.blocks_for_memory,
            history_dropped_until_ms: store.dropped.history_until_ms,
            oldest_ms: store.oldest_ms(),
        }
    }
}

/// Whether an instant evaluation does little beside reading its selectors. A subquery may evaluate any number of times.
fn is_cheap(query: &Query) -> bool {
    let mut has_subquery = false;
    query
        .plan()
        .walk(&mut |expr| has_subquery |= matches!(expr.kind, ExprKind::Subquery(_)));
    !has_subquery
        && query.text().len() <= CHEAP_QUERY_TEXT_BYTES_MAX
        && query.selectors().count() <= CHEAP_QUERY_SELECTORS_MAX
}

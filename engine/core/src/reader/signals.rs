//! What signals say.

use std::sync::Arc;

use super::Reader;
use crate::limits::OBJECTS_AT_ONCE;
use crate::promql::{Answer, EvalOptions, QueryError};
use crate::signal::{
    ObjectReading, Reading, SignalId, SignalRegistry, SignalView, Transition, refresh,
};
use crate::time::Timestamp;

impl Reader {
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
}

//! One trigger of one ScaledObject, for as long as it is asked for.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use stillwell_adapters::host::ScaledObject;
use stillwell_adapters::keda::{Caller, Level, REMEDY, Refusal, Source, Told, Trigger};
use stillwell_adapters::multi::Several;
use stillwell_engine::Timestamp;
use stillwell_engine::signal::{Reading, State};
use tokio::sync::watch;

use super::latch::Latch;
use super::shares::Asker;

/// Said of a trigger of which nothing is known.
const NOT_LOOKED_AT: &str = "not looked at yet";

/// The trigger, what it last said, and who listens.
pub(super) struct Entry {
    pub(super) caller: Caller,
    /// Who asked for it first.
    pub(super) asker: Asker,
    pub(super) trigger: Trigger,
    /// The pool that its query names; `None` where it names none, or several.
    pub(super) pool: Option<String>,
    level: watch::Sender<Level>,
    streams: AtomicUsize,
    /// Held for a few comparisons.
    now: Mutex<Now>,
    /// How often it was told something.
    #[cfg(test)]
    pub(super) told_times: AtomicUsize,
}

struct Now {
    latch: Latch,
    last_call: Timestamp,
    last: Result<f64, Refusal>,
    /// `None`: nobody has looked yet.
    state: Option<State>,
}

impl Entry {
    pub(super) fn new(
        (caller, asker): (Caller, Asker),
        trigger: Trigger,
        pool: Option<String>,
        latch: Latch,
        at: Timestamp,
    ) -> Entry {
        Entry {
            caller,
            asker,
            trigger,
            pool,
            level: watch::Sender::new(Level::Unknown),
            streams: AtomicUsize::new(0),
            now: Mutex::new(Now {
                latch,
                last_call: at,
                last: Err(Refusal::unknown(NOT_LOOKED_AT)),
                state: None,
            }),
            #[cfg(test)]
            told_times: AtomicUsize::new(0),
        }
    }

    /// Since when it is active.
    pub(super) fn active_since_ms(&self) -> Option<i64> {
        self.now.lock().latch.since_ms()
    }

    /// Somebody asks.
    pub(super) fn touch(&self, at: Timestamp) {
        self.now.lock().last_call = at;
    }

    /// Takes what the signal says and tells the streams what follows. `ready` is as in [`Latch::judge`].
    pub(super) fn take(
        &self,
        reading: &Reading,
        at: Timestamp,
        ready: impl FnOnce(Option<&str>) -> bool,
    ) -> Result<Told, Refusal> {
        self.tell(self.number(reading), &reading.state, at, ready)
    }

    /// Takes what another trigger of the same source was told last. `None`: nobody has looked at it.
    pub(super) fn take_from(
        &self,
        other: &Entry,
        at: Timestamp,
        ready: impl FnOnce(Option<&str>) -> bool,
    ) -> Option<Result<Told, Refusal>> {
        let (number, state) = {
            let other = other.now.lock();
            (other.last.clone(), other.state.clone()?)
        };
        Some(self.tell(number, &state, at, ready))
    }

    /// Whether it was told anything yet.
    pub(super) fn is_looked_at(&self) -> bool {
        self.now.lock().state.is_some()
    }

    fn tell(
        &self,
        number: Result<f64, Refusal>,
        state: &State,
        at: Timestamp,
        ready: impl FnOnce(Option<&str>) -> bool,
    ) -> Result<Told, Refusal> {
        #[cfg(test)]
        self.told_times.fetch_add(1, Ordering::Relaxed);
        let mut now = self.now.lock();
        let told = number.as_ref().map(|&value| {
            let above = value > self.trigger.activation_threshold;
            let latch_ms = self.trigger.latch_ms;
            let ready = || ready(self.pool.as_deref());
            let active = now.latch.judge(above, latch_ms, at.ms(), ready);
            Told { value, active }
        });
        let level = match told {
            Err(_) => Level::Unknown,
            Ok(Told { active: false, .. }) => Level::Inactive,
            Ok(_) => Level::Active {
                edge: now.latch.edge(),
            },
        };
        let told = told.map_err(Refusal::clone);
        now.last = number;
        now.state = Some(state.clone());
        // Under the lock, so that an older reading cannot be told after a newer one.
        self.level.send_if_modified(|have| {
            let news = *have != level && *have != Level::Ended;
            if news {
                *have = level;
            }
            news
        });
        told
    }

    /// What it said last.
    pub(super) fn told(&self) -> Result<Told, Refusal> {
        let now = self.now.lock();
        let value = now.last.clone()?;
        let active = now.latch.active();
        Ok(Told { value, active })
    }

    /// The one number of a reading.
    fn number(&self, reading: &Reading) -> Result<f64, Refusal> {
        match (&reading.state, reading.elements.as_slice()) {
            (State::Unknown { why }, _) => Err(Refusal::unknown(why)),
            (_, [one]) => Ok(one.value),
            // A comparison has left out what was measured: KEDA reads that as 0 of Prometheus, too.
            (_, []) => Ok(0.0),
            (_, elements) => {
                let key = match self.trigger.source {
                    Source::Signal(_) => "signal",
                    Source::Query(_) => "query",
                };
                let several = Several {
                    labels: elements.iter().map(|element| &element.labels).collect(),
                    remedy: REMEDY,
                };
                Err(Refusal::invalid(key, several))
            }
        }
    }

    /// The signal is gone: streams end.
    pub(super) fn end(&self) {
        self.level.send_replace(Level::Ended);
    }

    pub(super) fn level(&self) -> watch::Receiver<Level> {
        self.level.subscribe()
    }

    pub(super) fn stream_opened(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stream_closed(&self, at: Timestamp) {
        self.touch(at);
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether nobody has asked for so long, and nobody listens.
    pub(super) fn expired(&self, at: Timestamp, expires_ms: i64) -> bool {
        let (has_stream, last_call) = self.use_made();
        !has_stream && at.since_ms(last_call) >= expires_ms
    }

    /// What use is made of it: whether a stream is open, and the last call.
    pub(super) fn use_made(&self) -> (bool, Timestamp) {
        let has_stream = self.streams.load(Ordering::Relaxed) > 0;
        (has_stream, self.now.lock().last_call)
    }

    /// For `/signals`.
    pub(super) fn describe(&self) -> ScaledObject {
        let now = self.now.lock();
        let (state, reason) = match (&now.last, &now.state) {
            (Err(refusal), _) => ("unknown", refusal.to_string()),
            (Ok(_), Some(State::Held { why, .. })) => ("held", why.clone()),
            (Ok(_), Some(State::Configured { why })) => ("configured", why.clone()),
            (Ok(_), _) => ("value", String::new()),
        };
        let latched_until_ms = now.latch.latched_until_ms(self.trigger.latch_ms);
        ScaledObject {
            namespace: self.caller.namespace.clone(),
            name: self.caller.name.clone(),
            authenticated: self.caller.authenticated,
            trigger: match &self.trigger.source {
                Source::Signal(name) => format!("signal {name}"),
                Source::Query(query) => format!("query {query}"),
            },
            state,
            reason,
            value: now.last.as_ref().ok().copied(),
            active: now.last.is_ok().then(|| now.latch.active()),
            latched_until: latched_until_ms.map(Timestamp::from_ms),
            threshold: Some(self.trigger.threshold),
            activation_threshold: Some(self.trigger.activation_threshold),
            streams: self.streams.load(Ordering::Relaxed),
            last_call: now.last_call,
        }
    }
}

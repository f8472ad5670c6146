//! The triggers of ScaledObjects: found by who asks for what, bounded, and forgotten some minutes after the last call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use stillwell_adapters::ClientAddress;
use stillwell_adapters::host::ScaledObject;
use stillwell_adapters::keda::{Caller, Kept, Level, Refusal, Scalers, Source, Told, Trigger};
use stillwell_adapters::pool::QueryPool;
use stillwell_engine::signal::SignalId;
use stillwell_engine::{Reader, Timestamp};
use tokio::sync::{Notify, watch};
use tracing::warn;

use super::calls::CALLS_MAX;
use super::entry::Entry;
use super::latch::Latch;
use super::latches::{self, Latches};
use super::missing_names::MissingNames;
use super::refusals::Refusals;
use super::resolve::{SourceKey, bad_query, is_none, no_signal, readable, resolve};
use super::scale_from_zero::{ScaleFromZero, pool_of};
use super::shares::Asker;
use super::state::{EntryKey, Slot, State};
use super::throttle::Throttle;
use crate::clock::Clock;
use crate::serve::signals::{ConfiguredSignals, Found};

/// A trigger that nobody has asked about for this long is forgotten.
const EXPIRES_MS: i64 = 5 * 60_000;
/// Calls at work at a time; the others wait their turn.
pub const EVALUATED_AT_ONCE_MAX: usize = 8;
/// A call's turn has come by then, or it is answered without.
const CALL_MS_MAX: u64 = 3_000;
/// Streams open at once: as many as calls (`calls`), and those that have ended for others and are not read.
const STREAMS_MAX: usize = 2 * CALLS_MAX;
/// ScaledObjects that `/signals` lists.
pub(super) const SHOWN_MAX: usize = 2_000;

/// Everything that is asked for. Cheap to clone.
#[derive(Clone)]
pub struct Triggers(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) reader: Reader,
    pub(super) clock: Arc<Clock>,
    /// Its own: a dashboard's slow queries must not keep KEDA waiting.
    queries: QueryPool,
    ending: watch::Receiver<bool>,
    /// The configuration's signals; a reload replaces them.
    pub(super) signals: RwLock<Arc<ConfiguredSignals>>,
    /// Never held while a query runs.
    pub(super) state: Mutex<State>,
    /// For people.
    refusals: Mutex<Refusals>,
    missing_names: MissingNames,
    pub(super) scale_from_zero: Mutex<ScaleFromZero>,
    /// Of queries that cost much.
    pub(super) throttle: Throttle,
    streams: AtomicUsize,
    handshakes_failed: AtomicU64,
    /// Of an earlier run.
    latches: Latches,
    /// Something may have changed that no scrape tells of.
    pub(super) poked: Notify,
}

impl Triggers {
    /// Nothing is asked for yet. `latches` are what [`Triggers::latches`] of an earlier run gave.
    pub(in crate::serve) fn new(
        reader: Reader,
        clock: Arc<Clock>,
        signals: Arc<ConfiguredSignals>,
        latches: &[u8],
        ending: watch::Receiver<bool>,
    ) -> Triggers {
        Triggers(Arc::new(Inner {
            reader,
            clock,
            queries: QueryPool::for_scalers(EVALUATED_AT_ONCE_MAX, CALL_MS_MAX),
            ending,
            signals: RwLock::new(signals),
            state: Mutex::default(),
            refusals: Mutex::default(),
            missing_names: MissingNames::default(),
            scale_from_zero: Mutex::new(ScaleFromZero::new()),
            throttle: Throttle::default(),
            streams: AtomicUsize::new(0),
            handshakes_failed: AtomicU64::new(0),
            latches: Latches::read(latches),
            poked: Notify::new(),
        }))
    }

    /// The latches that are active, for a snapshot.
    pub(in crate::serve) fn latches(&self) -> Vec<u8> {
        let state = self.0.state.lock();
        let entries = state.sources.values().flat_map(|slot| &slot.entries);
        let active = entries.filter_map(|(key, entry)| {
            let Caller {
                namespace, name, ..
            } = &key.caller;
            let of = [namespace, name, &key.trigger].map(String::clone);
            Some((of, entry.active_since_ms()?))
        });
        latches::write(active.chain(self.0.latches.left()))
    }

    /// A TLS handshake on the port failed.
    pub(super) fn count_failed_handshake(&self) {
        self.0.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// TLS handshakes on the port that failed, wrong certificates of clients among them.
    pub fn handshakes_failed(&self) -> u64 {
        self.0.handshakes_failed.load(Ordering::Relaxed)
    }

    /// Another configuration is in force. Triggers whose signal is gone, or no longer theirs to read, end, and their
    /// streams with OK; all others go on, streams included (S1b), and are looked at anew.
    pub(in crate::serve) fn configured(&self, signals: Arc<ConfiguredSignals>) {
        *self.0.signals.write() = Arc::clone(&signals);
        let mut state = self.0.state.lock();
        state.end_where(&self.0.reader, |source, entry| {
            let resolved = resolve(&signals, &entry.caller, &entry.trigger);
            !resolved.is_ok_and(|resolved| resolved.key == *source)
        });
        for slot in state.sources.values_mut() {
            slot.seen = None;
        }
        drop(state);
        self.0.poked.notify_one();
    }

    /// For `/signals`: some, and how many there are besides.
    pub(in crate::serve) fn describe(&self) -> (Vec<ScaledObject>, usize) {
        let now = self.0.clock.now();
        let state = self.0.state.lock();
        let entries = state
            .sources
            .values()
            .flat_map(|slot| slot.entries.values());
        let mut shown: Vec<ScaledObject> = entries
            .take(SHOWN_MAX)
            .map(|entry| entry.describe())
            .collect();
        let more = state.triggers().saturating_sub(shown.len());
        drop(state);
        shown.extend(self.0.refusals.lock().describe(now));
        shown.sort_by(|a, b| {
            (&a.namespace, &a.name, &a.trigger).cmp(&(&b.namespace, &b.name, &b.trigger))
        });
        (shown, more)
    }

    /// What people should know beside.
    pub(in crate::serve) fn warnings(&self) -> Vec<String> {
        self.0.scale_from_zero.lock().warnings()
    }
}

impl Inner {
    /// The signal behind a source; `None` where it is gone.
    pub(super) fn signal_of(&self, key: &SourceKey, slot: &Slot) -> Option<SignalId> {
        match key {
            SourceKey::Query { .. } => slot.query,
            SourceKey::Named(name) => match self.signals.read().find(name, "") {
                Some(Found::Signal(_, id)) => Some(id),
                _ => None,
            },
        }
    }

    fn keep(
        &self,
        caller: &Caller,
        asker: Asker,
        trigger: &Trigger,
    ) -> Result<(SourceKey, Arc<Entry>), Refusal> {
        let now = self.clock.now();
        let signals = Arc::clone(&self.signals.read());
        let resolved = resolve(&signals, caller, trigger)?;
        let key = EntryKey {
            caller: caller.clone(),
            trigger: format!("{trigger:?}"),
        };
        let mut state = self.state.lock();
        if let Some(entry) = state.find(&resolved.key, &key) {
            entry.touch(now);
            return Ok((resolved.key, Arc::clone(entry)));
        }
        if let Some((text, _)) = &resolved.watch {
            readable(trigger, text)?; // nobody ends for what could never be told
        }
        state.make_room(&self.reader, asker, (&resolved.key, &key))?;
        let is_new = !state.sources.contains_key(&resolved.key);
        let watch = resolved.watch.filter(|_| is_new);
        let query = watch.map(|(text, policy)| self.reader.register(&text, policy));
        let query = query.transpose().map_err(bad_query(trigger))?;
        let latched_ms = self
            .latches
            .take(&caller.namespace, &caller.name, &key.trigger);
        let entry = Arc::new(Entry::new(
            (caller.clone(), asker),
            trigger.clone(),
            pool_of(&resolved.expr),
            Latch::since(latched_ms),
            now,
        ));
        state.add(&resolved.key, (key, Arc::clone(&entry)), query);
        if state.triggers() == 1 {
            self.poked.notify_one();
        }
        drop(state);
        self.refusals.lock().remove_of(caller);
        self.look(&resolved.key, &entry).ok(); // so that streams open with what is true; it is shown if it is nothing
        Ok((resolved.key, entry))
    }

    /// Forgets what nobody has asked about for long.
    pub(super) fn expire(&self, now: Timestamp) {
        let is_over = |_: &SourceKey, entry: &Entry| entry.expired(now, EXPIRES_MS);
        self.state.lock().end_where(&self.reader, is_over);
        self.refusals.lock().expire(now);
    }
}

impl Scalers for Triggers {
    fn queries(&self) -> &QueryPool {
        &self.0.queries
    }

    fn trigger(
        &self,
        caller: &Caller,
        address: Option<ClientAddress>,
        trigger: &Trigger,
    ) -> Result<Arc<dyn Kept>, Refusal> {
        let asker = Asker {
            address: address.unwrap_or(ClientAddress::UNKNOWN),
            authenticated: caller.authenticated,
        };
        let (key, entry) = self.0.keep(caller, asker, trigger)?;
        let inner = Arc::clone(&self.0);
        Ok(Arc::new(KeptTrigger { inner, key, entry }))
    }

    fn specified(&self, caller: &Caller, trigger: &Trigger) {
        let Source::Signal(name) = &trigger.source else {
            return;
        };
        let signals = Arc::clone(&self.0.signals.read());
        if signals.may_have(name) {
            return;
        }
        let now = self.0.clock.now();
        let why = match self.0.missing_names.may_compare(now) {
            true => no_signal(&signals.fixed_names(), name),
            false => is_none(name),
        };
        let refusal = Refusal::invalid("signal", why);
        self.refused(caller, &refusal);
        if self.0.missing_names.may_warn(now) {
            let (namespace, object) = (&caller.namespace, &caller.name);
            warn!(%refusal, "ScaledObject {namespace}/{object} was given the metric of a signal that is not there, and each poll of it fails");
        }
    }

    fn refused(&self, caller: &Caller, refusal: &Refusal) {
        let now = self.0.clock.now();
        self.0.refusals.lock().add(caller, refusal, now);
    }

    fn ending(&self) -> watch::Receiver<bool> {
        self.0.ending.clone()
    }
}

/// A trigger, as a call or a stream reads it.
struct KeptTrigger {
    inner: Arc<Inner>,
    key: SourceKey,
    entry: Arc<Entry>,
}

impl Kept for KeptTrigger {
    fn read(&self) -> Result<Told, Refusal> {
        self.inner.look(&self.key, &self.entry)
    }

    fn level(&self) -> watch::Receiver<Level> {
        self.entry.level()
    }

    fn stream_opened(&self) -> Result<(), Refusal> {
        let open = self.inner.streams.fetch_add(1, Ordering::Relaxed);
        if open >= STREAMS_MAX {
            self.inner.streams.fetch_sub(1, Ordering::Relaxed);
            let why = format!("there are {STREAMS_MAX} streams already, the most there may be");
            return Err(Refusal::exhausted("", why));
        }
        self.entry.stream_opened();
        Ok(())
    }

    fn stream_closed(&self) {
        self.inner.streams.fetch_sub(1, Ordering::Relaxed);
        self.entry.stream_closed(self.inner.clock.now());
    }
}

#[cfg(test)]
mod tests;

//! What ScaledObjects ask for: found by who asks for what, bounded, and forgotten some minutes after the last call.

use std::collections::HashMap;
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
use super::resolve::{SourceKey, bad_query, is_none, no_signal, readable, resolve};
use super::scale_from_zero::{ScaleFromZero, pool_of};
use super::shares::Asker;
use super::state::{EntryKey, Slot, State};
use super::throttle::Throttle;
use crate::clock::Clock;
use crate::serve::signals::{Found, Watched};

/// A trigger that nobody has asked about for this long is forgotten.
const EXPIRES_MS: i64 = 5 * 60_000;
/// Calls at work at a time; the others wait their turn.
pub const EVALUATED_AT_ONCE_MAX: usize = 8;
/// A call's turn has come by then, or it is answered without.
const CALL_MS_MAX: u64 = 3_000;
/// Streams open at once: as many as calls (`calls`), and those that have ended for others and are not read.
const STREAMS_MAX: usize = 2 * CALLS_MAX;
/// Refusals kept for people.
const REFUSALS_MAX: usize = 1_000;
/// A refusal is shown for this long after it last happened.
const REFUSAL_SHOWN_MS: i64 = 3_600_000;
/// The log says so often that a trigger names no signal: anybody who reaches the port may send one.
const WARNED_EVERY_MS: i64 = 10_000;
/// Names that are not there are compared with those that are so often a second at most: with 5,000 each takes milliseconds.
const LOOKS_MAX: u32 = 10;
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
    pub(super) signals: RwLock<Arc<Watched>>,
    /// Never held while a query runs.
    pub(super) state: Mutex<State>,
    /// For people, by namespace, name and key of the metadata.
    refusals: Mutex<HashMap<(String, String, String), Refused>>,
    /// Since when names like one that is not there are counted, and how often they were looked for since.
    looks: Mutex<Option<(Timestamp, u32)>>,
    /// When the log last said of a trigger that it names no signal.
    warned: Mutex<Option<Timestamp>>,
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

struct Refused {
    refusal: Refusal,
    authenticated: bool,
    count: u64,
    last: Timestamp,
}

impl Triggers {
    /// Nothing is asked for yet. `latches` are what [`Triggers::latches`] of an earlier run gave.
    pub(in crate::serve) fn new(
        reader: Reader,
        clock: Arc<Clock>,
        signals: Arc<Watched>,
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
            looks: Mutex::default(),
            warned: Mutex::default(),
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
    pub(in crate::serve) fn configured(&self, signals: Arc<Watched>) {
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
        shown.extend(
            self.0
                .refusals
                .lock()
                .iter()
                .filter(|(_, refused)| now.since_ms(refused.last) < REFUSAL_SHOWN_MS)
                .map(|((namespace, name, _), refused)| refused.describe(namespace, name)),
        );
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

impl Refused {
    fn describe(&self, namespace: &str, name: &str) -> ScaledObject {
        ScaledObject {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            authenticated: self.authenticated,
            trigger: String::new(),
            state: "refused",
            reason: format!("{} ({} times)", self.refusal, self.count),
            value: None,
            active: None,
            latched_until: None,
            threshold: None,
            activation_threshold: None,
            streams: 0,
            last_call: self.last,
        }
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
        // What was wrong was put right; anybody else's claim to the name puts nothing right.
        self.refusals
            .lock()
            .retain(|(namespace, name, _), refused| {
                *namespace != caller.namespace
                    || *name != caller.name
                    || refused.authenticated != caller.authenticated
            });
        self.look(&resolved.key, &entry).ok(); // so that streams open with what is true; it is shown if it is nothing
        Ok((resolved.key, entry))
    }

    /// Forgets what nobody has asked about for long.
    pub(super) fn expire(&self, now: Timestamp) {
        let is_over = |_: &SourceKey, entry: &Entry| entry.expired(now, EXPIRES_MS);
        self.state.lock().end_where(&self.reader, is_over);
        let is_shown = |refused: &Refused| now.since_ms(refused.last) < REFUSAL_SHOWN_MS;
        self.refusals.lock().retain(|_, refused| is_shown(refused));
    }
}

impl Inner {
    /// Whether the name of a trigger may be compared with those of thousands of signals, on a thread that answers autoscalers: for
    /// whoever asks about names that are not there, once in a while.
    fn may_look_for_names(&self, now: Timestamp) -> bool {
        let looks = &mut *self.looks.lock();
        let (since, count) = looks
            .filter(|(since, _)| now.since_ms(*since) < 1_000)
            .unwrap_or((now, 0));
        let may = count < LOOKS_MAX;
        if may {
            *looks = Some((since, count + 1));
        }
        may
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
        Ok(Arc::new(AdhocSignals { inner, key, entry }))
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
        let why = match self.0.may_look_for_names(now) {
            true => no_signal(&signals.fixed_names(), name),
            false => is_none(name),
        };
        let refusal = Refusal::invalid("signal", why);
        self.refused(caller, &refusal);
        let warned = &mut *self.0.warned.lock();
        let is_due = |at: &mut Timestamp| now.since_ms(*at) >= WARNED_EVERY_MS;
        if warned.as_mut().is_none_or(is_due) {
            *warned = Some(now);
            let (namespace, object) = (&caller.namespace, &caller.name);
            warn!(%refusal, "ScaledObject {namespace}/{object} was given the metric of a signal that is not there, and each poll of it fails");
        }
    }

    fn refused(&self, caller: &Caller, refusal: &Refusal) {
        let last = self.0.clock.now();
        let mut refusals = self.0.refusals.lock();
        let key = (
            caller.namespace.clone(),
            caller.name.clone(),
            refusal.key.clone(),
        );
        if let Some(known) = refusals.get_mut(&key) {
            known.count += 1;
            known.last = last;
            // With names that are near it says more.
            if !known.refusal.why.starts_with(&refusal.why) {
                known.refusal = refusal.clone();
            }
            return;
        }
        if refusals.len() >= REFUSALS_MAX
            && let Some(oldest) = refusals
                .iter()
                .min_by_key(|(_, one)| one.last)
                .map(|(key, _)| key.clone())
        {
            refusals.remove(&oldest);
        }
        let refused = Refused {
            refusal: refusal.clone(),
            authenticated: caller.authenticated,
            count: 1,
            last,
        };
        refusals.insert(key, refused);
    }

    fn ending(&self) -> watch::Receiver<bool> {
        self.ending_receiver()
    }
}

impl Triggers {
    fn ending_receiver(&self) -> watch::Receiver<bool> {
        self.0.ending.clone()
    }
}

/// A trigger in the hands of a call.
struct AdhocSignals {
    inner: Arc<Inner>,
    key: SourceKey,
    entry: Arc<Entry>,
}

impl Kept for AdhocSignals {
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
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use stillwell_adapters::keda::Source;
    use stillwell_engine::promql::{Features, Query};
    use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec};

    use super::super::cost::Cost;
    use super::*;
    use crate::yaml::{Kind, Node, parse};

    fn at<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
        match &node.kind {
            Kind::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value),
            _ => None,
        }
    }

    fn text(node: &Node) -> String {
        match &node.kind {
            Kind::Scalar { text, .. } => text.clone(),
            _ => panic!("line {}: a single value", node.line),
        }
    }

    fn triggers() -> (Triggers, watch::Sender<bool>) {
        let (mut writer, reader) = Engine::new(Limits::default());
        let (_, mut stage) = writer.add_target(TargetSpec {
            interval_ms: 60_000,
            ..TargetSpec::default()
        });
        let clock = Arc::new(Clock::start());
        let staged = stage.parse(b"q 7\n", Format::Text).expect("it parses");
        let committed = writer.commit(staged, clock.now(), ScrapeFacts::default());
        committed.expect("it is taken");
        let (quit, ending) = watch::channel(false);
        let signals = Arc::new(Watched::none(reader.clone()));
        (Triggers::new(reader, clock, signals, &[], ending), quit)
    }

    fn asked(triggers: &Triggers, name: &str, query: &str) -> Result<Arc<dyn Kept>, Refusal> {
        asked_from(triggers, 0, ("ns", name), query)
    }

    fn asked_from(
        triggers: &Triggers,
        host: u8,
        (namespace, name): (&str, &str),
        query: &str,
    ) -> Result<Arc<dyn Kept>, Refusal> {
        let metadata = [("query", query), ("threshold", "5")];
        let metadata = metadata.map(|(key, text)| (key.to_owned(), text.to_owned()));
        let trigger = Trigger::parse(&metadata.into())?;
        let caller = Caller {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            authenticated: false,
        };
        triggers.trigger(
            &caller,
            Some(ClientAddress::of([10, 0, 0, host], None)),
            &trigger,
        )
    }

    /// Each call computed distances to 5,000 names on a thread that answers autoscalers.
    #[test]
    fn names_that_are_not_there_are_compared_with_others_some_times_a_second() {
        let (triggers, _quit) = triggers();
        let may = |ms| triggers.0.may_look_for_names(Timestamp::from_ms(ms));
        for second in [0, 1_000, 5_000] {
            let looks = (0..1_000).filter(|ms| may(second + ms)).count();
            assert_eq!(looks, LOOKS_MAX as usize);
        }
    }

    /// Of a hundred ScaledObjects with wrong names at once ten were shown.
    #[test]
    fn each_name_that_is_not_there_is_noted() {
        let (triggers, _quit) = triggers();
        let metadata = |key: &str, text: &str| (key.to_owned(), text.to_owned());
        let metadata = [metadata("signal", "nowhere"), metadata("threshold", "5")];
        let trigger = Trigger::parse(&metadata.into()).expect("a trigger");
        let count = 10 * LOOKS_MAX as usize;
        for at in 0..2 * count {
            let caller = Caller {
                namespace: "ns".to_owned(),
                name: (at % count).to_string(),
                authenticated: false,
            };
            triggers.specified(&caller, &trigger);
        }
        let (shown, _) = triggers.describe();
        assert_eq!(shown.len(), count);
        let says = |text: &str| shown.iter().filter(|one| one.reason.contains(text)).count();
        assert_eq!(says("there is no signal \"nowhere\""), count);
        let looked = says("the configuration has none");
        assert!(looked >= LOOKS_MAX as usize, "{looked}");
    }

    /// KEDA with 700 queries was refused the next beside a stranger with 650, and had 500 of its 900 beside one who came first.
    #[test]
    fn a_stranger_leaves_keda_as_many_queries_as_he_has_whoever_comes_first() {
        const KEDA: u8 = 1;
        const STRANGER: u8 = 2;
        let ask = |triggers: &Triggers, host: u8, at: usize| {
            let namespace = format!("of{host}-{}", at % 50);
            let query = format!("sum(q) + {at}");
            asked_from(triggers, host, (&namespace, "a"), &query).is_ok()
        };
        let (triggers, _quit) = triggers();
        let taken = |host: u8, queries: std::ops::Range<usize>| {
            let kept = queries.clone().filter(|at| ask(&triggers, host, *at));
            (kept.count(), queries.len())
        };
        for (host, queries, all) in [
            (KEDA, 0..700, true),
            (STRANGER, 0..650, true),
            (KEDA, 700..701, true),
            (STRANGER, 650..2_000, false), // he holds most
        ] {
            let (kept, asked) = taken(host, queries);
            assert_eq!(kept == asked, all, "{host}: {kept} of {asked}");
        }
        assert_eq!(taken(KEDA, 0..900), (900, 900));
        // With another stranger each has a third.
        assert_eq!(taken(3, 0..600), (600, 600));
        taken(STRANGER, 2_000..2_500);
        let kept = taken(KEDA, 0..900).0;
        assert!((666..900).contains(&kept), "{kept}");
        let all = triggers.0.state.lock().triggers();
        assert!((1_990..=2_000).contains(&all), "{all}");
    }

    /// A second ScaledObject with a query that costs much was told that nobody had looked at it yet.
    #[test]
    fn a_new_trigger_on_a_query_that_rests_is_told_what_the_others_know() {
        let (triggers, _quit) = triggers();
        let first = asked(&triggers, "a", "sum(q)").expect("taken");
        assert_eq!(first.read().expect("a number").value, 7.0);
        for slot in triggers.0.state.lock().sources.values_mut() {
            slot.cost = Cost::of(Duration::from_secs(60), || Duration::from_secs(600));
        }
        let second = asked(&triggers, "b", "sum(q)").expect("taken");
        let told = second.read().expect("a number");
        assert_eq!((told.value, told.active), (7.0, true));
    }

    #[test]
    fn a_look_at_a_query_that_costs_much_is_told_once_to_each_of_its_triggers() {
        let (triggers, _quit) = triggers();
        let [first, _second] =
            ["a", "b"].map(|name| asked(&triggers, name, "sum(q)").expect("taken"));
        let told = || -> Vec<usize> {
            let state = triggers.0.state.lock();
            let entries = state
                .sources
                .values()
                .flat_map(|slot| slot.entries.values());
            entries
                .map(|entry| entry.told_times.swap(0, Ordering::Relaxed))
                .collect()
        };
        told();
        for slot in triggers.0.state.lock().sources.values_mut() {
            slot.cost = Cost {
                last: Duration::from_secs(60),
                due: None,
            };
        }
        assert_eq!(first.read().expect("a number").value, 7.0);
        assert_eq!(told(), [1, 1]);
    }

    #[test]
    fn what_is_kept_for_triggers_is_given_back_with_them() {
        let (triggers, _quit) = triggers();
        for at in 0..60 {
            let kept = asked(&triggers, "a", &format!("sum(q) + {at}"));
            assert_eq!(kept.is_ok(), at < 50, "{at}");
        }
        assert!(asked(&triggers, "b", "sum(").is_err());
        assert_eq!(triggers.0.state.lock().triggers(), 50);
        let later = triggers.0.clock.now().plus_ms(EXPIRES_MS);
        triggers.0.expire(later);
        assert_eq!(triggers.0.state.lock().triggers(), 0);
        assert!(asked(&triggers, "a", "sum(q) + 55").is_ok());
    }

    #[test]
    fn the_shipped_scaled_objects_are_what_we_take() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/keda");
        let mut triggers = 0;
        for file in std::fs::read_dir(folder).expect("it is shipped") {
            let file = file.expect("readable").path();
            if file.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let name = file.display();
            let content = std::fs::read_to_string(&file).expect("readable");
            let tree = parse(&content).unwrap_or_else(|problem| panic!("{name}: {problem}"));
            if text(at(&tree, "kind").expect("a kind")) != "ScaledObject" {
                continue;
            }
            let spec = at(&tree, "spec").expect("a spec");
            assert!(
                at(spec, "initialCooldownPeriod").is_some(),
                "{name}: the trap that the README names"
            );
            let Some(Kind::List(list)) = at(spec, "triggers").map(|node| &node.kind) else {
                panic!("{name}: no triggers");
            };
            for trigger in list {
                let Some(Kind::Map(metadata)) = at(trigger, "metadata").map(|node| &node.kind)
                else {
                    panic!("{name}: a trigger without metadata");
                };
                let metadata = metadata
                    .iter()
                    .map(|entry| (entry.key.clone(), text(&entry.value)));
                let metadata: std::collections::BTreeMap<String, String> = metadata.collect();
                triggers += 1;
                if text(at(trigger, "type").expect("a type")) == "prometheus" {
                    assert!(metadata["serverAddress"].ends_with("/guarded"), "{name}");
                    Query::parse(&metadata["query"], &Features::default()).expect("PromQL");
                    continue;
                }
                let trigger =
                    Trigger::parse(&metadata).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
                if let Source::Query(query) = &trigger.source {
                    readable(&trigger, query).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
                }
            }
        }
        assert!(triggers >= 6, "{triggers}");
    }
}

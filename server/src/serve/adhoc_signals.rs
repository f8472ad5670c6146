//! Queries that somebody asks about through `/guarded`: judged like signals for as long as the questions keep coming,
//! so that what was seen before a restart or an outage is known when it matters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use stillwell_adapters::ClientAddress;
use stillwell_engine::promql::QueryError;
use stillwell_engine::signal::{Policy, SignalId};
use stillwell_engine::{Reader, Timestamp};
use tracing::warn;

/// A query that nobody has asked about for this long is no longer kept up to date.
pub(super) const EXPIRES_MS: i64 = 5 * 60_000;
/// Queries at once. Of the address that has most of them the one asked about longest ago makes room: whoever asks for 500
/// others does not have those of a scaler forgotten, with what was seen before a restart.
const QUERIES_MAX: usize = 500;
/// Those about objects: one for each object that an HPA reads by name, so a cluster may have many.
const OBJECT_QUERIES_MAX: usize = 1_500;

/// One that was asked about within this time is asked about again.
const NEEDED_MS: i64 = 60_000;
const QUERY_SHOWN_BYTES: usize = 200;

/// The queries asked about.
pub(super) struct AdhocSignals {
    entries: Mutex<Vec<Entry>>,
    policy: Policy,
    max: usize,
    /// When it was last told that there are too many.
    warned_ms: AtomicI64,
}

/// One of them.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) query: String,
    /// By which objects are told apart; `None` where the query is one signal.
    pub(super) object_label: Option<String>,
    pub(super) id: SignalId,
    pub(super) last: Timestamp,
    /// Where the one is who asked first; `None` for all whose address does not count.
    address: Option<ClientAddress>,
}

impl AdhocSignals {
    /// For what anybody may ask: evaluated when it is read, so that it costs the commits of pages nothing.
    pub(super) fn by_anybody() -> AdhocSignals {
        AdhocSignals {
            entries: Mutex::default(),
            policy: Policy {
                when_read: true,
                ..Policy::default()
            },
            max: QUERIES_MAX,
            warned_ms: AtomicI64::new(0),
        }
    }

    /// For the queries of configured rules, which an HPA reads.
    pub(super) fn by_rules() -> AdhocSignals {
        AdhocSignals {
            entries: Mutex::default(),
            policy: Policy::default(),
            max: QUERIES_MAX,
            warned_ms: AtomicI64::new(0),
        }
    }

    /// For queries about objects, of rules and of signals.
    pub(super) fn about_objects() -> AdhocSignals {
        AdhocSignals {
            max: OBJECT_QUERIES_MAX,
            ..AdhocSignals::by_rules()
        }
    }

    /// The standing signal of a query.
    pub(super) fn signal(
        &self,
        reader: &Reader,
        query: &str,
        asked: (Timestamp, Option<ClientAddress>),
    ) -> Result<SignalId, QueryError> {
        self.signal_of(reader, (query, &self.policy), asked)
    }

    /// That of a query that stands already, for whoever must not wait: `None` where it does not, or somebody else is at it.
    pub(super) fn standing(&self, query: &str, now: Timestamp) -> Option<SignalId> {
        let mut entries = self.entries.try_lock()?;
        let same = |entry: &&mut Entry| entry.query == query && entry.object_label.is_none();
        let entry = entries.iter_mut().find(same)?;
        entry.last = now;
        Some(entry.id)
    }

    /// The standing signal of a query that is judged by this policy. Policies that differ in `object_label` are told apart.
    pub(super) fn signal_with(
        &self,
        reader: &Reader,
        query: &str,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<SignalId, QueryError> {
        self.signal_of(reader, (query, policy), (now, None))
    }

    fn signal_of(
        &self,
        reader: &Reader,
        (query, policy): (&str, &Policy),
        (now, address): (Timestamp, Option<ClientAddress>),
    ) -> Result<SignalId, QueryError> {
        let mut entries = self.entries.lock();
        expire(&mut entries, reader, now);
        let same =
            |entry: &&mut Entry| entry.query == query && entry.object_label == policy.object_label;
        if let Some(entry) = entries.iter_mut().find(same) {
            entry.last = now;
            return Ok(entry.id);
        }
        if entries.len() >= self.max
            && let Some(least) = least_needed(&entries, address)
        {
            let displaced = entries.swap_remove(least);
            reader.remove(displaced.id);
            self.warn_of(&displaced, now);
        }
        let id = reader.register(query, policy.clone())?;
        entries.push(Entry {
            query: query.to_owned(),
            object_label: policy.object_label.clone(),
            id,
            last: now,
            address,
        });
        Ok(id)
    }

    /// One that is asked about again begins anew each time: what was true before a change of a gateway is not known of it. Told once
    /// a minute.
    fn warn_of(&self, displaced: &Entry, now: Timestamp) {
        let warned = Timestamp::from_ms(self.warned_ms.load(Ordering::Relaxed));
        if now.since_ms(displaced.last) < NEEDED_MS && now.since_ms(warned) >= NEEDED_MS {
            self.warned_ms.store(now.ms(), Ordering::Relaxed);
            let query = &displaced.query[..displaced.query.floor_char_boundary(QUERY_SHOWN_BYTES)];
            let max = self.max;
            warn!(
                query,
                "a query that was asked about within the last minute made room for another: {max} are kept; a signal in the \
                 configuration is kept always"
            );
        }
    }

    /// Ends those that nobody asks about any more. Called from time to time: the next question may never come.
    pub(super) fn expire(&self, reader: &Reader, now: Timestamp) {
        expire(&mut self.entries.lock(), reader, now);
    }

    /// All of them.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().clone()
    }
}

/// The query that makes room for one that is asked from an address.
fn least_needed(entries: &[Entry], address: Option<ClientAddress>) -> Option<usize> {
    let mut counts = HashMap::from([(address, 1)]);
    for entry in entries {
        *counts.entry(entry.address).or_insert(0) += 1;
    }
    let held = |address: &Option<ClientAddress>| (counts[address], *address);
    let addresses = entries.iter().map(|entry| entry.address);
    let most = addresses.max_by_key(held)?;
    let of_most = (0..entries.len()).filter(|&at| entries[at].address == most);
    of_most.min_by_key(|&at| entries[at].last)
}

fn expire(entries: &mut Vec<Entry>, reader: &Reader, now: Timestamp) {
    entries.retain(|entry| {
        let keep = now.since_ms(entry.last) < EXPIRES_MS;
        if !keep {
            reader.remove(entry.id);
        }
        keep
    });
}

#[cfg(test)]
mod tests {
    use stillwell_engine::{Engine, Limits};

    use super::*;

    /// A stranger who asked for 500 queries every half minute had those of KEDA forgotten before they were asked about again.
    #[test]
    fn whoever_asks_for_most_queries_makes_room_for_others() {
        let (_writer, reader) = Engine::new(Limits::default());
        let asked = AdhocSignals::by_anybody();
        let [keda, stranger] = [1, 2].map(|host| Some(ClientAddress::of([10, 0, 0, host], None)));
        let ask = |address: Option<ClientAddress>, queries: std::ops::Range<usize>, ms: i64| {
            for at in queries {
                let query = format!("sum(x) + {at}");
                let asked = asked.signal(&reader, &query, (Timestamp::from_ms(ms), address));
                asked.expect("there is room");
            }
        };
        ask(keda, 0..200, 0);
        ask(stranger, 1_000..1_700, 1_000);
        ask(keda, 200..250, 2_000);
        let held = |of: Option<ClientAddress>| {
            let entries = asked.entries();
            entries.iter().filter(|entry| entry.address == of).count()
        };
        assert_eq!((held(keda), held(stranger)), (250, 250));
        ask(keda, 250..251, 3_000);
        assert_eq!((held(keda), held(stranger)), (250, 250), "its own oldest");
    }

    #[test]
    fn a_query_stands_while_it_is_asked_about() {
        let (_writer, reader) = Engine::new(Limits::default());
        let asked = AdhocSignals::by_anybody();
        let ms = Timestamp::from_ms;
        let at = |time| (ms(time), None);
        let first = asked.signal(&reader, "sum(x)", at(0)).expect("valid");
        assert_eq!(asked.signal(&reader, "sum(x)", at(1000)), Ok(first));
        let other = asked.signal(&reader, "sum(y)", at(200_000)).expect("valid");
        assert_ne!(first, other);
        asked.signal(&reader, "sum(y)", at(301_000)).expect("valid");
        let left: Vec<String> = asked
            .entries()
            .into_iter()
            .map(|entry| entry.query)
            .collect();
        assert_eq!(left, ["sum(y)"]);
        assert!(asked.signal(&reader, "sum(", at(301_000)).is_err());
        asked.expire(&reader, ms(601_000));
        assert!(asked.entries().is_empty(), "though nobody asks any more");
        assert!(reader.signal(other, ms(601_000), &[]).is_none());
    }
}

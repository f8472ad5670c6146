//! Queries that somebody asks about through `/guarded`: judged like signals for as long as the questions keep coming,
//! so that what was seen before a restart or an outage is known when it matters.

use parking_lot::Mutex;
use stillwell_engine::promql::QueryError;
use stillwell_engine::signal::{Policy, SignalId};
use stillwell_engine::{Reader, Timestamp};

/// A query that nobody has asked about for this long is no longer kept up to date.
const EXPIRES_MS: i64 = 5 * 60_000;
/// Queries at once; the one asked about longest ago makes room.
const QUERIES_MAX: usize = 500;

/// The queries asked about.
pub(super) struct AdhocSignals {
    entries: Mutex<Vec<Entry>>,
    policy: Policy,
}

/// One of them.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) query: String,
    pub(super) id: SignalId,
    pub(super) last: Timestamp,
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
        }
    }

    /// For the queries of configured rules, which an HPA reads.
    pub(super) fn by_rules() -> AdhocSignals {
        AdhocSignals {
            entries: Mutex::default(),
            policy: Policy::default(),
        }
    }

    /// The standing signal of a query.
    pub(super) fn signal(
        &self,
        reader: &Reader,
        query: &str,
        now: Timestamp,
    ) -> Result<SignalId, QueryError> {
        let mut entries = self.entries.lock();
        entries.retain(|entry| {
            let keep = now.since_ms(entry.last) < EXPIRES_MS;
            if !keep {
                reader.remove(entry.id);
            }
            keep
        });
        if let Some(entry) = entries.iter_mut().find(|entry| entry.query == query) {
            entry.last = now;
            return Ok(entry.id);
        }
        if entries.len() >= QUERIES_MAX
            && let Some(oldest) = (0..entries.len()).min_by_key(|&at| entries[at].last)
        {
            reader.remove(entries.swap_remove(oldest).id);
        }
        let id = reader.register(query, self.policy.clone())?;
        entries.push(Entry {
            query: query.to_owned(),
            id,
            last: now,
        });
        Ok(id)
    }

    /// All of them.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::{Engine, Limits};

    use super::*;

    #[test]
    fn a_query_stands_while_it_is_asked_about() {
        let (_writer, reader) = Engine::new(Limits::default());
        let asked = AdhocSignals::by_anybody();
        let at = Timestamp::from_ms;
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
    }
}

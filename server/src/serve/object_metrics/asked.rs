//! The queries that are asked for objects, and the objects of which they told nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use stillwell_adapters::host::ObjectList;
use stillwell_engine::promql::QueryError;
use stillwell_engine::signal::{Policy, SignalId};
use stillwell_engine::{Reader, Timestamp};
use tracing::info;

use crate::serve::adhoc_signals::{AdhocSignals, Entry};

/// Objects without a number that are remembered for `/signals`, for each query.
const MISSING_SHOWN_MAX: usize = 100;
/// Objects without a number that a line of the log names.
const MISSING_LOGGED_MAX: usize = 5;

/// What is carried from one configuration to the next.
pub(in crate::serve) struct Asked {
    pub(super) signals: AdhocSignals,
    /// By query: the objects of which nothing was told when they were last asked for.
    missing: Mutex<HashMap<SignalId, BTreeMap<String, String>>>,
}

impl Asked {
    pub(in crate::serve) fn new() -> Arc<Asked> {
        Arc::new(Asked {
            signals: AdhocSignals::about_objects(),
            missing: Mutex::default(),
        })
    }

    /// Keeps a query standing, and what it reads in the store.
    pub(in crate::serve) fn keep(
        &self,
        reader: &Reader,
        query: &str,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), QueryError> {
        self.signals
            .signal_with(reader, query, policy, now)
            .map(drop)
    }

    /// Ends those that nobody asks about any more.
    pub(in crate::serve) fn expire(&self, reader: &Reader, now: Timestamp) {
        self.signals.expire(reader, now);
    }

    /// Queries that stand, each with the objects that it told nothing of.
    pub(in crate::serve) fn entries(&self) -> Vec<(Entry, Vec<(String, String)>)> {
        let mut missing = self.missing.lock();
        let entries = self.signals.entries();
        missing.retain(|id, _| entries.iter().any(|entry| entry.id == *id));
        let of = |entry: Entry| {
            let without = missing.get(&entry.id).into_iter().flatten();
            let without = without.map(|(name, why)| (name.clone(), why.clone()));
            (entry, without.collect())
        };
        entries.into_iter().map(of).collect()
    }

    /// Remembers the objects without a number, and logs them where they are others than before.
    pub(super) fn note_missing(&self, id: SignalId, query: &str, list: &ObjectList) {
        let mut all = self.missing.lock();
        let known = all.entry(id).or_default();
        for (name, _) in &list.told {
            known.remove(name);
        }
        let mut news = Vec::new();
        for (name, why) in &list.missing {
            let is_known = known.contains_key(name);
            if known.get(name) == Some(why) || (!is_known && known.len() >= MISSING_SHOWN_MAX) {
                continue;
            }
            known.insert(name.clone(), why.clone());
            news.push(format!("{name}: {why}"));
        }
        drop(all);
        if news.is_empty() {
            return;
        }
        let more = news.len().saturating_sub(MISSING_LOGGED_MAX);
        news.truncate(MISSING_LOGGED_MAX);
        info!(
            query,
            more,
            "objects without a number are left out of the list that an HPA reads: {}",
            news.join("; ")
        );
    }
}

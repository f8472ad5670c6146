//! Signals that a reload has removed, for whoever adds up what several processes say: as long as others go on with them, a sum
//! without this one's would be told for all. They are sent as unknown, for as long as a silent series counts (rule S9g). After a restart it knows of none:
//! a signal is renamed by a reload.

use std::collections::{BTreeMap, BTreeSet};

use stillwell_engine::Timestamp;
use stillwell_engine::signal::{Reading, State};

/// As long as a sender's silent series counts where nothing else is configured (`forget_series_after`).
const SAID_MS: i64 = 300_000;
/// Signals of some configurations; of more nothing is said.
const REMOVED_MAX: usize = 10_000;

/// What was sent before.
#[derive(Default)]
pub(super) struct RemovedSignals {
    sent: BTreeSet<String>,
    /// Since when each is no longer configured.
    since: BTreeMap<String, Timestamp>,
}

impl RemovedSignals {
    /// Adds to what is sent the signals that were sent before and are not configured any more.
    pub(super) fn add_to(
        &mut self,
        sent: &mut Vec<(String, Reading)>,
        configured: &BTreeSet<String>,
        now: Timestamp,
    ) {
        let before = std::mem::take(&mut self.sent);
        self.sent.extend(sent.iter().map(|(name, _)| name.clone()));
        let is_there = |name: &String| configured.contains(name) || self.sent.contains(name);
        for name in before.into_iter().filter(|name| !is_there(name)) {
            if self.since.len() < REMOVED_MAX {
                self.since.entry(name).or_insert(now);
            }
        }
        self.since
            .retain(|name, since| now.since_ms(*since) < SAID_MS && !is_there(name));
        let unknown = |name: &String| {
            let state = State::Unknown {
                why: "it was removed from the configuration".to_owned(),
            };
            let elements = Vec::new();
            (name.clone(), Reading { state, elements })
        };
        sent.extend(self.since.keys().map(unknown));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shard's reload renamed its signal, and the sum over the shards was told without it, 5 of 35.
    #[test]
    fn a_signal_that_a_reload_removes_is_unknown_for_a_while() {
        let mut removed = RemovedSignals::default();
        let mut sent = |configured: &[&str], with_targets: &[&str], ms| {
            let all = with_targets.iter().map(|name| {
                let (state, elements) = (State::Value, Vec::new());
                ((*name).to_owned(), Reading { state, elements })
            });
            let mut all: Vec<(String, Reading)> = all.collect();
            let configured = configured.iter().map(|name| (*name).to_owned()).collect();
            removed.add_to(&mut all, &configured, Timestamp::from_ms(ms));
            let is_unknown = |reading: &Reading| matches!(reading.state, State::Unknown { .. });
            let says = all.iter().map(|(name, reading)| match is_unknown(reading) {
                true => format!("{name}?"),
                false => name.clone(),
            });
            says.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(sent(&["a", "b"], &["a", "b"], 0), "a b");
        assert_eq!(
            sent(&["a", "b"], &["b"], 1),
            "b",
            "no target of this shard is of a"
        );
        assert_eq!(sent(&["a", "c"], &["c"], 2), "c b?");
        assert_eq!(sent(&["c"], &["c"], 300_001), "c b?");
        assert_eq!(sent(&["c"], &["c"], 300_002), "c");
        assert_eq!(sent(&[], &[], 300_003), "c?");
        assert_eq!(sent(&["c"], &["c"], 300_004), "c");
    }
}

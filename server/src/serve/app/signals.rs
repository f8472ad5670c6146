//! What the process itself asks of the signals of the configuration in force.

use std::collections::BTreeSet;
use std::sync::Arc;

use stillwell_engine::Timestamp;
use stillwell_engine::signal::{Reading, Transition};

use super::App;
use crate::serve::signals::ConfiguredSignals;

impl App {
    /// The signals of the configuration in force.
    pub(in crate::serve) fn configured_signals(&self) -> Arc<ConfiguredSignals> {
        Arc::clone(&self.loaded.read().signals)
    }

    /// Puts the floors into force that apply now, and ends what nobody asks about any more. Returns the newest change of each
    /// signal's state, by its name.
    pub(in crate::serve) fn look_at_signals(&self) -> Vec<(String, Transition)> {
        let signals = Arc::clone(&self.loaded.read().signals);
        signals.apply_floors(self.clock.wall_now());
        signals.expire(self.clock.now());
        signals.newest_transitions(self.clock.now())
    }

    /// What each signal of the configuration says, by its name.
    pub(in crate::serve) async fn signal_readings(&self, now: Timestamp) -> Vec<(String, Reading)> {
        let signals = Arc::clone(&self.loaded.read().signals);
        // Some signals are evaluated when they are read.
        let reading = tokio::task::spawn_blocking(move || signals.readings(now));
        reading.await.unwrap_or_default() // a panic has been logged
    }

    /// The same as it is sent on: of several processes that share their targets each speaks of its own.
    pub(in crate::serve) async fn sent_readings(&self, now: Timestamp) -> Vec<(String, Reading)> {
        if self.settings.shard.is_none() {
            return self.signal_readings(now).await;
        }
        let signals = Arc::clone(&self.loaded.read().signals);
        let reading = tokio::task::spawn_blocking(move || signals.readings_of_shard(now));
        reading.await.unwrap_or_default() // a panic has been logged
    }

    /// The names of the signals of the configuration.
    pub(in crate::serve) fn signal_names(&self) -> BTreeSet<String> {
        self.loaded.read().signals.configured_names()
    }
}

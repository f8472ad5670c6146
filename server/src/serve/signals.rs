//! `signals:` of the configuration, kept by the engine, under the names by which the APIs ask for them.

mod answers;
mod describe;
mod find;
mod judge;
mod reasons;
mod register;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use stillwell_engine::signal::{Policy, Reading, SignalId, State};
use stillwell_engine::{Reader, Timestamp};
use tracing::info;

use super::adhoc_signals::{AdhocSignals, EXPIRES_MS};
use super::askers::Askers;
use super::guarded_refusals::GuardedRefusals;
use super::object_metrics::{Asked, ObjectMetrics};
use super::usage::UsageMetrics;
use crate::config::{Config, Problem, SignalSpec};
use crate::floor::highest;
use crate::rules::Rule;

pub(super) use find::Found;
pub use register::check;
use register::register;

/// The signals of one configuration.
pub struct ConfiguredSignals {
    signals: Vec<(SignalSpec, SignalId)>,
    /// The floor that applies to each.
    floors: Mutex<Vec<Option<f64>>>,
    /// Rules whose query depends on who asks.
    rules: Vec<Arc<Rule>>,
    /// Metrics of objects.
    objects: ObjectMetrics,
    /// CPU and memory.
    usage: UsageMetrics,
    reader: Reader,
    /// Carried, like what follows, from one configuration to the next. What anybody may ask for has places of its own, so
    /// that it displaces nothing that an HPA reads.
    asked: Arc<AdhocSignals>,
    asked_by_rules: Arc<AdhocSignals>,
    askers: Arc<Askers>,
    refusals: Arc<GuardedRefusals>,
    last_reads: Arc<Mutex<HashMap<SignalId, (Timestamp, String)>>>,
}

impl ConfiguredSignals {
    /// No signals.
    pub(super) fn none(reader: Reader) -> ConfiguredSignals {
        let asked = Asked::new();
        ConfiguredSignals {
            signals: Vec::new(),
            floors: Mutex::default(),
            rules: Vec::new(),
            usage: UsageMetrics::new(None, reader.clone(), Arc::clone(&asked)),
            objects: ObjectMetrics::new(Vec::new(), reader.clone(), asked),
            reader,
            asked: Arc::new(AdhocSignals::by_anybody()),
            asked_by_rules: Arc::new(AdhocSignals::by_rules()),
            askers: Arc::default(),
            refusals: Arc::default(),
            last_reads: Arc::default(),
        }
    }

    /// The signals of a new configuration. One whose expression and jobs are as before goes on with what it has seen,
    /// under its new policy. With errors nothing changes. `wall` is the time of the wall clock, for floors.
    pub(super) fn replace(
        config: &Config,
        before: &ConfiguredSignals,
        wall: Timestamp,
    ) -> Result<ConfiguredSignals, Vec<Problem>> {
        let reader = before.reader.clone();
        let signals = register(&config.signals, &reader, &before.signals)?;
        let mut floors = Vec::new();
        for (spec, id) in &signals {
            let floor = highest(&spec.floors, wall);
            let policy = spec.policy.clone();
            reader.set_policy(*id, Policy { floor, ..policy });
            floors.push(floor);
        }
        Ok(ConfiguredSignals {
            signals,
            floors: Mutex::new(floors),
            rules: config.rules.clone(),
            usage: UsageMetrics::new(
                config.resource_rules.clone(),
                reader.clone(),
                Arc::clone(before.objects.asked()),
            ),
            objects: ObjectMetrics::new(
                config.object_rules.clone(),
                reader.clone(),
                Arc::clone(before.objects.asked()),
            ),
            reader,
            asked: Arc::clone(&before.asked),
            asked_by_rules: Arc::clone(&before.asked_by_rules),
            askers: Arc::clone(&before.askers),
            refusals: Arc::clone(&before.refusals),
            last_reads: Arc::clone(&before.last_reads),
        })
    }

    /// Puts the floors into force that apply at this time of the wall clock.
    pub(super) fn apply_floors(&self, wall: Timestamp) {
        for ((spec, id), applied) in self.signals.iter().zip(self.floors.lock().iter_mut()) {
            let floor = highest(&spec.floors, wall);
            if *applied != floor {
                info!(signal = spec.name, ?floor, "the floor of a signal changes");
                *applied = floor;
                let policy = spec.policy.clone();
                self.reader.set_policy(*id, Policy { floor, ..policy });
            }
        }
    }

    /// Ends the signals of queries that nobody asks about any more.
    pub(super) fn expire(&self, now: Timestamp) {
        self.asked.expire(&self.reader, now);
        self.asked_by_rules.expire(&self.reader, now);
        self.objects.asked().expire(&self.reader, now);
        self.askers.expire(EXPIRES_MS, now);
    }

    /// Ends the signals that `kept` does not go on with, once nobody reads them by name any more.
    pub(super) fn end_unless_in(&self, kept: &ConfiguredSignals) {
        for (_, id) in &self.signals {
            if kept.signals.iter().all(|(_, other)| other != id) {
                self.reader.remove(*id);
                self.last_reads.lock().remove(id);
            }
        }
    }
}

impl ConfiguredSignals {
    /// What each signal of the configuration says, by name. Nobody counts as having read them.
    pub(super) fn readings(&self, now: Timestamp) -> Vec<(String, Reading)> {
        let read = |(spec, id): &(SignalSpec, SignalId)| {
            let reading = self.reader.signal(*id, now, &[])?;
            Some((spec.name.clone(), reading))
        };
        self.signals.iter().filter_map(read).collect()
    }

    /// The names of those of the configuration.
    pub(super) fn configured_names(&self) -> BTreeSet<String> {
        let signals = self.signals.iter();
        signals.map(|(spec, _)| spec.name.clone()).collect()
    }

    /// The same for whoever adds up what several processes say that share their targets: without signals that are unknown
    /// here because no target of this process counts for them.
    pub(super) fn readings_of_shard(&self, now: Timestamp) -> Vec<(String, Reading)> {
        let mut readings = self.readings(now);
        readings.retain(|(name, reading)| {
            let of_name = |(spec, _): &&(SignalSpec, SignalId)| spec.name == *name;
            let id = self.signals.iter().find(of_name).map(|(_, id)| *id);
            let has_targets = id.and_then(|id| self.reader.has_targets(id));
            !matches!(reading.state, State::Unknown { .. }) || has_targets != Some(false)
        });
        readings
    }

    /// Remembers who read a signal, and what was told.
    pub(super) fn note_read(&self, id: SignalId, now: Timestamp, told: String) {
        self.last_reads.lock().insert(id, (now, told));
    }
}

#[cfg(test)]
mod tests;

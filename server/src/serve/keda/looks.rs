//! Looks at what triggers read, and tells all triggers of a source what it says: those that cost much take turns, and rest after one.

use std::sync::Arc;
use std::time::Duration;

use stillwell_adapters::keda::{Caller, Refusal, Told};
use stillwell_engine::Timestamp;
use stillwell_engine::signal::{Reading, SignalId};

use super::cost::Cost;
use super::entry::Entry;
use super::resolve::SourceKey;
use super::triggers::Inner;

/// A query that costs much, or that nobody has looked at yet, waits so long for its turn; then its call is refused.
const TURN_WAIT: Duration = Duration::from_secs(1);

impl Inner {
    /// Reads an entry's signal now.
    pub(super) fn look(&self, key: &SourceKey, entry: &Entry) -> Result<Told, Refusal> {
        let (id, cost) = {
            let state = self.state.lock();
            let slot = state.sources.get(key);
            let id = slot.and_then(|slot| self.signal_of(key, slot));
            (id, slot.map(|slot| slot.cost).unwrap_or_default())
        };
        let evaluate = || {
            let now = self.clock.now();
            (id.and_then(|id| self.reader.signal(id, now, &[])), now)
        };
        let is_cheap = matches!(key, SourceKey::Named(_)) || cost.is_light();
        let (reading, now) = if is_cheap {
            evaluate()
        } else if cost.is_known()
            && cost.rests()
            && let Some(told) = self.told_lately(key, entry)
        {
            return told;
        } else {
            let Some((evaluated, took)) = self.throttle.take(TURN_WAIT, evaluate) else {
                return Err(Refusal::unknown(
                    "queries that cost much take turns, and this one's has not come: aggregate over fewer series",
                ));
            };
            // The others, too: the source rests now, and until then they are told what they were told last.
            let (reading, now) = &evaluated;
            self.hand_out(key, id, (reading.as_ref(), took), *now, Some(entry));
            evaluated
        };
        let gone = || Refusal::unknown("the signal is gone: the configuration has changed");
        let told = self.take(entry, &reading.ok_or_else(gone)?, now);
        if let (SourceKey::Named(_), Some(id)) = (key, id) {
            let told = match &told {
                Ok(told) => told.value.to_string(),
                Err(refusal) => refusal.to_string(),
            };
            let Caller {
                namespace, name, ..
            } = &entry.caller;
            let told = format!("ScaledObject {namespace}/{name}: {told}");
            self.signals.read().note_read(id, now, told);
        }
        told
    }

    /// What the source of an entry said a moment ago, to it or to another one; `None` where nobody has looked at it.
    fn told_lately(&self, key: &SourceKey, entry: &Entry) -> Option<Result<Told, Refusal>> {
        if entry.is_looked_at() {
            return Some(entry.told());
        }
        let others: Vec<Arc<Entry>> = {
            let state = self.state.lock();
            let others = state.sources.get(key)?.entries.values();
            let known = others.filter(|other| other.is_looked_at());
            known.take(1).cloned().collect()
        };
        let is_ready = |pool: Option<&str>| self.scale_from_zero.lock().is_ready(pool);
        entry.take_from(others.first()?, self.clock.now(), is_ready)
    }

    /// Hands what a source said just now, after so long a look, to all of its triggers but the one that takes it itself, and
    /// lets it rest.
    pub(super) fn hand_out(
        &self,
        key: &SourceKey,
        id: Option<SignalId>,
        (reading, took): (Option<&Reading>, Duration),
        now: Timestamp,
        but: Option<&Entry>,
    ) {
        let cost = Cost::of(took, || self.may_be_told(id, reading, now));
        let entries = self.entries(key, cost);
        let Some(reading) = reading else {
            return;
        };
        let is_that = |entry: &Entry| but.is_some_and(|but| std::ptr::eq(entry, but));
        for entry in entries.iter().filter(|entry| !is_that(entry)) {
            self.take(entry, reading, now).ok(); // whoever asks gets the reason; streams are silent
        }
    }

    /// For how long the numbers of a reading may still be told: a number is held since it was measured.
    fn may_be_told(
        &self,
        id: Option<SignalId>,
        reading: Option<&Reading>,
        now: Timestamp,
    ) -> Duration {
        let hold_ms = id.and_then(|id| self.reader.hold_ms(id));
        let Some(hold_ms) = hold_ms.and_then(|ms| u64::try_from(ms).ok()) else {
            return Duration::MAX;
        };
        let oldest = reading.and_then(|reading| reading.elements.iter().map(|one| one.time).min());
        let age_ms = oldest.map_or(0, |oldest| now.since_ms(oldest));
        Duration::from_millis(hold_ms.saturating_sub(u64::try_from(age_ms).unwrap_or(0)))
    }

    fn entries(&self, key: &SourceKey, cost: Cost) -> Vec<Arc<Entry>> {
        let mut state = self.state.lock();
        let Some(slot) = state.sources.get_mut(key) else {
            return Vec::new();
        };
        slot.cost = cost;
        slot.entries.values().cloned().collect()
    }

    /// Hands a reading to an entry.
    pub(super) fn take(
        &self,
        entry: &Entry,
        reading: &Reading,
        now: Timestamp,
    ) -> Result<Told, Refusal> {
        entry.take(reading, now, |pool| {
            self.scale_from_zero.lock().is_ready(pool)
        })
    }
}

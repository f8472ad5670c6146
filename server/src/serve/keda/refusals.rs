//! Calls of KEDA that were refused, for people: KEDA shows its user little of the answer, so `/signals` says why.

use std::collections::HashMap;

use stillwell_adapters::host::ScaledObject;
use stillwell_adapters::keda::{Caller, Refusal};
use stillwell_engine::Timestamp;

/// Refusals at once; the one that happened longest ago makes room.
const REFUSALS_MAX: usize = 1_000;
/// A refusal is shown for this long after it last happened.
const REFUSAL_SHOWN_MS: i64 = 3_600_000;

/// The refusals, by namespace and name of the ScaledObject and key of its metadata.
#[derive(Default)]
pub(super) struct Refusals(HashMap<(String, String, String), Refused>);

struct Refused {
    refusal: Refusal,
    authenticated: bool,
    count: u64,
    last: Timestamp,
}

impl Refusals {
    /// A call was refused.
    pub(super) fn add(&mut self, caller: &Caller, refusal: &Refusal, now: Timestamp) {
        let key = (
            caller.namespace.clone(),
            caller.name.clone(),
            refusal.key.clone(),
        );
        if let Some(known) = self.0.get_mut(&key) {
            known.count += 1;
            known.last = now;
            // With names that are near it says more.
            if !known.refusal.why.starts_with(&refusal.why) {
                known.refusal = refusal.clone();
            }
            return;
        }
        if self.0.len() >= REFUSALS_MAX
            && let Some(oldest) = self
                .0
                .iter()
                .min_by_key(|(_, one)| one.last)
                .map(|(key, _)| key.clone())
        {
            self.0.remove(&oldest);
        }
        let refused = Refused {
            refusal: refusal.clone(),
            authenticated: caller.authenticated,
            count: 1,
            last: now,
        };
        self.0.insert(key, refused);
    }

    /// A trigger of this ScaledObject was taken: what was wrong was put right. Who only claims the name puts nothing right of a
    /// caller that has shown a certificate, nor the other way round.
    pub(super) fn remove_of(&mut self, caller: &Caller) {
        self.0.retain(|(namespace, name, _), refused| {
            *namespace != caller.namespace
                || *name != caller.name
                || refused.authenticated != caller.authenticated
        });
    }

    /// Forgets those that are no longer shown.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.0.retain(|_, refused| refused.is_shown(now));
    }

    /// Those of the last hour, as `/signals` lists them, in no order.
    pub(super) fn describe(&self, now: Timestamp) -> impl Iterator<Item = ScaledObject> {
        let shown = self.0.iter();
        shown
            .filter(move |(_, refused)| refused.is_shown(now))
            .map(|((namespace, name, _), refused)| refused.describe(namespace, name))
    }
}

impl Refused {
    fn is_shown(&self, now: Timestamp) -> bool {
        now.since_ms(self.last) < REFUSAL_SHOWN_MS
    }

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

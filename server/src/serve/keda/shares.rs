//! What is kept for triggers, by the address that asked for it first.
//!
//! A namespace or a name is what a caller says, so anybody who reaches the port may invent as many as he likes. An address may
//! hold as much as it leaves to others, as with calls: a stranger who asks for all that he can leaves half, the next one a
//! quarter, and KEDA, which was there before or comes later, finds a place. Whoever showed a certificate that was verified is
//! bound by the whole alone.

use std::collections::HashMap;
use std::net::IpAddr;

use stillwell_adapters::keda::Refusal;

/// Triggers at once, whatever they read: 40 MB without their texts. Half of them from one address.
const TRIGGERS_MAX: usize = 40_000;
/// Bytes of all triggers: so many with queries of the greatest length would be a gigabyte.
const TRIGGER_BYTES_MAX: usize = 64 << 20;
/// Queries of triggers that stand at once.
const QUERIES_MAX: usize = 2_000;
/// Those of one namespace that one address asks for.
const QUERIES_PER_NAMESPACE_MAX: usize = 50;

/// Who asks, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    pub(super) address: IpAddr,
    pub(super) authenticated: bool,
}

/// What is kept.
#[derive(Default)]
pub(super) struct Shares {
    all: Held,
    /// Only those that hold something.
    askers: HashMap<Asker, Held>,
}

#[derive(Default)]
struct Held {
    triggers: usize,
    bytes: usize,
    queries: usize,
    /// Queries by namespace.
    namespaces: HashMap<String, usize>,
}

impl Shares {
    /// Triggers that are kept.
    pub(super) fn triggers(&self) -> usize {
        self.all.triggers
    }

    /// Keeps a trigger of so many bytes, if there is room.
    pub(super) fn add_trigger(&mut self, asker: Asker, bytes: usize) -> Result<(), Refusal> {
        let own = self.askers.get(&asker);
        let own = own.map_or((0, 0), |held| (held.triggers, held.bytes));
        if exceeds(asker, own.0, self.all.triggers, 1, TRIGGERS_MAX) {
            let why = format!(
                "there are {} triggers already, {} of them from this address, which has to leave as many of {TRIGGERS_MAX} to \
                 others",
                self.all.triggers, own.0
            );
            return Err(Refusal::exhausted("metadata", why));
        }
        if exceeds(asker, own.1, self.all.bytes, bytes, TRIGGER_BYTES_MAX) {
            let why = format!(
                "the triggers already take {} bytes, {} of them those of this address, which has to leave as many of \
                 {TRIGGER_BYTES_MAX} to others: give long queries names under `signals:`",
                self.all.bytes, own.1
            );
            return Err(Refusal::exhausted("metadata", why));
        }
        for held in [&mut self.all, self.askers.entry(asker).or_default()] {
            held.triggers += 1;
            held.bytes += bytes;
        }
        Ok(())
    }

    /// A trigger is kept no longer.
    pub(super) fn remove_trigger(&mut self, asker: Asker, bytes: usize) {
        self.all.triggers -= 1;
        self.all.bytes -= bytes;
        self.change(asker, |held| {
            held.triggers -= 1;
            held.bytes -= bytes;
        });
    }

    /// Keeps a query of a namespace, if there is room.
    pub(super) fn add_query(&mut self, asker: Asker, namespace: &str) -> Result<(), Refusal> {
        let own = self.askers.get(&asker);
        let of_namespace = own.and_then(|held| held.namespaces.get(namespace));
        let (queries, of_namespace) = (
            own.map_or(0, |held| held.queries),
            of_namespace.copied().unwrap_or(0),
        );
        const REMEDY: &str = "give them names under `signals:`, and let triggers share them";
        if of_namespace >= QUERIES_PER_NAMESPACE_MAX {
            let why = format!(
                "there are {QUERIES_PER_NAMESPACE_MAX} queries of namespace {namespace:?} already, the most there may be: {REMEDY}"
            );
            return Err(Refusal::exhausted("query", why));
        }
        if exceeds(asker, queries, self.all.queries, 1, QUERIES_MAX) {
            let why = format!(
                "there are {} queries of triggers already, {queries} of them from this address, which has to leave as many of \
                 {QUERIES_MAX} to others: {REMEDY}",
                self.all.queries
            );
            return Err(Refusal::exhausted("query", why));
        }
        self.all.queries += 1;
        let own = self.askers.entry(asker).or_default();
        own.queries += 1;
        *own.namespaces.entry(namespace.to_owned()).or_default() += 1;
        Ok(())
    }

    /// A query is kept no longer.
    pub(super) fn remove_query(&mut self, asker: Asker, namespace: &str) {
        self.all.queries -= 1;
        self.change(asker, |held| {
            held.queries -= 1;
            if let Some(of_namespace) = held.namespaces.get_mut(namespace) {
                *of_namespace -= 1;
                if *of_namespace == 0 {
                    held.namespaces.remove(namespace);
                }
            }
        });
    }

    fn change(&mut self, asker: Asker, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.askers.get_mut(&asker) {
            change(held);
            if held.triggers == 0 && held.queries == 0 {
                self.askers.remove(&asker);
            }
        }
    }
}

/// Whether so much more is more than an asker may have of what there may be.
fn exceeds(asker: Asker, own: usize, all: usize, more: usize, most: usize) -> bool {
    let left = most.saturating_sub(all);
    more > left || (!asker.authenticated && own + more > left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(last: u8) -> Asker {
        Asker {
            address: IpAddr::from([10, 0, 0, last]),
            authenticated: false,
        }
    }

    /// A stranger with 20 invented namespaces took all queries, and with one that is there those of its own triggers.
    #[test]
    fn a_stranger_who_invents_namespaces_leaves_room_for_others() {
        let mut shares = Shares::default();
        let mut of_strangers = Vec::new();
        for stranger in [1, 2] {
            let mut kept = 0;
            for namespace in (0..QUERIES_MAX).map(|at| format!("ns{}", at % 50)) {
                kept += usize::from(shares.add_query(asker(stranger), &namespace).is_ok());
            }
            of_strangers.push(kept);
        }
        assert_eq!(of_strangers, [QUERIES_MAX / 2, QUERIES_MAX / 4]);
        // KEDA comes after them, for a namespace of which they asked for all that one may ask for.
        for _ in 0..QUERIES_PER_NAMESPACE_MAX {
            assert!(shares.add_query(asker(3), "ns0").is_ok());
        }
        assert!(shares.add_query(asker(3), "ns0").is_err());
        let known = Asker {
            authenticated: true,
            ..asker(3)
        };
        let by_certificate = (0..QUERIES_MAX)
            .filter(|at| shares.add_query(known, &format!("ns{}", at % 50)).is_ok())
            .count();
        assert_eq!(by_certificate, QUERIES_MAX / 4 - QUERIES_PER_NAMESPACE_MAX);
        for _ in 0..QUERIES_PER_NAMESPACE_MAX {
            shares.remove_query(asker(3), "ns0");
        }
        assert!(!shares.askers.contains_key(&asker(3)));
        assert!(shares.add_query(asker(3), "ns0").is_ok());
    }

    #[test]
    fn a_stranger_who_invents_names_leaves_as_many_triggers_as_he_holds() {
        let mut shares = Shares::default();
        let many = (0..TRIGGERS_MAX)
            .take_while(|_| shares.add_trigger(asker(1), 100).is_ok())
            .count();
        let large = (0..TRIGGERS_MAX)
            .take_while(|_| shares.add_trigger(asker(2), 64 << 10).is_ok())
            .count();
        assert_eq!(many, TRIGGERS_MAX / 2);
        assert!((400..=512).contains(&large), "{large}");
        assert!(shares.add_trigger(asker(3), 1 << 10).is_ok());
        shares.remove_trigger(asker(3), 1 << 10);
        assert_eq!(shares.triggers(), many + large);
    }
}

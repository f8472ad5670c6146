//! How much of what is kept for triggers is whose, by the address that asked for it first, and who gives way where that is all
//! there may be.
//!
//! A namespace or a name is what a caller says, so anybody who reaches the port may invent as many as he likes. Nobody is refused
//! while there is room. Where there is none, whoever holds most gives way to whoever holds less (`state`),
//! until both hold as much: a stranger who comes first and takes all, or who takes a third while KEDA holds another one, leaves
//! KEDA as much as he holds himself. Whoever showed a certificate that was verified gives way to nobody.

use std::collections::HashMap;

use stillwell_adapters::ClientAddress;
use stillwell_adapters::keda::Refusal;

/// Queries of one namespace that one address asks for.
const QUERIES_PER_NAMESPACE_MAX: usize = 50;
/// Said of queries that find no room.
const REMEDY: &str = "give them names under `signals:`, and let triggers share them";

/// What may be kept so many times in all; half of each where a stranger takes what he can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// Triggers, whatever they read.
    Triggers,
    /// Bytes of triggers: so many of them with queries of the greatest length would be gigabytes.
    Bytes,
    /// Queries of triggers that stand.
    Queries,
}

/// Who asks, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    pub(super) address: ClientAddress,
    pub(super) authenticated: bool,
}

/// What is kept.
#[derive(Default)]
pub(super) struct Shares {
    all: Held,
    /// Only those that hold something.
    askers: HashMap<Asker, Held>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    triggers: usize,
    bytes: usize,
    queries: usize,
}

#[derive(Default)]
struct Held {
    counts: Counts,
    /// Queries by namespace, of an asker.
    namespaces: HashMap<String, usize>,
}

impl Resource {
    /// How much there may be.
    pub(super) fn most(self) -> usize {
        match self {
            Resource::Triggers => 40_000, // 40 MB without their texts
            Resource::Bytes => 128 << 20,
            Resource::Queries => 2_000,
        }
    }
}

impl Counts {
    fn of(&self, what: Resource) -> usize {
        match what {
            Resource::Triggers => self.triggers,
            Resource::Bytes => self.bytes,
            Resource::Queries => self.queries,
        }
    }
}

impl Shares {
    /// Triggers that are kept.
    pub(super) fn triggers(&self) -> usize {
        self.all.counts.triggers
    }

    /// How much of this is still free.
    pub(super) fn left(&self, what: Resource) -> usize {
        what.most().saturating_sub(self.all.counts.of(what))
    }

    /// How much of this an asker holds.
    pub(super) fn held(&self, asker: Asker, what: Resource) -> usize {
        let held = self.askers.get(&asker);
        held.map_or(0, |held| held.counts.of(what))
    }

    /// Who gives way where there is no room for so much more of an asker's: whoever holds most.
    pub(super) fn gives_way(&self, asker: Asker, what: Resource, more: usize) -> Option<Asker> {
        let others = self.askers.iter();
        let others = others.filter(|(other, _)| !other.authenticated && **other != asker);
        let most = others.max_by_key(|(other, held)| (held.counts.of(what), other.address));
        let (most, _) = most?;
        self.may_give_way(*most, asker, (what, more))
            .then_some(*most)
    }

    /// Whether a holder may give way to an asker: to one who was verified, and to whoever would still hold less.
    pub(super) fn may_give_way(
        &self,
        holder: Asker,
        asker: Asker,
        (what, more): (Resource, usize),
    ) -> bool {
        let holds_more = || self.held(holder, what) > self.held(asker, what) + more;
        !holder.authenticated && holder != asker && (asker.authenticated || holds_more())
    }

    /// Said to whoever finds no room although others make it where they hold more.
    pub(super) fn refusal(&self, asker: Asker, what: Resource) -> Refusal {
        let (all, most, own) = (
            self.all.counts.of(what),
            what.most(),
            self.held(asker, what),
        );
        let whose = format!(
            "{own} of them from this address, and none holds so many more that it gives way"
        );
        match what {
            Resource::Triggers => Refusal::exhausted(
                "metadata",
                format!("there are {all} triggers of at most {most} already, {whose}"),
            ),
            Resource::Bytes => Refusal::exhausted(
                "metadata",
                format!(
                    "the triggers already take {all} bytes of at most {most}, {whose}: give long queries names under `signals:`"
                ),
            ),
            Resource::Queries => Refusal::exhausted(
                "query",
                format!(
                    "there are {all} queries of triggers of at most {most} already, {whose}: {REMEDY}"
                ),
            ),
        }
    }

    /// Whether an asker may ask for another query of a namespace.
    pub(super) fn may_read_another(&self, asker: Asker, namespace: &str) -> Result<(), Refusal> {
        let own = self.askers.get(&asker);
        let of_namespace = own.and_then(|held| held.namespaces.get(namespace));
        match of_namespace {
            Some(&count) if count >= QUERIES_PER_NAMESPACE_MAX => {
                let why = format!(
                    "this address has {count} queries of namespace {namespace:?} already, the most that it may have: {REMEDY}"
                );
                Err(Refusal::exhausted("query", why))
            }
            _ => Ok(()),
        }
    }

    /// A trigger of so many bytes is kept.
    pub(super) fn add_trigger(&mut self, asker: Asker, bytes: usize) {
        let own = self.askers.entry(asker).or_default();
        for counts in [&mut self.all.counts, &mut own.counts] {
            counts.triggers += 1;
            counts.bytes += bytes;
        }
    }

    /// A trigger is kept no longer.
    pub(super) fn remove_trigger(&mut self, asker: Asker, bytes: usize) {
        self.all.counts.triggers -= 1;
        self.all.counts.bytes -= bytes;
        self.change(asker, |held| {
            held.counts.triggers -= 1;
            held.counts.bytes -= bytes;
        });
    }

    /// A query is kept, whoever asks for it.
    pub(super) fn add_query(&mut self) {
        self.all.counts.queries += 1;
    }

    /// A query is kept no longer.
    pub(super) fn remove_query(&mut self) {
        self.all.counts.queries -= 1;
    }

    /// An asker has a trigger on a query: it counts for each who has one.
    pub(super) fn add_reader(&mut self, asker: Asker, namespace: &str) {
        let own = self.askers.entry(asker).or_default();
        own.counts.queries += 1;
        *own.namespaces.entry(namespace.to_owned()).or_default() += 1;
    }

    /// An asker's last trigger on a query has ended.
    pub(super) fn remove_reader(&mut self, asker: Asker, namespace: &str) {
        self.change(asker, |held| {
            held.counts.queries -= 1;
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
            if held.counts.triggers == 0 && held.counts.queries == 0 {
                self.askers.remove(&asker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(last: u8) -> Asker {
        Asker {
            address: ClientAddress::of([10, 0, 0, last], None),
            authenticated: false,
        }
    }

    #[test]
    fn whoever_holds_most_gives_way_until_others_hold_as_much() {
        let mut shares = Shares::default();
        let known = Asker {
            authenticated: true,
            ..asker(9)
        };
        for (asker, triggers) in [(asker(1), 500), (asker(2), 300), (known, 700)] {
            (0..triggers).for_each(|_| shares.add_trigger(asker, 10));
        }
        for (of, more, gives_way) in [
            (asker(3), 1, Some(asker(1))),
            (asker(2), 1, Some(asker(1))),
            (asker(2), 199, Some(asker(1))),
            (asker(2), 200, None), // he would hold as much
            (asker(1), 1, None),   // whoever was verified keeps what he has
            (known, 1, Some(asker(1))),
        ] {
            let found = shares.gives_way(of, Resource::Triggers, more);
            assert_eq!(found, gives_way, "{of:?} {more}");
        }
        (0..500).for_each(|_| shares.remove_trigger(asker(1), 10));
        assert!(!shares.askers.contains_key(&asker(1)));
        let found = shares.gives_way(known, Resource::Bytes, 1);
        assert_eq!(found, Some(asker(2)));
    }

    #[test]
    fn queries_count_for_each_who_reads_them_and_an_address_has_so_many_of_a_namespace() {
        let mut shares = Shares::default();
        for at in 0..QUERIES_PER_NAMESPACE_MAX {
            shares.add_query();
            for reader in [1, 2] {
                assert!(shares.may_read_another(asker(reader), "ns").is_ok(), "{at}");
                shares.add_reader(asker(reader), "ns");
            }
        }
        let left = Resource::Queries.most() - QUERIES_PER_NAMESPACE_MAX;
        assert_eq!(shares.left(Resource::Queries), left);
        for reader in [1, 2] {
            assert!(shares.may_read_another(asker(reader), "ns").is_err());
        }
        assert!(shares.may_read_another(asker(1), "other").is_ok());
        assert!(shares.may_read_another(asker(3), "ns").is_ok());
        shares.remove_reader(asker(1), "ns");
        assert!(shares.may_read_another(asker(1), "ns").is_ok());
    }
}

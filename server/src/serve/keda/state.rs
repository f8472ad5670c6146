//! What is kept for triggers, by what they read, and how it ends: forgotten, no longer theirs to read, or for others.
//!
//! Where there is no room for a trigger, such of whoever holds most end ([`Shares`]): those without a stream first, then those
//! that were asked about longest ago. Their callers ask again and are told why they find no room, or find it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use stillwell_adapters::keda::{Caller, Refusal};
use stillwell_engine::signal::SignalId;
use stillwell_engine::{Reader, Timestamp};

use super::cost::Cost;
use super::entry::Entry;
use super::resolve::SourceKey;
use super::shares::{Asker, Resource, Shares};

/// What a trigger takes beside its texts.
const TRIGGER_BYTES: usize = 1 << 10;
/// Of whoever gives way, idle triggers end for this part of the whole at once, and no more than half of what he holds beyond the
/// asker: all are looked at to find those, which takes some milliseconds.
const ENDS_PART: usize = 256;

/// All triggers.
#[derive(Default)]
pub(super) struct State {
    pub(super) sources: HashMap<SourceKey, Slot>,
    shares: Shares,
}

/// The triggers of one source. There is at least one.
#[derive(Default)]
pub(super) struct Slot {
    /// What stands for a query.
    pub(super) query: Option<SignalId>,
    /// Triggers on a query by who asked for them first.
    readers: HashMap<Asker, usize>,
    /// The signal and how many pages it had seen when it was last looked at.
    pub(super) seen: Option<(SignalId, Option<u64>)>,
    pub(super) cost: Cost,
    pub(super) entries: HashMap<EntryKey, Arc<Entry>>,
}

/// What tells a trigger of a source from others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct EntryKey {
    pub(super) caller: Caller,
    /// The trigger's debug text: it holds numbers, which have no hash of their own.
    pub(super) trigger: String,
}

impl EntryKey {
    /// What the entry takes, its texts counted twice: the trigger has them as well.
    fn bytes(&self) -> usize {
        let texts = self.trigger.len() + self.caller.namespace.len() + self.caller.name.len();
        TRIGGER_BYTES + 2 * texts
    }
}

/// Triggers that end together for others: one, or all that an asker has on a query.
struct Ends {
    /// The least comes first.
    rank: Rank,
    amount: usize,
    entries: Vec<*const Entry>,
}

/// Whether others keep the query, whether a stream is open, and the last call.
type Rank = (bool, bool, Timestamp);

impl State {
    /// How many there are.
    pub(super) fn triggers(&self) -> usize {
        self.shares.triggers()
    }

    /// The trigger, if it is kept.
    pub(super) fn find(&self, source: &SourceKey, key: &EntryKey) -> Option<&Arc<Entry>> {
        self.sources.get(source)?.entries.get(key)
    }

    /// Makes room for a trigger of an asker, where it is not there and others hold more than he.
    pub(super) fn make_room(
        &mut self,
        reader: &Reader,
        asker: Asker,
        (source, key): (&SourceKey, &EntryKey),
    ) -> Result<(), Refusal> {
        let reads_it = |state: &State| {
            let slot = state.sources.get(source);
            slot.is_some_and(|slot| slot.readers.contains_key(&asker))
        };
        if source.is_query() && !reads_it(self) {
            self.shares.may_read_another(asker, source.namespace())?;
        }
        self.make_room_of(reader, asker, (Resource::Triggers, 1))?;
        self.make_room_of(reader, asker, (Resource::Bytes, key.bytes()))?;
        if source.is_query() && !self.sources.contains_key(source) {
            self.make_room_of(reader, asker, (Resource::Queries, 1))?;
        }
        Ok(())
    }

    /// Keeps a trigger for which there is room; `query` stands for its source where that is a query and nobody's yet.
    pub(super) fn add(
        &mut self,
        source: &SourceKey,
        (key, entry): (EntryKey, Arc<Entry>),
        query: Option<SignalId>,
    ) {
        let State { sources, shares } = self;
        shares.add_trigger(entry.asker, key.bytes());
        let slot = sources.entry(source.clone()).or_default();
        if query.is_some() {
            shares.add_query();
            slot.query = query;
        }
        if source.is_query() {
            let own = slot.readers.entry(entry.asker).or_default();
            if *own == 0 {
                shares.add_reader(entry.asker, source.namespace());
            }
            *own += 1;
        }
        slot.entries.insert(key, entry);
    }

    /// Ends the triggers of which this is so, and with the last one of a query what stands for it.
    pub(super) fn end_where(
        &mut self,
        reader: &Reader,
        mut ends: impl FnMut(&SourceKey, &Entry) -> bool,
    ) {
        let State { sources, shares } = self;
        sources.retain(|source, slot| {
            let Slot {
                entries, readers, ..
            } = slot;
            entries.retain(|key, entry| {
                if !ends(source, entry) {
                    return true;
                }
                entry.end();
                shares.remove_trigger(entry.asker, key.bytes());
                if let Some(own) = readers.get_mut(&entry.asker) {
                    *own -= 1;
                    if *own == 0 {
                        readers.remove(&entry.asker);
                        shares.remove_reader(entry.asker, source.namespace());
                    }
                }
                false
            });
            let is_left = !entries.is_empty();
            if let (false, Some(id)) = (is_left, slot.query) {
                reader.remove(id);
                shares.remove_query();
            }
            is_left
        });
    }

    fn make_room_of(
        &mut self,
        reader: &Reader,
        asker: Asker,
        (what, more): (Resource, usize),
    ) -> Result<(), Refusal> {
        while self.shares.left(what) < more {
            let holder = self.shares.gives_way(asker, what, more);
            let ended = holder.map_or(0, |holder| {
                let would_hold = self.shares.held(asker, what) + more;
                let beyond = self.shares.held(holder, what).saturating_sub(would_hold);
                let needed = more - self.shares.left(what);
                let enough = (beyond / 2).min(what.most() / ENDS_PART);
                let could = match what {
                    Resource::Queries => self.queries_of(holder, (asker, more)),
                    Resource::Triggers | Resource::Bytes => self.triggers_of(holder, what),
                };
                self.end_some(reader, could, (needed, enough))
            });
            if ended == 0 {
                return Err(self.shares.refusal(asker, what));
            }
        }
        Ok(())
    }

    /// Ends the first of these, for as much as is needed, and idle ones until it is enough. How many triggers end.
    fn end_some(
        &mut self,
        reader: &Reader,
        mut could: Vec<Ends>,
        (needed, enough): (usize, usize),
    ) -> usize {
        could.sort_unstable_by_key(|ends| ends.rank);
        let (mut freed, mut chosen) = (0, HashSet::new());
        for ends in could {
            let (is_kept, has_stream, _) = ends.rank;
            let wanted = match is_kept || has_stream {
                true => needed,
                false => needed.max(enough),
            };
            if freed >= wanted {
                break;
            }
            freed += ends.amount;
            chosen.extend(ends.entries);
        }
        self.end_where(reader, |_, entry| {
            chosen.contains(&std::ptr::from_ref(entry))
        });
        chosen.len()
    }

    /// What a holder has, each trigger by itself.
    fn triggers_of(&self, holder: Asker, what: Resource) -> Vec<Ends> {
        let slots = self.sources.values();
        let entries = slots.flat_map(|slot| &slot.entries);
        let own = entries.filter(|(_, entry)| entry.asker == holder);
        own.map(|(key, entry)| {
            let (has_stream, last_call) = entry.use_made();
            Ends {
                rank: (false, has_stream, last_call),
                amount: match what {
                    Resource::Bytes => key.bytes(),
                    Resource::Triggers | Resource::Queries => 1,
                },
                entries: vec![Arc::as_ptr(entry)],
            }
        })
        .collect()
    }

    /// The queries that a holder reads, each with his triggers on it, and with those of others where all may give way.
    fn queries_of(&self, holder: Asker, (asker, more): (Asker, usize)) -> Vec<Ends> {
        let may_give_way = |other: &Asker| {
            self.shares
                .may_give_way(*other, asker, (Resource::Queries, more))
        };
        let slots = self.sources.values();
        let read = slots.filter(|slot| slot.readers.contains_key(&holder));
        read.map(|slot| {
            let is_kept = !slot.readers.keys().all(may_give_way);
            let entries = slot.entries.values();
            let ending = entries.filter(|entry| !is_kept || entry.asker == holder);
            let ending: Vec<&Arc<Entry>> = ending.collect();
            let used = ending.iter().map(|entry| entry.use_made());
            let (has_stream, last_call) = used.max().unwrap_or((false, Timestamp::MIN));
            Ends {
                rank: (is_kept, has_stream, last_call),
                amount: 1,
                entries: ending.into_iter().map(Arc::as_ptr).collect(),
            }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use stillwell_adapters::ClientAddress;
    use stillwell_adapters::keda::Trigger;
    use stillwell_engine::{Engine, Limits};

    use super::super::latch::Latch;
    use super::*;

    fn asker(last: u8) -> Asker {
        Asker {
            address: ClientAddress::of([10, 0, 0, last], None),
            authenticated: false,
        }
    }

    /// Asks for a trigger on a signal, in a namespace of the asker's.
    fn ask(state: &mut State, reader: &Reader, asker: Asker, at: usize) -> Result<(), Refusal> {
        let metadata = [("signal", "s"), ("threshold", "5")];
        let metadata = metadata.map(|(key, text)| (key.to_owned(), text.to_owned()));
        let trigger = Trigger::parse(&BTreeMap::from(metadata)).expect("valid");
        let caller = Caller {
            namespace: format!("{asker:?}"),
            name: at.to_string(),
            authenticated: false,
        };
        let source = SourceKey::Named("s".to_owned());
        let key = EntryKey {
            caller: caller.clone(),
            trigger: "t".to_owned(),
        };
        if state.find(&source, &key).is_some() {
            return Ok(());
        }
        state.make_room(reader, asker, (&source, &key))?;
        let called = Timestamp::from_ms(at as i64);
        let entry = Entry::new((caller, asker), trigger, None, Latch::since(None), called);
        state.add(&source, (key, Arc::new(entry)), None);
        Ok(())
    }

    #[test]
    fn whoever_took_all_gives_way_with_what_was_asked_about_longest_ago() {
        let (_writer, reader) = Engine::new(Limits::default());
        let (keda, stranger, most) = (asker(1), asker(2), Resource::Triggers.most());
        let mut state = State::default();
        for at in 0..most {
            ask(&mut state, &reader, stranger, at).expect("there is room");
        }
        assert!(ask(&mut state, &reader, stranger, most).is_err());
        let streaming = |state: &State| {
            let entries = state.sources.values().flat_map(|slot| &slot.entries);
            let open = entries.filter(|(_, entry)| entry.use_made().0);
            open.count()
        };
        for entry in state
            .sources
            .values()
            .flat_map(|slot| slot.entries.values())
        {
            if entry.use_made().1 < Timestamp::from_ms(100) {
                entry.stream_opened();
            }
        }
        ask(&mut state, &reader, keda, 0).expect("the stranger gives way");
        // Some at once, so that the next ones find room.
        let held = |state: &State, of| state.shares.held(of, Resource::Triggers);
        assert_eq!(held(&state, stranger), most - most / ENDS_PART);
        for at in 0..900 {
            ask(&mut state, &reader, keda, at).expect("the stranger gives way");
        }
        assert_eq!(held(&state, keda), 900);
        assert_eq!(streaming(&state), 100, "idle ones end first");
        let left = state.sources.values().flat_map(|slot| &slot.entries);
        let left = left.filter(|(_, entry)| entry.asker == stranger && !entry.use_made().0);
        let oldest = left.map(|(_, entry)| entry.use_made().1).min();
        assert!(oldest >= Some(Timestamp::from_ms(1_000)), "{oldest:?}");
    }
}

//! Room for so many jobs (rules, objects) of all namespaces together. Who has room keeps it: a namespace that lost jobs to another
//! would be missed in every sum over them. So that whoever comes first, or stands first in the alphabet, leaves room for others, a
//! namespace gets no more once it has four times as much as would then be free: the first of all at most four fifths.

use std::collections::BTreeMap;

use super::places::Id;
use crate::cluster::list_watch;

/// So many times what is free a namespace may have.
const TIMES_FREE_MAX: usize = 4;

/// Who holds what of one kind of room.
pub(super) struct Room {
    max: usize,
    used: usize,
    /// By namespace; what has none is one of its own.
    namespaces: BTreeMap<String, usize>,
    of: BTreeMap<Id, usize>,
}

/// The namespace of an object.
pub(super) fn namespace_of(id: &Id) -> &str {
    list_watch::namespace_of(&id.1)
}

impl Room {
    pub(super) fn new(max: usize) -> Room {
        Room {
            max,
            used: 0,
            namespaces: BTreeMap::new(),
            of: BTreeMap::new(),
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Whether there is so much for an object, which may hold some already.
    pub(super) fn has(&self, id: &Id, units: usize) -> bool {
        let held = self.of.get(id).copied().unwrap_or(0);
        let more = units.saturating_sub(held);
        let free = self.max.checked_sub(self.used + more);
        more == 0 || free.is_some_and(|free| self.held_beside(id) + more <= TIMES_FREE_MAX * free)
    }

    /// What the namespace of this object holds.
    pub(super) fn held_beside(&self, id: &Id) -> usize {
        let held = self.namespaces.get(namespace_of(id));
        held.copied().unwrap_or(0)
    }

    /// An object holds so much, whatever it held before.
    pub(super) fn put(&mut self, id: &Id, units: usize) {
        self.leave(id);
        self.of.insert(id.clone(), units);
        let namespace = namespace_of(id).to_owned();
        *self.namespaces.entry(namespace).or_default() += units;
        self.used += units;
    }

    /// An object holds none any more.
    pub(super) fn leave(&mut self, id: &Id) {
        let Some(units) = self.of.remove(id) else {
            return;
        };
        self.used -= units;
        if let Some(held) = self.namespaces.get_mut(namespace_of(id)) {
            *held -= units;
            if *held == 0 {
                self.namespaces.remove(namespace_of(id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_leaves_room_for_others_and_keeps_what_it_has() {
        let id = |name: &str| (0, name.to_owned());
        let take = |room: &mut Room, name: &str, units| {
            let has = room.has(&id(name), units);
            if has {
                room.put(&id(name), units);
            }
            has
        };
        let mut room = Room::new(100);
        let taken = (0..100).filter(|at| take(&mut room, &format!("aaa/{at}"), 1));
        assert_eq!(taken.count(), 80);
        assert!(!take(&mut room, "b/1", 17), "it would leave 3, and have 17");
        assert!(take(&mut room, "b/1", 16));
        assert!(!take(&mut room, "b/2", 1) && take(&mut room, "b/3", 0));
        assert!(take(&mut room, "c/1", 3) && !take(&mut room, "d/1", 2));
        assert_eq!(
            room.held_beside(&id("aaa/more")),
            80,
            "nobody lost anything"
        );
        for at in 0..10 {
            room.leave(&id(&format!("aaa/{at}")));
        }
        room.leave(&id("never"));
        assert!(take(&mut room, "d/1", 2) && !take(&mut room, "aaa/0", 10));
        // Who has room keeps it, or takes less.
        assert!(take(&mut room, "aaa/20", 1) && !take(&mut room, "aaa/20", 12));
        assert!(take(&mut room, "b/1", 16) && !take(&mut room, "b/1", 26));
        assert!(take(&mut room, "b/1", 4) && room.used == 70 + 4 + 3 + 2);
    }
}

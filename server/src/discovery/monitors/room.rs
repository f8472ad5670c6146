//! Room for so many jobs (rules, objects) of all namespaces together. Where it is used up the namespace that holds most gives
//! way: whoever comes first, or stands first in the alphabet, leaves room for others.

use std::collections::{BTreeMap, BTreeSet};

use super::Id;

/// Who holds what of one kind of room.
pub(super) struct Room {
    max: usize,
    used: usize,
    /// By namespace; what has none is one of its own.
    namespaces: BTreeMap<String, Held>,
}

#[derive(Default)]
struct Held {
    used: usize,
    of: BTreeMap<Id, usize>,
}

/// The namespace of an object.
pub(super) fn namespace_of(id: &Id) -> &str {
    id.1.split_once('/').map_or("", |(namespace, _)| namespace)
}

impl Room {
    pub(super) fn new(max: usize) -> Room {
        Room {
            max,
            used: 0,
            namespaces: BTreeMap::new(),
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn has(&self, units: usize) -> bool {
        self.used + units <= self.max
    }

    /// What the namespace of this object holds.
    pub(super) fn held_beside(&self, id: &Id) -> usize {
        let held = self.namespaces.get(namespace_of(id));
        held.map_or(0, |held| held.used)
    }

    /// An object that holds none yet holds so much.
    pub(super) fn put(&mut self, id: &Id, units: usize) {
        let held = self.namespaces.entry(namespace_of(id).to_owned());
        let held = held.or_default();
        held.of.insert(id.clone(), units);
        held.used += units;
        self.used += units;
    }

    /// An object holds none any more.
    pub(super) fn leave(&mut self, id: &Id) {
        let namespace = namespace_of(id);
        let Some(held) = self.namespaces.get_mut(namespace) else {
            return;
        };
        let units = held.of.remove(id).unwrap_or(0);
        held.used -= units;
        self.used -= units;
        if held.of.is_empty() {
            self.namespaces.remove(namespace);
        }
    }

    /// Whose room has to be taken so that there is so much for an object: each time the last object of the namespace that holds
    /// most. `None`: its own namespace would hold most, so it is the one that gives way.
    pub(super) fn losers(&self, id: &Id, units: usize) -> Option<Vec<Id>> {
        let (namespace, mut losers) = (namespace_of(id), Vec::new());
        let mut free = self.max - self.used;
        let mut left: BTreeMap<&str, (usize, BTreeSet<&Id>)> = BTreeMap::new();
        if free < units {
            for (name, held) in &self.namespaces {
                let objects = held.of.iter().filter(|(_, units)| **units > 0);
                let objects = objects.map(|(id, _)| id).collect();
                left.insert(name, (held.used, objects));
            }
        }
        let wanted = left.get(namespace).map_or(0, |own| own.0) + units;
        while free < units {
            let (name, (most, objects)) = left.iter_mut().max_by_key(|(_, held)| held.0)?;
            if *name == namespace || *most <= wanted {
                return None;
            }
            let loser = objects.pop_last()?;
            let lost = self.namespaces[*name].of[loser];
            *most -= lost;
            free += lost;
            losers.push(loser.clone());
        }
        Some(losers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> Id {
        (0, name.to_owned())
    }

    /// Takes room, also of others.
    fn take(room: &mut Room, name: &str, units: usize) -> Option<Vec<Id>> {
        let losers = room.losers(&id(name), units)?;
        losers.iter().for_each(|loser| room.leave(loser));
        room.put(&id(name), units);
        Some(losers)
    }

    #[test]
    fn the_namespace_that_holds_most_gives_way() {
        let mut room = Room::new(100);
        for at in 0..10 {
            assert_eq!(take(&mut room, &format!("aaa/{at}"), 10), Some(Vec::new()));
        }
        assert_eq!(take(&mut room, "aaa/more", 1), None, "it holds most itself");
        assert_eq!(take(&mut room, "b/1", 101), None, "nobody has so much");
        let losers = take(&mut room, "b/1", 15).expect("aaa has more");
        assert_eq!(losers, [id("aaa/9"), id("aaa/8")]);
        assert_eq!(take(&mut room, "b/2", 5), Some(Vec::new()), "there is room");
        assert_eq!(take(&mut room, "c/1", 81), None, "then it would hold most");
        assert_eq!(take(&mut room, "b/3", 0), Some(Vec::new()));
        for at in 0..8 {
            room.leave(&id(&format!("aaa/{at}")));
        }
        room.leave(&id("never"));
        assert_eq!(take(&mut room, "c/1", 80), Some(Vec::new()));
        assert!(!room.has(1));
    }
}

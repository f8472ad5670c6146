//! Alerts that wait to be sent to one Alertmanager: the newest state of each, in the order in which they came.

use std::collections::{BTreeMap, HashMap};

use stillwell_engine::labels::Labels;

use crate::rule_groups::Notification;

/// Alerts that wait.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    next: u64,
    waiting: BTreeMap<u64, Notification>,
    places: HashMap<Labels, u64>,
}

/// An alert that was taken, with its place.
pub(super) type Taken = (u64, Notification);

impl Queue {
    /// One that holds at most so many alerts.
    pub(super) fn new(capacity: usize) -> Queue {
        Queue {
            capacity: capacity.max(1),
            next: 0,
            waiting: BTreeMap::new(),
            places: HashMap::new(),
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What waits, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Notification> {
        self.waiting.values()
    }

    /// Adds an alert, or replaces an older state of it. A full queue loses its oldest alert; answers whether it did.
    pub(super) fn put(&mut self, one: Notification) -> bool {
        if let Some(place) = self.places.get(&one.labels) {
            self.waiting.insert(*place, one);
            return false;
        }
        let is_full = self.waiting.len() >= self.capacity;
        if is_full && let Some((_, oldest)) = self.waiting.pop_first() {
            self.places.remove(&oldest.labels);
        }
        self.insert(self.next, one);
        self.next += 1;
        is_full
    }

    /// Takes the oldest alerts, at most so many.
    pub(super) fn take(&mut self, count: usize) -> Vec<Taken> {
        let mut taken = Vec::with_capacity(count.min(self.waiting.len()));
        while taken.len() < count
            && let Some((place, one)) = self.waiting.pop_first()
        {
            self.places.remove(&one.labels);
            taken.push((place, one));
        }
        taken
    }

    /// Puts back what could not be sent, at its place. What came meanwhile wins: newer states, and newer alerts where the
    /// queue is full. Answers how many are lost.
    pub(super) fn put_back(&mut self, taken: Vec<Taken>) -> usize {
        let mut lost = 0;
        for (place, one) in taken.into_iter().rev() {
            if self.places.contains_key(&one.labels) {
                continue;
            }
            if self.waiting.len() >= self.capacity {
                lost += 1;
                continue;
            }
            self.insert(place, one);
        }
        lost
    }

    fn insert(&mut self, place: u64, one: Notification) {
        self.places.insert(one.labels.clone(), place);
        self.waiting.insert(place, one);
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::Timestamp;

    use super::super::notification::named;
    use super::*;

    fn names(taken: &[Taken]) -> Vec<&str> {
        let names = taken.iter().map(|(_, one)| one.labels.get("alertname"));
        names.flatten().collect()
    }

    #[test]
    fn the_newest_state_of_each_alert_waits_at_its_first_place() {
        let mut queue = Queue::new(10);
        for name in ["a", "b"] {
            assert!(!queue.put(named(name)));
        }
        let newer = Notification {
            ends_at: Timestamp::from_ms(5),
            ..named("a")
        };
        assert!(!queue.put(newer));
        let taken = queue.take(10);
        assert_eq!(names(&taken), ["a", "b"]);
        assert_eq!(taken[0].1.ends_at, Timestamp::from_ms(5));
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_full_queue_loses_its_oldest() {
        let mut queue = Queue::new(2);
        let lost: Vec<bool> = ["a", "b", "c"].map(|name| queue.put(named(name))).to_vec();
        assert_eq!(lost, [false, false, true]);
        assert_eq!(names(&queue.take(10)), ["b", "c"]);
    }

    #[test]
    fn what_is_put_back_keeps_its_place_and_gives_way_to_what_is_newer() {
        let mut queue = Queue::new(3);
        for name in ["a", "b"] {
            queue.put(named(name));
        }
        let taken = queue.take(2);
        let newer = Notification {
            ends_at: Timestamp::from_ms(5),
            ..named("b")
        };
        queue.put(newer);
        queue.put(named("c"));
        assert_eq!(queue.put_back(taken), 0);
        let all = queue.take(10);
        assert_eq!(names(&all), ["a", "b", "c"]);
        assert_eq!(all[1].1.ends_at, Timestamp::from_ms(5));
        for name in ["x", "y", "z"] {
            queue.put(named(name));
        }
        assert_eq!(queue.put_back(all), 3);
        assert_eq!(names(&queue.take(10)), ["x", "y", "z"]);
    }
}

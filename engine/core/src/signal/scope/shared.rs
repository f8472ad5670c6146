//! What is the same for all queries about the same facts, found once.

use std::rc::Rc;

use hashbrown::{HashMap, HashSet};

use super::super::facts::{Facts, TargetFacts};
use super::super::names::Names;
use super::super::query::Selector;
use super::groups::exposing;
use crate::store::TargetId;

/// What is the same for all queries about the same facts, so that a thousand signals look through hundreds of groups and
/// thousands of targets once and not a thousand times.
#[derive(Default)]
pub(crate) struct Shared<'a> {
    /// Names of groups, by the metric that they ever exposed.
    exposing: HashMap<&'a str, Rc<HashSet<&'a str>>>,
    /// The same for selectors that name no metric, by where they are: their conditions are matched with every name.
    exposing_any: HashMap<*const Selector, Rc<HashSet<&'a str>>>,
    /// The targets that hold a lease, by group and lease; `None` until somebody asks.
    leaders: Option<HashMap<(&'a str, &'a str), Vec<TargetId>>>,
    /// Since when some target of a group has given good pages, in milliseconds; `None` until somebody asks.
    answering: Option<HashMap<&'a str, i64>>,
}

impl<'a> Shared<'a> {
    pub(in crate::signal) fn exposing_groups(
        &mut self,
        facts: &'a Facts,
        names: &'a Names,
        selector: &'a Selector,
    ) -> Rc<HashSet<&'a str>> {
        let find = || {
            Rc::new(
                exposing(facts, names, selector)
                    .map(|(name, _)| name)
                    .collect(),
            )
        };
        match &selector.metric {
            Some(metric) => Rc::clone(self.exposing.entry(metric).or_insert_with(find)),
            None => {
                let place = std::ptr::from_ref(selector);
                Rc::clone(self.exposing_any.entry(place).or_insert_with(find))
            }
        }
    }

    /// Since when the group of a target has given good pages, in milliseconds.
    fn answers_since_ms(&mut self, facts: &'a Facts, target: &TargetFacts) -> Option<i64> {
        let answering = self
            .answering
            .get_or_insert_with(|| answering_since_ms(facts));
        answering.get(target.group.as_str()).copied()
    }

    /// Whether the group of a target has given good pages for as long as one waits for a first page, so that what none of them
    /// ever showed is not there: right after our start the first page of one says nothing of another.
    pub(super) fn is_well_known(
        &mut self,
        facts: &'a Facts,
        target: &TargetFacts,
        now_ms: i64,
    ) -> bool {
        self.answers_since_ms(facts, target)
            .is_some_and(|since_ms| now_ms >= well_known_at_ms(since_ms, target))
    }

    /// S3c: whether nobody can have sent requests to a target that never gave a good page, because discovery calls it not ready
    /// and others of its group answer: at once where it appeared among them so, else after one has waited for it.
    pub(super) fn serves_nobody(
        &mut self,
        facts: &'a Facts,
        target: &TargetFacts,
        is_waited_for: bool,
    ) -> bool {
        if target.last_good_ms.is_some() || !target.not_ready {
            return false;
        }
        let is_new = self.is_well_known(facts, target, target.added_ms);
        is_new || (!is_waited_for && self.answers_since_ms(facts, target).is_some())
    }

    /// S3d: whether a target is a standby: another target of its group holds a lease that its own page says it does not hold.
    /// If its scrapes fail, it is one as soon as another holds its lease on a page newer than its own last good page.
    pub(in crate::signal) fn is_standby(
        &mut self,
        facts: &'a Facts,
        id: TargetId,
        target: &'a TargetFacts,
    ) -> bool {
        if target.leases.is_empty() {
            return false;
        }
        let leaders = self.leaders.get_or_insert_with(|| leaders(facts));
        let fails = target.last.is_some_and(|(_, good)| !good);
        target.leases.iter().any(|(lease, _, leads)| {
            let of_lease = leaders.get(&(target.group.as_str(), lease.as_str()));
            let mut others = of_lease.into_iter().flatten().filter(|other| **other != id);
            others.any(|&other| {
                let good_ms = facts.target(other).and_then(|other| other.last_good_ms);
                !*leads || (fails && good_ms > target.last_good_ms)
            })
        })
    }
}

pub(super) fn answering_since_ms(facts: &Facts) -> HashMap<&str, i64> {
    let mut since_ms: HashMap<&str, i64> = HashMap::new();
    for (_, target) in facts.listed().filter(|(_, one)| !one.awaits_page) {
        if let Some(good_ms) = target.first_good_ms.or(target.last_good_ms) {
            let earliest = since_ms.entry(&target.group).or_insert(good_ms);
            *earliest = good_ms.min(*earliest);
        }
    }
    since_ms
}

pub(super) fn well_known_at_ms(since_ms: i64, target: &TargetFacts) -> i64 {
    since_ms.saturating_add(target.first_page_wait_ms())
}

fn leaders(facts: &Facts) -> HashMap<(&str, &str), Vec<TargetId>> {
    let mut leaders: HashMap<(&str, &str), Vec<TargetId>> = HashMap::new();
    for (id, target) in facts.listed() {
        for (lease, _, _) in target.leases.iter().filter(|(_, _, leads)| *leads) {
            let of_lease = leaders.entry((&target.group, lease)).or_default();
            of_lease.push(id);
        }
    }
    leaders
}

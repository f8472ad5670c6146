//! A target that goes on under another configuration, and what is learned again from all series of a page: what another process
//! gives, and what is read by other rules (S6f).
//!
//! Between a change of the rules and the first page under them it is not known what that shows: signals wait. What was known of
//! the pages before says neither what the target lacks now, nor which label values there are.

use super::{ChangeKind, Facts, TargetFacts};
use crate::labels::Labels;
use crate::scrape::{Retain, TargetSpec};
use crate::store::TargetId;

/// Looks for names on targets after which what a group has exposed stays, some 0.1 s.
const EXPOSED_LOOKS_MAX: usize = 1_000_000;

/// What is learned again from all series of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Learns {
    /// The label values that the group has forgotten.
    Values,
    /// What is constant for a process, of several of which one is another: what the page has lost stays lost.
    OneOfSeveral,
    /// What is constant for the process. It has lost nothing.
    Whole,
}

impl Facts {
    /// Sets the facts of a target whose configuration has changed, or that discovery has found again after a restart of this
    /// program: its scrapes and its process stay, its configuration is that of now. Where its pages are read otherwise than
    /// before, signals wait for the next one.
    pub(crate) fn configure(&mut self, id: TargetId, spec: &TargetSpec) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let new = TargetFacts::new(spec);
        let reads_otherwise = facts.reading != new.reading;
        let is_found_again = std::mem::take(&mut facts.is_unclaimed);
        let has_other_interval = facts.interval_ms != new.interval_ms;
        // How long one is waited for that has given no page goes by its interval.
        let is_waited_otherwise = facts.is_unknown() && has_other_interval;
        let is_other_for_scopes = reads_otherwise
            || is_found_again
            || is_waited_otherwise
            || facts.not_ready != new.not_ready;
        facts.interval_before_ms = facts.interval_before_ms.max(facts.interval_ms);
        (facts.interval_ms, facts.retain, facts.may_replace) =
            (new.interval_ms, new.retain, new.may_replace);
        facts.reading = new.reading;
        let is_elsewhere = std::mem::replace(&mut facts.address, new.address) != facts.address;
        facts.has_moved |= is_elsewhere && facts.last_good_ms.is_some();
        facts.not_ready = new.not_ready;
        facts.never_ready &= new.not_ready;
        // Of one of an earlier run it is not known any more which signals needed which of its samples.
        if is_found_again && facts.retain == Retain::Signals {
            facts.first_good_ms = None;
        }
        if reads_otherwise {
            self.await_page(id);
        }
        self.epoch += u64::from(is_other_for_scopes);
        // A program has room for as many samples as come in a window.
        if is_found_again || has_other_interval {
            self.record_structure_change_of_all();
        }
    }

    /// The next good page of a target is the first that is read as it is from now on.
    pub(super) fn await_page(&mut self, id: TargetId) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        facts.first_attempt_ms = None;
        if facts.last_good_ms.is_none() {
            return; // it is waited for as it was
        }
        let Some(group) = self.groups.get_mut(&facts.group) else {
            return;
        };
        group.awaiting += usize::from(!std::mem::replace(&mut facts.awaits_page, true));
        group.is_reconfigured = true;
        if facts.values_version == group.values_version {
            group.forget_values();
        }
    }

    /// Whether a target tells on its next page what is forgotten of it.
    pub(super) fn tells_again(&self, facts: &TargetFacts) -> bool {
        let group = self.groups.get(&facts.group);
        facts.awaits_page
            || facts.has_moved
            || group.is_some_and(|of| of.values_version != facts.values_version)
    }

    /// What is learned again from a page that was committed, with which this has changed about its process.
    pub(crate) fn learns(&self, id: TargetId, change: Option<&ChangeKind>) -> Option<Learns> {
        let facts = self.target(id)?;
        let of_process = match change {
            Some(ChangeKind::Restarted) => Some(Learns::Whole),
            _ if facts.awaits_page || facts.may_be_elsewhere() => Some(Learns::Whole),
            Some(ChangeKind::OneOfSeveral { learns: true }) => Some(Learns::OneOfSeveral),
            _ => None,
        };
        of_process.or_else(|| self.tells_again(facts).then_some(Learns::Values))
    }

    /// The labels of a target of which the next page tells anew whether its series replace them.
    pub(crate) fn replaceable(&self, id: TargetId) -> Option<&Labels> {
        let facts = self.target(id)?;
        (facts.awaits_page && facts.may_replace).then_some(&facts.labels)
    }

    /// Removes what is learned again. The caller then calls [`Facts::learn_again`] with every series of the page, and
    /// [`Facts::finish_learning`].
    pub(crate) fn forget(&mut self, id: TargetId, learns: Learns) {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        if learns == Learns::Values {
            return;
        }
        facts.shown_labels.clear();
        if learns == Learns::Whole {
            facts.lose_nothing();
        }
        facts.pools.clear();
        if facts.awaits_page {
            facts.forget_replaced_labels();
        }
        self.epoch += 1;
        self.record_structure_change_of_all();
    }

    /// A series of the page may replace labels of its target.
    pub(crate) fn learn_replaced(&mut self, id: TargetId, series: &Labels) {
        if let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) {
            facts.record_replaced_labels(series);
        }
    }

    /// All that the page tells is known.
    pub(crate) fn finish_learning(&mut self, id: TargetId) {
        let Facts {
            targets, groups, ..
        } = self;
        let Some(facts) = targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let Some(group) = groups.get_mut(&facts.group) else {
            return;
        };
        group.awaiting -= usize::from(std::mem::take(&mut facts.awaits_page));
        facts.has_moved = false;
        if facts.values_version != group.values_version {
            facts.values_version = group.values_version;
            for (label, value) in facts.labels.iter() {
                if facts.constant_label(label).is_some() {
                    group.add_label_value(label, value);
                }
            }
        }
        self.update_losses(id);
    }

    /// See [`Facts::forget_what_nobody_shows`]: of the group of a target.
    pub(crate) fn forget_what_nobody_shows_beside(&mut self, id: TargetId) {
        if let Some(facts) = self.target(id) {
            let group = facts.group.clone();
            self.forget_what_nobody_shows(&group);
        }
    }

    /// Forgets what a group has exposed and none of its targets has shown under the rules of now, once none awaits a page: until
    /// then one that is down stays in scope for what it had.
    pub(crate) fn forget_what_nobody_shows(&mut self, group: &str) {
        let Facts {
            targets, groups, ..
        } = self;
        let Some(group_facts) = groups.get_mut(group) else {
            return;
        };
        if group_facts.awaiting > 0 || !std::mem::take(&mut group_facts.is_reconfigured) {
            return;
        }
        let exposed = group_facts.exposed.iter();
        let mut shown_by_nobody: Vec<Box<str>> = exposed.cloned().collect();
        let of_group = targets.iter().flatten().filter(|one| one.group == group);
        let mut looks_left = EXPOSED_LOOKS_MAX;
        for target in of_group {
            let Some(left) = looks_left.checked_sub(shown_by_nobody.len()) else {
                return; // it stays
            };
            looks_left = left;
            shown_by_nobody
                .retain(|metric| !target.has_shown(metric) && !target.may_have_shown(metric));
        }
        for metric in &shown_by_nobody {
            group_facts.exposed.remove(metric);
        }
        self.epoch += u64::from(!shown_by_nobody.is_empty());
    }
}

impl TargetFacts {
    /// Whether the page that is being taken is the first at another address, and does not say that its process is the one before.
    pub(super) fn may_be_elsewhere(&self) -> bool {
        self.has_moved && self.starts.is_empty()
    }

    /// Series that others have the page has all the same.
    fn forget_replaced_labels(&mut self) {
        self.replaced.clear();
        let replicated = std::mem::take(&mut self.replicated);
        for labels in replicated.samples() {
            self.record_replaced_labels(labels);
        }
        self.replicated = replicated;
    }
}

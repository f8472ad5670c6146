//! Facts from whole scrapes: whether a target is fresh, which process serves it, and which replica leads (S2a, S3d, S6a).

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::limits::GAPS_MAX;
use crate::store::{SeriesId, TargetId};

use super::super::names::Names;
use super::{ChangeKind, CounterMoves, Facts, TargetFacts};

/// Errors of a target without any good page that its reasons name one after another: a sender that has sent nothing yet may be one
/// whose clock is behind.
const NAMED_ERRORS_MAX: u8 = 3;

impl Facts {
    /// A page was committed. Returns what has changed about the serving process. `value` reads a series' newest value;
    /// `counters` that only fell are a restart if the page does not say when its process started. `has_counted` says whether a
    /// counter of the page is above 0, which has to be known where it is back ([`Facts::is_back`]) and no counter rose.
    pub(crate) fn scrape_succeeded(
        &mut self,
        id: TargetId,
        at_ms: i64,
        value: impl Fn(SeriesId) -> f64,
        counters: CounterMoves,
        has_counted: bool,
    ) -> Option<ChangeKind> {
        let Facts {
            targets,
            groups,
            epoch,
            wall_offset_ms,
            ..
        } = self;
        let facts = targets.get_mut(id.index()).and_then(Option::as_mut)?;
        let before_ms = facts.last_good_ms;
        let was_away = facts.away.note_page(at_ms, facts.interval_ms);
        let is_back = before_ms.is_some() && was_away;
        *epoch += facts.record_success(at_ms);
        let group = groups.get_mut(&facts.group);
        let holders = group.map(|group| {
            group.first_good_ms.get_or_insert(at_ms);
            &mut group.holders
        });
        let (moved, changes) = facts.update_leases(id, holders, &value);
        *epoch += changes;
        let restarted = facts.is_restart(&value, counters);
        let one_restarted = facts.starts.update(&value, *wall_offset_ms);
        if restarted {
            facts.note_restart(before_ms, at_ms);
        }
        // Of a page without a start time, or with several, counters tell more.
        let says_start = facts.starts.only().is_some() && !facts.starts.is_empty();
        if facts.awaits_page {
            facts.left.clear(); // by other rules: nothing has left
        }
        let (left, of_sources) = facts.take_left();
        let are_gone = !says_start && facts.counters_are_gone(&left);
        let metrics: Vec<Box<str>> = left.into_iter().map(|(metric, _)| metric).collect();
        // The next page that has a sample tells by its start time whether this one was of the same process.
        let tells_later = facts.is_empty && facts.starts.only().is_some();
        if are_gone && !tells_later {
            // Another process does not lack what the one before had.
            facts.lose_nothing();
        }
        let may_be_other =
            is_back && facts.may_be_other(counters, has_counted) || facts.may_be_elsewhere();
        if are_gone || may_be_other {
            facts.may_have_restarted_ms = Some(at_ms);
        }
        match (restarted, moved) {
            (true, _) => Some(ChangeKind::Restarted),
            (false, true) => Some(ChangeKind::LeadershipMoved),
            (false, false) if one_restarted || (!says_start && counters.fell) => {
                Some(ChangeKind::OneOfSeveral {
                    learns: one_restarted || !facts.pools.is_empty(),
                })
            }
            (false, false) if may_be_other && !are_gone => Some(ChangeKind::MayHaveRestarted),
            (false, false) if are_gone || !metrics.is_empty() => Some(ChangeKind::SeriesLeft {
                metrics,
                of_sources,
                counters: are_gone,
            }),
            (false, false) => None,
        }
    }

    /// Whether a target that gives a good page now was away since the one before.
    pub(crate) fn is_back(&self, id: TargetId, at_ms: i64) -> bool {
        self.target(id).is_some_and(|facts| {
            facts.last_good_ms.is_some() && facts.away.is_back(at_ms, facts.interval_ms)
        })
    }

    /// A scrape failed; `answered` says whether the target answered all the same. True if it is the first after a successful
    /// one.
    pub(crate) fn scrape_failed(
        &mut self,
        id: TargetId,
        at_ms: i64,
        error: &str,
        answered: bool,
    ) -> bool {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return false;
        };
        let is_first_failure = facts.last.is_some_and(|(_, good)| good);
        // The time for which its first page is waited for starts now: `SignalRegistry::scrape_failed` looks at that later.
        facts.first_attempt_ms.get_or_insert(at_ms);
        let is_known = facts.last_good_ms.is_some() || facts.errors_named >= NAMED_ERRORS_MAX;
        if facts.first_error.is_empty() || !is_known && facts.first_error != error {
            error.clone_into(&mut facts.first_error);
            facts.errors_named += 1;
        }
        // A replica that reports that it leads replaces a leader whose scrapes fail (S3d).
        self.epoch += u64::from(is_first_failure && !facts.leases.is_empty());
        facts.last = Some((at_ms, false));
        facts.away.note_failure(answered, at_ms, facts.interval_ms);
        if facts.error != error {
            error.clone_into(&mut facts.error);
        }
        is_first_failure
    }

    /// Whether the target's pages say when their process started. If not, a restart is recognised by counters that fall.
    pub(crate) fn reports_start_time(&self, id: TargetId) -> bool {
        self.target(id)
            .is_some_and(|target| !target.starts.is_empty() && !target.starts.are_several())
    }
}

impl TargetFacts {
    /// Records a successful scrape. Returns how many changes it makes by which scopes may change.
    fn record_success(&mut self, at_ms: i64) -> u64 {
        // The first page after a reload was due by the interval of before.
        let interval_ms = self
            .interval_ms
            .max(std::mem::take(&mut self.interval_before_ms));
        if let Some(before_ms) = self.last_good_ms
            && at_ms - before_ms > 2 * interval_ms
        {
            if self.gaps.len() == GAPS_MAX {
                self.gaps.pop_front();
            }
            self.gaps.push_back((before_ms, at_ms));
        }
        let is_first = self.first_good_ms.is_none() || self.awaits_page;
        let may_lead_again =
            !self.leases.is_empty() && self.last.is_some_and(|(_, is_good)| !is_good);
        if is_first && self.restored_ms.is_none() {
            self.answered_before_ready = self.never_ready;
        }
        self.restored_ms = None;
        if is_first {
            self.first_good_ms = Some(at_ms);
        }
        self.first_attempt_ms.get_or_insert(at_ms);
        self.process_since_ms.get_or_insert(at_ms);
        self.last = Some((at_ms, true));
        self.last_good_ms = Some(at_ms);
        self.error.clear();
        self.first_error.clear();
        self.errors_named = 0;
        u64::from(is_first) + u64::from(may_lead_again)
    }

    /// Reads from the page which leases the target holds. Returns whether leadership has moved, and how many leases have
    /// changed.
    fn update_leases(
        &mut self,
        id: TargetId,
        mut holders: Option<&mut HashMap<String, TargetId>>,
        value: impl Fn(SeriesId) -> f64,
    ) -> (bool, u64) {
        let (mut moved, mut changes) = (false, 0);
        for (lease, series, leads) in &mut self.leases {
            let leads_now = value(*series) == 1.0;
            changes += u64::from(leads_now != *leads);
            // The queue of a leader that steps down is gone, even before another replica reports that it leads.
            moved |= *leads && !leads_now;
            *leads = leads_now;
            if let (true, Some(holders)) = (leads_now, &mut holders) {
                moved |= match holders.get_mut(lease.as_str()) {
                    Some(holder) => std::mem::replace(holder, id) != id,
                    None => {
                        holders.insert(lease.clone(), id);
                        false
                    }
                };
            }
        }
        (moved, changes)
    }

    /// Whether a page with these values comes from another process than the one before.
    pub(super) fn is_restart(
        &self,
        value: impl Fn(SeriesId) -> f64,
        counters: CounterMoves,
    ) -> bool {
        let fell = || counters.fell && !counters.rose && !self.starts.are_several();
        self.starts.is_other(value).unwrap_or_else(fell)
    }

    /// Whether there were counters among what has left, and there are none. A process that has restarted and shows a counter shows
    /// one that fell; of a page of several others may go on.
    fn counters_are_gone(&self, left: &[(Box<str>, u32)]) -> bool {
        let has = |metric: &str| self.metrics.get(metric).copied().unwrap_or(0) > 0;
        let mut gone = left.iter().filter(|(metric, _)| !has(metric));
        gone.any(|(metric, _)| Names::is_counter(metric))
            && !self.metrics.keys().any(|metric| Names::is_counter(metric))
    }

    /// Whether neither a start time nor a counter of the page says that its process is the one of the page before.
    fn may_be_other(&self, counters: CounterMoves, has_counted: bool) -> bool {
        self.starts.is_empty() && !counters.rose && !has_counted
    }

    /// Notes that another process serves the page than the one of the last good scrape at `before_ms`.
    fn note_restart(&mut self, before_ms: Option<i64>, at_ms: i64) {
        self.process_since_ms = Some(at_ms);
        push_newest(&mut self.changes_ms, at_ms);
        // Pods replace one another behind one address: the next process starts before the last one is scraped for the
        // last time. A process that crashed has ended before the next one starts.
        let started_ms = self.starts.only_ms();
        if started_ms > before_ms || started_ms.is_none() {
            push_newest(&mut self.crashes_ms, at_ms);
        }
    }
}

/// Changes of process that are remembered per target.
const CHANGES_MAX: usize = 8;

fn push_newest(times_ms: &mut VecDeque<i64>, at_ms: i64) {
    if times_ms.len() == CHANGES_MAX {
        times_ms.pop_front();
    }
    times_ms.push_back(at_ms);
}

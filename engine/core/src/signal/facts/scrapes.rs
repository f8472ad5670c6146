//! Facts from whole scrapes: whether a target is fresh, which process serves it, and which replica leads (S2a, S3d, S6a).

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::limits::GAPS_MAX;
use crate::store::{SeriesId, TargetId, is_counter};

use super::super::names::START_TIME;
use super::{ChangeKind, CounterMoves, Facts, TargetFacts};

impl Facts {
    /// A page was committed. Returns what has changed about the serving process. `value` reads a series' newest value;
    /// `counters` that only fell are a restart if the page does not say when its process started.
    pub(crate) fn scrape_succeeded(
        &mut self,
        id: TargetId,
        at_ms: i64,
        value: impl Fn(SeriesId) -> f64,
        counters: CounterMoves,
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
        *epoch += facts.record_success(at_ms);
        let holders = groups.get_mut(&facts.group).map(|group| &mut group.holders);
        let (moved, changes) = facts.update_leases(id, holders, &value);
        *epoch += changes;
        let start_bits = facts.start_series().map(|series| value(series).to_bits());
        let one_restarted = facts.update_starts(&value, *wall_offset_ms);
        let restarted =
            facts.update_process(start_bits, counters, before_ms, at_ms, *wall_offset_ms);
        let mut left = std::mem::take(&mut facts.left);
        let has = |metric: &str| facts.metrics.get(metric).copied().unwrap_or(0);
        let mut of_sources = false;
        left.retain(|(metric, before)| {
            // One source may have come as another left.
            let is_of_sources = facts.tells_of_sources(metric);
            of_sources |= is_of_sources;
            is_of_sources || has(metric) < *before
        });
        let mut gone = left.iter().filter(|(metric, _)| has(metric) == 0);
        // A process that has restarted and shows a counter shows one that fell; of a page of several others may go on.
        let are_gone = start_bits.is_none()
            && gone.any(|(metric, _)| is_counter(metric))
            && !facts.metrics.keys().any(|metric| is_counter(metric));
        let metrics: Vec<Box<str>> = left.into_iter().map(|(metric, _)| metric).collect();
        if are_gone {
            // Another process does not lack what the one before had.
            facts.lost.clear();
        }
        match (restarted, moved) {
            (true, _) => Some(ChangeKind::Restarted),
            (false, true) => Some(ChangeKind::LeadershipMoved),
            (false, false) if one_restarted || (start_bits.is_none() && counters.fell) => {
                Some(ChangeKind::OneOfSeveral {
                    learns: one_restarted || !facts.pools.is_empty(),
                })
            }
            (false, false) if are_gone || !metrics.is_empty() => {
                if are_gone {
                    facts.counters_gone_ms = Some(at_ms);
                }
                Some(ChangeKind::SeriesLeft {
                    metrics,
                    of_sources,
                    counters: are_gone,
                })
            }
            (false, false) => None,
        }
    }

    /// A scrape failed. True if it is the first after a successful one.
    pub(crate) fn scrape_failed(&mut self, id: TargetId, at_ms: i64, error: &str) -> bool {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return false;
        };
        let is_first_failure = facts.last.is_some_and(|(_, good)| good);
        // The time for which its first page is waited for starts now: `SignalRegistry::scrape_failed` looks at that later.
        facts.first_attempt_ms.get_or_insert(at_ms);
        if facts.first_error.is_empty() {
            error.clone_into(&mut facts.first_error);
        }
        // A replica that reports that it leads replaces a leader whose scrapes fail (S3d).
        self.epoch += u64::from(is_first_failure && !facts.leases.is_empty());
        facts.last = Some((at_ms, false));
        if facts.error != error {
            error.clone_into(&mut facts.error);
        }
        is_first_failure
    }

    /// Whether the target's pages say when their process started. If not, a restart is recognised by counters that fall.
    pub(crate) fn reports_start_time(&self, id: TargetId) -> bool {
        self.target(id)
            .is_some_and(|target| target.start_series().is_some())
    }
}

impl TargetFacts {
    /// Records a successful scrape. Returns how many changes it makes by which scopes may change.
    fn record_success(&mut self, at_ms: i64) -> u64 {
        if let Some(before_ms) = self.last_good_ms
            && at_ms - before_ms > 2 * self.interval_ms
        {
            if self.gaps.len() == GAPS_MAX {
                self.gaps.pop_front();
            }
            self.gaps.push_back((before_ms, at_ms));
        }
        let is_first = self.first_good_ms.is_none();
        let may_lead_again =
            !self.leases.is_empty() && self.last.is_some_and(|(_, is_good)| !is_good);
        if is_first && self.restored_ms.is_none() {
            self.answered_before_ready = self.never_ready;
        }
        self.restored_ms = None;
        self.first_good_ms.get_or_insert(at_ms);
        self.first_attempt_ms.get_or_insert(at_ms);
        self.process_since_ms.get_or_insert(at_ms);
        self.last = Some((at_ms, true));
        self.last_good_ms = Some(at_ms);
        self.error.clear();
        self.first_error.clear();
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

    /// The series that says when the process started that gives the page. A page with several speaks for several processes.
    pub(super) fn start_series(&self) -> Option<SeriesId> {
        let is_one = self.metrics.get(START_TIME) == Some(&1);
        let first = self.starts.first().filter(|_| is_one);
        first.map(|(series, _)| *series)
    }

    /// Reads when the processes behind the page started. Whether one of several is another than before, or has left.
    fn update_starts(&mut self, value: impl Fn(SeriesId) -> f64, wall_offset_ms: i64) -> bool {
        let is_several = self.starts.len() > 1;
        let mut changed = std::mem::take(&mut self.process_left);
        let mut newest_ms = None;
        for (series, bits) in &mut self.starts {
            let now = value(*series).to_bits();
            let is_other = bits.is_some_and(|before| !is_same_start(before, now));
            if is_other || bits.is_none() {
                *bits = Some(now);
            }
            changed |= is_other && is_several;
            newest_ms = newest_ms.max(started_ms(now));
        }
        self.newest_start_ms = newest_ms.map(|ms| ms.saturating_sub(wall_offset_ms));
        changed
    }

    /// Whether a page on which these series have left, and that has these values, is one on which [`TargetFacts::update_starts`] finds
    /// that one of several processes is another.
    pub(super) fn is_one_restart(
        &self,
        value: impl Fn(SeriesId) -> f64,
        has_left: impl Fn(SeriesId) -> bool,
    ) -> bool {
        let is_other = |(series, bits): &(SeriesId, Option<u64>)| {
            let other = |before| !is_same_start(before, value(*series).to_bits());
            has_left(*series) || bits.is_some_and(other)
        };
        self.starts.len() > 1 && self.starts.iter().any(is_other)
    }

    /// Whether a page with this start time comes from another process than the one before.
    pub(super) fn is_restart(&self, start_bits: Option<u64>, counters: CounterMoves) -> bool {
        match (self.start_bits, start_bits) {
            (Some(before), Some(now)) => !is_same_start(before, now),
            (_, None) => counters.fell && !counters.rose && self.starts.len() <= 1,
            (None, Some(_)) => false,
        }
    }

    /// Whether another process serves the page than the one of the last good scrape at `before_ms`.
    fn update_process(
        &mut self,
        start_bits: Option<u64>,
        counters: CounterMoves,
        before_ms: Option<i64>,
        at_ms: i64,
        wall_offset_ms: i64,
    ) -> bool {
        let restarted = self.is_restart(start_bits, counters);
        if self.metrics.get(START_TIME).is_some_and(|&count| count > 1) {
            self.start_bits = None; // of which of its processes would it be
        }
        // Of a start that wavers the first one stays, so that it cannot move away in small steps.
        if restarted || self.start_bits.is_none() {
            self.start_bits = start_bits.or(self.start_bits);
        }
        let started_ms = self.start_bits.and_then(started_ms);
        self.started_ms = started_ms.map(|ms| ms.saturating_sub(wall_offset_ms));
        if restarted {
            self.process_since_ms = Some(at_ms);
            push_newest(&mut self.changes_ms, at_ms);
            // Pods replace one another behind one address: the next process starts before the last one is scraped for the
            // last time. A process that crashed has ended before the next one starts.
            if self.started_ms > before_ms || self.started_ms.is_none() {
                push_newest(&mut self.crashes_ms, at_ms);
            }
        }
        restarted
    }
}

/// Whether two start times are of one process. On Linux it is counted in hundredths of a second from the kernel's time of boot,
/// which clients read again at each scrape and which moves by a whole second where the clock is corrected
/// (prometheus/client_golang#289).
fn is_same_start(before: u64, now: u64) -> bool {
    let (before_s, now_s) = (f64::from_bits(before), f64::from_bits(now));
    let difference_s = (before_s - now_s).abs();
    // Who tells whole seconds counts otherwise.
    let wavers = now_s.fract() != 0.0
        && difference_s <= 1.5
        && (difference_s - difference_s.round()).abs() < 0.005;
    before == now || wavers
}

/// Changes of process that are remembered per target.
const CHANGES_MAX: usize = 8;

fn push_newest(times_ms: &mut VecDeque<i64>, at_ms: i64) {
    if times_ms.len() == CHANGES_MAX {
        times_ms.pop_front();
    }
    times_ms.push_back(at_ms);
}

/// The start time of a process in milliseconds, from the value of `process_start_time_seconds`; `None` if it cannot be
/// one.
fn started_ms(bits: u64) -> Option<i64> {
    let seconds = f64::from_bits(bits);
    (seconds > 0.0 && seconds < STARTED_S_MAX).then_some((seconds * 1000.0) as i64)
}

/// The year 5138; a later start time is taken for garbage.
const STARTED_S_MAX: f64 = 1e11;

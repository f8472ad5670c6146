//! Facts from whole scrapes: whether a target is fresh, which process serves it, and which replica leads (S2a, S3d, S6a).

use std::collections::VecDeque;

use crate::limits::GAPS_MAX;
use crate::store::{SeriesId, TargetId};

use super::{ChangeKind, Facts};

impl Facts {
    /// A page was committed. Returns what has changed about the serving process. `value` reads a series' newest value;
    /// `counter_dropped` says that some counter fell, which is a restart if the page has no start time.
    pub(crate) fn scrape_succeeded(
        &mut self,
        id: TargetId,
        at_ms: i64,
        value: impl Fn(SeriesId) -> f64,
        counter_dropped: bool,
    ) -> Option<ChangeKind> {
        let facts = self.targets.get_mut(id.index()).and_then(Option::as_mut)?;
        if let Some(before_ms) = facts.last_good_ms
            && at_ms - before_ms > 2 * facts.interval_ms
        {
            if facts.gaps.len() == GAPS_MAX {
                facts.gaps.pop_front();
            }
            facts.gaps.push_back((before_ms, at_ms));
        }
        if facts.first_good_ms.is_none() {
            facts.first_good_ms = Some(at_ms);
            self.epoch += 1;
        }
        facts.first_attempt_ms.get_or_insert(at_ms);
        facts.process_since_ms.get_or_insert(at_ms);
        self.epoch +=
            u64::from(!facts.leases.is_empty() && facts.last.is_some_and(|(_, good)| !good));
        facts.last = Some((at_ms, true));
        let before_ms = facts.last_good_ms.replace(at_ms);
        facts.error.clear();
        facts.first_error.clear();
        let mut moved = false;
        for (lease, series, leads) in &mut facts.leases {
            let leads_now = value(*series) == 1.0;
            self.epoch += u64::from(leads_now != *leads);
            // The queue of a leader that steps down is gone, even before another replica reports that it leads.
            moved |= *leads && !leads_now;
            *leads = leads_now;
            if leads_now {
                let holders = self
                    .groups
                    .get_mut(&facts.group)
                    .map(|group| &mut group.holders);
                moved |= holders.is_some_and(|holders| match holders.get_mut(lease.as_str()) {
                    Some(holder) => std::mem::replace(holder, id) != id,
                    None => {
                        holders.insert(lease.clone(), id);
                        false
                    }
                });
            }
        }
        let start_bits = facts.start_series.map(|series| value(series).to_bits());
        let restarted = match (facts.start_bits, start_bits) {
            (Some(before), Some(now)) => before != now,
            (_, None) => counter_dropped,
            (None, Some(_)) => false,
        };
        facts.start_bits = start_bits.or(facts.start_bits);
        facts.started_ms = facts.start_bits.and_then(started_ms);
        if restarted {
            facts.process_since_ms = Some(at_ms);
            push_newest(&mut facts.changes_ms, at_ms);
            // Pods replace one another behind one address: the next process starts before the last one is scraped for the
            // last time. A process that crashed has ended before the next one starts.
            if facts.started_ms > before_ms || facts.started_ms.is_none() {
                push_newest(&mut facts.crashes_ms, at_ms);
            }
        }
        match (restarted, moved) {
            (true, _) => Some(ChangeKind::Restarted),
            (false, true) => Some(ChangeKind::LeadershipMoved),
            (false, false) => None,
        }
    }

    /// A scrape failed. True if it is the first after a successful one.
    pub(crate) fn scrape_failed(&mut self, id: TargetId, at_ms: i64, error: &str) -> bool {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return false;
        };
        let is_first_failure = facts.last.is_some_and(|(_, good)| good);
        // The time for which its first page is waited for starts now.
        self.epoch += u64::from(facts.first_attempt_ms.is_none());
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

    /// Whether the target's pages have a start time. If not, a restart is recognised by counters that fall.
    pub(crate) fn reports_start_time(&self, id: TargetId) -> bool {
        self.target(id)
            .is_some_and(|target| target.start_series.is_some())
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

/// The start time of a process in milliseconds, from the value of `process_start_time_seconds`; `None` if it cannot be
/// one.
fn started_ms(bits: u64) -> Option<i64> {
    let seconds = f64::from_bits(bits);
    (seconds > 0.0 && seconds < STARTED_S_MAX).then_some((seconds * 1000.0) as i64)
}

/// The year 5138; a later start time is taken for garbage.
const STARTED_S_MAX: f64 = 1e11;

//! What a page or a failure as a whole says: how fresh its target is, which process serves it, who leads (S2a, S3d, S6a).

use crate::limits::GAPS_MAX;
use crate::store::{SeriesId, TargetId};

use super::{ChangeKind, Facts};

impl Facts {
    /// A good page was committed: what it says of the process that serves. `value` reads a series' newest value;
    /// `counter_dropped` matters where no start time is told.
    pub(crate) fn good_page(
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
        facts.process_since_ms.get_or_insert(at_ms);
        self.epoch +=
            u64::from(!facts.leases.is_empty() && facts.last.is_some_and(|(_, good)| !good));
        facts.last = Some((at_ms, true));
        facts.last_good_ms = Some(at_ms);
        facts.error.clear();
        let mut moved = false;
        for (lease, series, leads) in &mut facts.leases {
            let leads_now = value(*series) == 1.0;
            self.epoch += u64::from(leads_now != *leads);
            // A leader that steps down takes its queue with it, even before another one reports.
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
        if restarted {
            facts.process_since_ms = Some(at_ms);
            facts.changes_ms.push_back(at_ms);
            if facts.changes_ms.len() > 8 {
                facts.changes_ms.pop_front();
            }
        }
        match (restarted, moved) {
            (true, _) => Some(ChangeKind::Restarted),
            (false, true) => Some(ChangeKind::LeadershipMoved),
            (false, false) => None,
        }
    }

    /// A scrape failed. Whether it is the first after a good one.
    pub(crate) fn failed(&mut self, id: TargetId, at_ms: i64, error: &str) -> bool {
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return false;
        };
        let froze = facts.last.is_some_and(|(_, good)| good);
        // A frozen leader gives way to one that reports (S3d).
        self.epoch += u64::from(froze && !facts.leases.is_empty());
        facts.last = Some((at_ms, false));
        if facts.error != error {
            error.clone_into(&mut facts.error);
        }
        froze
    }

    /// Whether the target's pages tell when its process started; else only falling counters do.
    pub(crate) fn reports_start_time(&self, id: TargetId) -> bool {
        self.target(id)
            .is_some_and(|target| target.start_series.is_some())
    }
}

//! The cold-start latch: once active, a trigger stays so for a while even if its queue empties.
//!
//! A model takes minutes to start and a gateway's queue gives requests up after one. Without the latch the queue would
//! be empty again before the first replica is up, and the replica would be taken away before it was of any use.

/// `ready_endpoints` moves every 5 s only: what it says before two such steps may be from before the activation.
const READY_LAG_MS: i64 = 10_000;

/// One trigger's activation.
#[derive(Debug, Default)]
pub(super) struct Latch {
    since_ms: Option<i64>,
    above: bool,
    edge: u64,
}

impl Latch {
    /// One that has been active since before this program started.
    pub(super) fn since(since_ms: Option<i64>) -> Latch {
        Latch {
            since_ms,
            ..Latch::default()
        }
    }

    /// Since when it is active.
    pub(super) fn since_ms(&self) -> Option<i64> {
        self.since_ms
    }

    /// Whether to be active, given whether the value is above the threshold. `ready` says whether the pool reports ready
    /// endpoints; it is asked only where that matters.
    pub(super) fn judge(
        &mut self,
        above: bool,
        latch_ms: i64,
        now_ms: i64,
        ready: impl FnOnce() -> bool,
    ) -> bool {
        self.above = above;
        match self.since_ms {
            None if above => {
                self.since_ms = Some(now_ms);
                self.edge += 1;
                true
            }
            None => false,
            Some(_) if above => true,
            Some(since_ms) => {
                let age_ms = now_ms - since_ms;
                let holds = age_ms < latch_ms && !(age_ms >= READY_LAG_MS && ready());
                if !holds {
                    self.since_ms = None;
                }
                holds
            }
        }
    }

    /// Which activation this is.
    pub(super) fn edge(&self) -> u64 {
        self.edge
    }

    /// Whether it is active.
    pub(super) fn active(&self) -> bool {
        self.since_ms.is_some()
    }

    /// Until when it is active at most, where nothing but the latch keeps it so.
    pub(super) fn latched_until_ms(&self, latch_ms: i64) -> Option<i64> {
        let since_ms = self.since_ms.filter(|_| !self.above)?;
        Some(since_ms + latch_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_activation_lasts_for_the_latch_or_until_the_pool_is_ready() {
        // Seconds, above the threshold, the pool is ready; active then.
        let story = [
            (0, false, false, false),
            (1, true, false, true),
            (61, false, false, true), // the queue gave its requests up
            (300, false, false, true),
            (301, false, false, false), // 300 s after it woke
            (302, true, true, true),    // stale news of a pool that was just taken away
            (303, false, true, true),
            (312, false, true, false), // still says so: it is ready
            (400, true, false, true),
            (900, true, false, true), // demand, not the latch
            (901, false, false, false),
        ];
        let mut latch = Latch::default();
        for (at_s, above, ready, active) in story {
            let judged = latch.judge(above, 300_000, at_s * 1000, || ready);
            assert_eq!(judged, active, "after {at_s} s");
        }
        assert_eq!(latch.edge(), 3);
    }
}

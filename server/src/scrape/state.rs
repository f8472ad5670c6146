//! What is known of a target beside its samples: how its scrapes went.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use stillwell_adapters::host::{ActiveTarget, Health};
use stillwell_engine::labels::Labels;
use stillwell_engine::{TargetId, Timestamp};

use super::cost::Rest;
use super::discovered::Discovered;
use super::target::Target;
use crate::config::units::show_duration_ms;

/// What signals hold at least.
const HOLD_MS_MIN: u64 = 2_000;
/// Nothing waits longer than this to be known.
pub const SETTLING_MS_MAX: u64 = 10_000;

/// Shared between the worker that writes it, the scheduler and the APIs.
#[derive(Debug)]
pub struct TargetState {
    /// What it is, without what discovery says of it.
    pub target: Target,
    /// What discovery says of it now.
    discovered: Mutex<Discovered>,
    /// The engine's name for it.
    pub(super) id: Option<TargetId>,
    /// Held for a few copies only.
    last: Mutex<Last>,
    busy: AtomicBool,
    skipped: AtomicU64,
    stretched: AtomicU64,
    scrapes: AtomicU64,
    failures: AtomicU64,
    body_bytes: AtomicU64,
    lines_skipped: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Last {
    health: Health,
    error: String,
    at: Option<Timestamp>,
    duration_s: f64,
    /// When the first scrape began.
    first: Option<Timestamp>,
}

/// Numbers of one target since it was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Scrapes that ended, well or not.
    pub scrapes: u64,
    /// Those that failed.
    pub failures: u64,
    /// Ticks that passed while a scrape was in flight, or while a target with slow answers was left alone.
    pub skipped: u64,
    /// Ticks that passed because the job asks gateways less often (`scrape_interval_max`, `scrape_share_max`).
    pub stretched: u64,
    /// Bytes of pages.
    pub body_bytes: u64,
    /// Lines of pages that were passed over, because no signal needs them.
    pub lines_skipped: u64,
}

impl TargetState {
    /// A target that was not scraped yet.
    pub fn new(mut target: Target, id: Option<TargetId>) -> TargetState {
        // It holds the whole group that it was found in, which is another one soon.
        let nothing = Discovered::given(&target.job, &Labels::empty());
        let discovered = std::mem::replace(&mut target.discovered, nothing);
        TargetState {
            discovered: Mutex::new(discovered),
            target,
            id,
            last: Mutex::default(),
            busy: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
            stretched: AtomicU64::new(0),
            scrapes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            lines_skipped: AtomicU64::new(0),
        }
    }

    /// The same target under another configuration: how its scrapes went before is not forgotten, where they were of one place.
    pub(super) fn going_on(target: Target, before: &TargetState) -> TargetState {
        let is_there = target.url == before.target.url;
        let counts = before.counts();
        let last = match is_there {
            true => before.last.lock().clone(),
            false => Last::default(),
        };
        TargetState {
            last: Mutex::new(last),
            skipped: AtomicU64::new(counts.skipped),
            stretched: AtomicU64::new(counts.stretched),
            scrapes: AtomicU64::new(counts.scrapes),
            failures: AtomicU64::new(counts.failures),
            body_bytes: AtomicU64::new(counts.body_bytes),
            lines_skipped: AtomicU64::new(counts.lines_skipped),
            ..TargetState::new(target, before.id)
        }
    }

    /// Whether discovery says that it is not ready to serve.
    pub(super) fn is_not_ready(&self) -> bool {
        self.discovered.lock().is_not_ready()
    }

    /// Takes what discovery says of it now. Answers whether it is ready, where that has changed.
    pub(super) fn rediscover(&self, discovered: &Discovered) -> Option<bool> {
        // Also where it says the same: what was found before holds its whole group of then.
        let before = std::mem::replace(&mut *self.discovered.lock(), discovered.clone());
        let (was, is) = (before.is_not_ready(), discovered.is_not_ready());
        (was != is).then_some(!is)
    }

    /// Whether the tick may start a scrape; a tick that may not is counted.
    pub(super) fn begin(&self) -> bool {
        let free = !self.busy.swap(true, Ordering::AcqRel);
        if !free {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
        free
    }

    /// A tick that began is passed over all the same, and counted with its like.
    pub(super) fn pass(&self, rest: Rest) {
        let counted = match rest {
            Rest::Busy => &self.skipped,
            Rest::Stretched => &self.stretched,
        };
        counted.fetch_add(1, Ordering::Relaxed);
        self.busy.store(false, Ordering::Release);
    }

    /// The scrape that began at `at` ended. Returns whether its outcome is news: another health or another error.
    pub(super) fn end(
        &self,
        at: Timestamp,
        duration_s: f64,
        body_bytes: u64,
        error: Option<String>,
    ) -> bool {
        self.scrapes.fetch_add(1, Ordering::Relaxed);
        self.body_bytes.fetch_add(body_bytes, Ordering::Relaxed);
        if error.is_some() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let health = if error.is_some() {
            Health::Down
        } else {
            Health::Up
        };
        let error = error.unwrap_or_default(); // an empty String holds no memory
        let mut last = self.last.lock();
        let news = last.health != health || last.error != error;
        let first = last.first.or(Some(at));
        *last = Last {
            health,
            error,
            at: Some(at),
            duration_s,
            first,
        };
        drop(last);
        self.busy.store(false, Ordering::Release);
        news
    }

    /// So many lines of a page were passed over.
    pub(super) fn count_skipped(&self, lines: u64) {
        self.lines_skipped.fetch_add(lines, Ordering::Relaxed);
    }

    /// How many of what.
    pub fn counts(&self) -> Counts {
        Counts {
            scrapes: self.scrapes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            stretched: self.stretched.load(Ordering::Relaxed),
            body_bytes: self.body_bytes.load(Ordering::Relaxed),
            lines_skipped: self.lines_skipped.load(Ordering::Relaxed),
        }
    }

    /// Whether what this target says is known (S9d): it gave a good page, or has failed for as long as values are held.
    pub fn settled(&self, now: Timestamp) -> bool {
        let counts = self.counts();
        let failed_ms = self
            .last
            .lock()
            .first
            .map_or(0, |first| now.since_ms(first));
        counts.scrapes > counts.failures || (counts.failures > 0 && failed_ms >= self.hold_ms())
    }

    /// The default hold of signals (S5), ten seconds at most.
    fn hold_ms(&self) -> i64 {
        let three_intervals_ms = self.target.interval_ms_max().saturating_mul(3);
        three_intervals_ms.clamp(HOLD_MS_MIN, SETTLING_MS_MAX) as i64
    }

    /// Whether the last scrape was good.
    pub fn health(&self) -> Health {
        self.last.lock().health
    }

    /// Why the last scrape failed; empty where it did not.
    pub fn last_error(&self) -> String {
        self.last.lock().error.clone()
    }

    /// As `/api/v1/targets` tells it.
    pub fn describe(&self) -> ActiveTarget {
        let last = self.last.lock();
        ActiveTarget {
            id: self.id,
            discovered: self.discovered.lock().clone().labels(),
            labels: self.target.labels.clone(),
            job: self.target.job.name.clone(),
            url: self.target.url.to_string(),
            health: last.health,
            last_error: last.error.clone(),
            last_scrape: last.at,
            last_duration_s: last.duration_s,
            interval: show_duration_ms(self.target.interval_ms),
            timeout: show_duration_ms(self.target.timeout_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_settled_by_a_good_page_or_by_failing_long_enough() {
        let text = "scrape_configs:\n- {job_name: j, scrape_interval: 1s, static_configs: [{targets: ['a:1']}]}\n";
        let config = crate::config::load(text).0.expect("valid");
        let found = crate::scrape::static_targets(&config.jobs[0]);
        let target = found.targets[0].clone();
        let at = |ms: i64| Timestamp::from_ms(1_000_000 + ms);
        let state = TargetState::new(target.clone(), None);
        assert!(!state.settled(at(60_000)), "never scraped");
        state.end(at(0), 0.1, 0, Some("refused".to_owned()));
        state.end(at(1_000), 0.1, 0, Some("refused".to_owned()));
        assert!(!state.settled(at(2_999)));
        assert!(state.settled(at(3_000)));
        let state = TargetState::new(target, None);
        state.end(at(0), 0.1, 10, None);
        assert!(state.settled(at(0)));
    }

    /// Once a target that was left alone for a tick was never scraped again: its scrape had begun and did not end.
    #[test]
    fn a_tick_that_passes_lets_the_next_one_begin() {
        let text = "scrape_configs:\n- {job_name: j, static_configs: [{targets: ['a:1']}]}\n";
        let config = crate::config::load(text).0.expect("valid");
        let found = crate::scrape::static_targets(&config.jobs[0]);
        let state = TargetState::new(found.targets[0].clone(), None);
        assert!(state.begin() && !state.begin());
        state.pass(Rest::Busy);
        assert!(state.begin());
    }
}

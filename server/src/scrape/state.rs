//! What is known of a target beside its samples: how its scrapes went.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use stillwell_adapters::host::{ActiveTarget, Health};
use stillwell_engine::Timestamp;

use super::target::Target;
use crate::config::units::show_duration_ms;

/// Shared between the worker that writes it, the scheduler and the faces.
#[derive(Debug)]
pub struct TargetState {
    /// What it is.
    pub target: Target,
    /// Held for a few copies only.
    last: Mutex<Last>,
    busy: AtomicBool,
    skipped: AtomicU64,
    scrapes: AtomicU64,
    failures: AtomicU64,
    body_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Last {
    health: Health,
    error: String,
    at: Option<Timestamp>,
    duration_s: f64,
}

/// Numbers of one target since it was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Scrapes that ended, well or not.
    pub scrapes: u64,
    /// Those that failed.
    pub failures: u64,
    /// Ticks that passed while a scrape was in flight.
    pub skipped: u64,
    /// Bytes of pages.
    pub body_bytes: u64,
}

impl TargetState {
    /// A target that was not scraped yet.
    pub fn new(target: Target) -> TargetState {
        TargetState {
            target,
            last: Mutex::default(),
            busy: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
            scrapes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
        }
    }

    /// Whether the tick may start a scrape; a tick that may not is counted.
    pub(super) fn begin(&self) -> bool {
        let free = !self.busy.swap(true, Ordering::AcqRel);
        if !free {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
        free
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
        *last = Last {
            health,
            error,
            at: Some(at),
            duration_s,
        };
        drop(last);
        self.busy.store(false, Ordering::Release);
        news
    }

    /// How many of what.
    pub fn counts(&self) -> Counts {
        Counts {
            scrapes: self.scrapes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            body_bytes: self.body_bytes.load(Ordering::Relaxed),
        }
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
            discovered: self.target.discovered.clone(),
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

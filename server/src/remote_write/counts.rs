//! What was sent to a receiver, for `/metrics`.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use stillwell_adapters::remote_write::outgoing;
use stillwell_engine::Durations;

/// A number for each kind of what is sent.
#[derive(Debug, Default)]
pub struct Kinds {
    samples: AtomicU64,
    histograms: AtomicU64,
    exemplars: AtomicU64,
    metadata: AtomicU64,
}

impl Kinds {
    pub(super) fn add(&self, counts: outgoing::Counts) {
        self.samples.fetch_add(counts.samples, Ordering::Relaxed);
        self.histograms
            .fetch_add(counts.histograms, Ordering::Relaxed);
        self.exemplars
            .fetch_add(counts.exemplars, Ordering::Relaxed);
        self.metadata.fetch_add(counts.metadata, Ordering::Relaxed);
    }

    /// Samples, histograms, exemplars, metadata.
    pub fn get(&self) -> [u64; 4] {
        let all = [
            &self.samples,
            &self.histograms,
            &self.exemplars,
            &self.metadata,
        ];
        all.map(|one| one.load(Ordering::Relaxed))
    }
}

/// How sending to one receiver goes.
#[derive(Debug, Default)]
pub struct Counts {
    /// Taken.
    pub sent: Kinds,
    /// Refused, so that another try is of no use.
    pub failed: Kinds,
    /// In requests that were tried again.
    pub retried: Kinds,
    /// Older than is sent, or lost to the retention before.
    pub too_old: Kinds,
    /// Series that relabelling dropped, counted by samples.
    pub relabelled_away: AtomicU64,
    /// Exemplars that newer ones replaced before they were sent.
    pub exemplars_lost: AtomicU64,
    /// Bytes of requests that were taken, as sent.
    pub bytes: AtomicU64,
    /// How long requests took, failed ones too.
    pub requests: Durations,
    /// Shards in use.
    pub shards: AtomicU64,
    /// Bytes of requests that wait or are under way.
    pub held_bytes: AtomicU64,
    /// The newest sample that was taken, in milliseconds; 0 where there is none.
    pub newest_sent_ms: AtomicI64,
    /// The newest scrape, and scrapes that were not taken.
    pub newest_ms: AtomicI64,
    /// Scrapes of targets that were not sent when it was last looked.
    pub pending_scrapes: AtomicU64,
}

impl Counts {
    pub(super) fn add(to: &AtomicU64, count: u64) {
        to.fetch_add(count, Ordering::Relaxed);
    }
}

/// One receiver with its numbers.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// `min_shards` and `max_shards`.
    pub shards: (u64, u64),
    /// Whether it is to get the states of signals.
    pub signals: bool,
    /// How long a sample waits.
    pub deadline: std::time::Duration,
    /// The numbers.
    pub counts: std::sync::Arc<Counts>,
}

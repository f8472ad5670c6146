//! How many samples an evaluation looks at, for Prometheus' `stats` (util/stats/query_stats.go). Counted only where somebody
//! asks for it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one evaluation.
#[derive(Debug, Default)]
pub struct SampleTally {
    queryable: AtomicU64,
    read: AtomicU64,
    peak: AtomicU64,
}

impl SampleTally {
    /// Samples that the steps look at, those of overlapping windows once per window.
    pub fn queryable(&self) -> u64 {
        self.queryable.load(Ordering::Relaxed)
    }

    /// Samples that were read: those of overlapping windows once.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The most that were held at once.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, queryable: u64, read: u64) {
        self.queryable.fetch_add(queryable, Ordering::Relaxed);
        self.read.fetch_add(read, Ordering::Relaxed);
    }

    pub(crate) fn held(&self, samples: u64) {
        self.peak.fetch_max(samples, Ordering::Relaxed);
    }
}

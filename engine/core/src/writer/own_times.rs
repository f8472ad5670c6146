//! Timestamps that pages give their samples: the wall clock's, too old or too far ahead to be kept.

use crate::limits::FUTURE_MS_MAX;

/// What a timestamp of a page is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnTimes {
    /// The time of the scrape.
    pub(super) at_ms: i64,
    /// What timestamps on pages are ahead of the engine's times.
    pub(super) wall_offset_ms: i64,
    /// What retention has already dropped.
    pub(super) cutoff_ms: i64,
}

impl OwnTimes {
    /// A timestamp of a page as a time of the engine.
    pub(super) fn steady_ms(self, time_ms: Option<i64>) -> Option<i64> {
        time_ms.map(|ms| ms.saturating_sub(self.wall_offset_ms))
    }

    /// Whether a time is further in the future than `FUTURE_MS_MAX`.
    pub(super) fn is_ahead(self, time_ms: i64) -> bool {
        time_ms > self.at_ms.saturating_add(FUTURE_MS_MAX)
    }

    /// The time of a series that waits for its first sample: before any that is kept, so that whoever notes the newest time of
    /// a series meanwhile (a snapshot) does not leave the sample out.
    pub(super) fn waiting_since_ms(self) -> i64 {
        self.cutoff_ms.saturating_sub(1)
    }

    /// Whether a time is older than anything that is kept.
    pub(super) fn is_behind(self, time_ms: i64) -> bool {
        time_ms < self.cutoff_ms
    }
}

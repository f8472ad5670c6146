//! The newest sample of a series, and how often one comes.

/// What the longest interval of a series shrinks by with each shorter one: of the last dozen or so it counts.
const FADES: i64 = 16;

/// The newest sample of a series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// When it was measured, no later than it came.
    pub(super) at_ms: i64,
    pub(super) value: f64,
    /// The longest of the last intervals between samples of the series, in which its sender was there.
    pub(super) interval_ms: Option<i64>,
}

impl Sample {
    /// The next of a series. `since_ms`: since when its sender sends.
    pub(super) fn after(before: Option<Sample>, at_ms: i64, value: f64, since_ms: i64) -> Sample {
        let interval_ms = before.and_then(|before| {
            let newest_ms = at_ms.saturating_sub(before.at_ms);
            // One that is repeated, and the first one behind a pause of the sender, say nothing of an interval.
            if newest_ms == 0 || before.at_ms < since_ms {
                return before.interval_ms;
            }
            let before_ms = before.interval_ms.unwrap_or(0);
            Some(newest_ms.max(before_ms - before_ms / FADES))
        });
        Sample {
            at_ms,
            value,
            interval_ms,
        }
    }

    /// Whether the series is silent while its sender goes on: two of its own intervals, or of the sender's, have passed.
    /// `first_ms`: how long one may be of which a single sample came.
    pub(super) fn is_silent(&self, newest_ms: i64, first_ms: i64, age_ms_max: i64) -> bool {
        let own_ms = self.interval_ms.map_or(first_ms, |ms| ms.saturating_mul(2));
        newest_ms.saturating_sub(self.at_ms) > age_ms_max.max(own_ms)
    }
}

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
    /// The last silence of the series. Another one that is as long is how often it comes.
    silence_ms: Option<i64>,
}

impl Sample {
    /// The next of a series. `since_ms`: since when its sender sends.
    pub(super) fn after(before: Option<Sample>, at_ms: i64, value: f64, since_ms: i64) -> Sample {
        let next = |interval_ms, silence_ms| Sample {
            at_ms,
            value,
            interval_ms,
            silence_ms,
        };
        let Some(before) = before else {
            return next(None, None);
        };
        let newest_ms = at_ms.saturating_sub(before.at_ms);
        // One that is repeated, and the first one behind a pause of the sender, say nothing of an interval.
        if newest_ms == 0 || before.at_ms < since_ms {
            return next(before.interval_ms, before.silence_ms);
        }
        let before_ms = before.interval_ms.unwrap_or(newest_ms);
        let is_silence = newest_ms > before_ms.saturating_mul(2);
        let is_usual = |silence_ms: i64| newest_ms <= silence_ms.saturating_mul(2);
        if is_silence && !before.silence_ms.is_some_and(is_usual) {
            return next(before.interval_ms, Some(newest_ms));
        }
        let interval_ms = newest_ms.max(before_ms - before_ms / FADES);
        next(Some(interval_ms), before.silence_ms)
    }

    /// Whether the series is silent while its sender goes on: two of its own intervals, or of the sender's, have passed.
    /// `first_ms`: how long one may be of which a single sample came.
    pub(super) fn is_silent(&self, newest_ms: i64, first_ms: i64, age_ms_max: i64) -> bool {
        let own_ms = self.interval_ms.map_or(first_ms, |ms| ms.saturating_mul(2));
        newest_ms.saturating_sub(self.at_ms) > age_ms_max.max(own_ms)
    }
}

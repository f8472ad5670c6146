//! What a user can configure for one signal (S1a).

use crate::limits::{HOLD_MS_MIN, RESTART_GRACE_MS_DEFAULT};
use crate::promql::EvalOptions;

/// What an empty result means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absent {
    /// 0 where absence is proven (S4), else unknown.
    #[default]
    Auto,
    /// 0 where the windows are covered; neither a witness nor known label values are required.
    Zero,
    /// Never 0.
    Unknown,
}

/// What a NaN means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nan {
    /// Unknown.
    #[default]
    Unknown,
    /// 0.
    Zero,
    /// The last value of the group that was a number; unknown where there was none.
    Last,
}

/// What is told of a signal that stays unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fallback {
    /// For how long it has to be unknown, in milliseconds.
    pub after_ms: i64,
    /// The number.
    pub number: FallbackNumber,
}

/// The number of a fallback.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FallbackNumber {
    /// This one, for each group that was measured last.
    Fixed(f64),
    /// What was measured last.
    Last,
}

/// How a signal is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What an empty result means.
    pub absent: Absent,
    /// What a NaN means.
    pub nan: Nan,
    /// How long the values of a frozen target are reported, in milliseconds; `None`: max(3 intervals, 2 s).
    pub hold_ms: Option<i64>,
    /// How long after a change of process a lower number is not reported (S6), in milliseconds.
    pub restart_grace_ms: i64,
    /// Only targets of these jobs count; empty: all jobs.
    pub jobs: Vec<String>,
    /// Series that the query may read; beyond it the signal is unknown. `None`: no limit of its own.
    pub series_max: Option<usize>,
    /// Bytes that one evaluation may hold; beyond it the signal is unknown. `None`: no limit of its own.
    pub bytes_max: Option<usize>,
    /// Evaluated when it is read, not at each page, so that queries of arbitrary clients cost commits nothing. The value
    /// before a change of process is then that of the last reading.
    pub when_read: bool,
    /// The label by which the result names objects, each of which is judged by its own targets and read through
    /// [`crate::Reader::objects`]; the signal as a whole has no state then. `None`: all groups are judged together.
    pub object_label: Option<String>,
    /// What is told where it stays unknown (S5); `None`: nothing. Not for objects.
    pub fallback: Option<Fallback>,
    /// The least number that is told while something is measured; `None`: none. Not for objects.
    pub floor: Option<f64>,
}

impl Policy {
    /// Whether whoever may ask has the query kept, and not the configuration: it is bounded, or evaluated when it is read.
    pub fn is_of_anybody(&self) -> bool {
        self.series_max.is_some() || self.when_read
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            absent: Absent::default(),
            nan: Nan::default(),
            hold_ms: None,
            restart_grace_ms: RESTART_GRACE_MS_DEFAULT,
            jobs: Vec::new(),
            series_max: None,
            bytes_max: None,
            when_read: false,
            object_label: None,
            fallback: None,
            floor: None,
        }
    }
}

/// A sample under evaluation: its time and its value, 8 bytes each.
const SAMPLE_BYTES: usize = 16;

impl Policy {
    /// The limits of one evaluation from the plan.
    pub(crate) fn options(&self) -> EvalOptions<'static> {
        let mut options = EvalOptions::default();
        if let Some(bytes) = self.bytes_max {
            options.samples_max = options.samples_max.min((bytes / SAMPLE_BYTES) as u64);
            options.bytes_max = bytes as u64;
        }
        options
    }

    /// The hold for a target that is scraped at this interval.
    pub(crate) fn hold_ms(&self, interval_ms: i64) -> i64 {
        self.hold_ms
            .unwrap_or_else(|| HOLD_MS_MIN.max(interval_ms.saturating_mul(3)))
    }
}

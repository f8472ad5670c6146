//! What a user may say about a signal (S1a).

use crate::limits::{HOLD_MS_MIN, RESTART_GRACE_MS_DEFAULT};
use crate::promql::EvalOptions;

/// What an empty result means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absent {
    /// 0 where absence is proven (S4), else unknown.
    #[default]
    Auto,
    /// 0 where the windows are covered; neither witness nor known label values are asked for.
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
    /// The last value that was a number.
    Last,
}

/// How a signal is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What an empty result means.
    pub absent: Absent,
    /// What a NaN means.
    pub nan: Nan,
    /// How long a frozen target's values are told; `None` is max(3 intervals, 2 s).
    pub hold_ms: Option<i64>,
    /// How long a change of process is smoothed over.
    pub restart_grace_ms: i64,
    /// Only targets of these jobs count; empty is all.
    pub jobs: Vec<String>,
    /// Series that the query may read; past it there is no number. `None` is no bound of its own.
    pub series_max: Option<usize>,
    /// Bytes that one evaluation may hold; past it there is no number. `None` is no bound of its own.
    pub bytes_max: Option<usize>,
    /// Evaluated when it is read, not at each page: what anybody may ask for costs commits nothing. What was true before a
    /// change of process is known as of the last reading.
    pub when_read: bool,
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
        }
    }
}

/// A sample under evaluation: its time and its value.
const SAMPLE_BYTES: usize = 16;

impl Policy {
    /// How far an evaluation may go.
    pub(crate) fn options(&self) -> EvalOptions<'static> {
        let mut options = EvalOptions::default();
        if let Some(bytes) = self.bytes_max {
            options.samples_max = options.samples_max.min((bytes / SAMPLE_BYTES) as u64);
            options.bytes_max = bytes as u64;
        }
        options
    }

    /// The hold for a target of this interval.
    pub(crate) fn hold_ms(&self, interval_ms: i64) -> i64 {
        self.hold_ms
            .unwrap_or_else(|| HOLD_MS_MIN.max(interval_ms.saturating_mul(3)))
    }
}

//! The context in which a signal is judged, and how reasons write targets and times.

use crate::time::Timestamp;

use super::facts::{Facts, TargetFacts};
use super::names::Names;

/// Labels with the values that a caller, or a group of the result, fixes in addition to the query's own.
pub(crate) type Pins<'a> = &'a [(String, String)];

/// The context of one judgement: facts about targets, the table of names, the time, and the pinned labels.
#[derive(Clone, Copy)]
pub(crate) struct Assessment<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) names: &'a Names,
    pub(crate) now_ms: i64,
    pub(crate) pins: Pins<'a>,
}

impl<'a> Assessment<'a> {
    /// The same context with other pinned labels.
    pub(crate) fn pinned<'b>(self, pins: Pins<'b>) -> Assessment<'b>
    where
        'a: 'b,
    {
        Assessment { pins, ..self }
    }
}

/// A target, as reasons name it.
pub(crate) fn describe(target: &TargetFacts) -> String {
    match target.labels.get("job") {
        Some(job) => format!("{} (job {job})", target.name),
        None => target.name.clone(),
    }
}

/// A length of time, as reasons write it.
pub(crate) fn seconds(ms: i64) -> String {
    format!("{:.1} s", ms as f64 / 1000.0)
}

/// A time, as reasons write it: absolute, so that a reason does not change while the state stays the same (S9e).
pub(crate) fn clock_time(ms: i64) -> String {
    Timestamp::from_ms(ms).rfc3339_seconds()
}

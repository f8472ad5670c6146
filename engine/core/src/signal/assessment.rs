//! What every judgement of a signal looks at.

use crate::time::Timestamp;

use super::facts::{Facts, TargetFacts};
use super::names::Names;

/// Labels that the caller or a group pins beside the query's own.
pub(crate) type Pins<'a> = &'a [(String, String)];

/// What targets have shown, what is known of names, the time of the judgement, and the caller's pins.
#[derive(Clone, Copy)]
pub(crate) struct Assessment<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) names: &'a Names,
    pub(crate) now_ms: i64,
    pub(crate) pins: Pins<'a>,
}

impl<'a> Assessment<'a> {
    /// The same for a caller, or a group, that pins these labels.
    pub(crate) fn pinned<'b>(self, pins: Pins<'b>) -> Assessment<'b>
    where
        'a: 'b,
    {
        Assessment { pins, ..self }
    }
}

/// How reasons name a target.
pub(crate) fn describe(target: &TargetFacts) -> String {
    match target.labels.get("job") {
        Some(job) => format!("{} (job {job})", target.name),
        None => target.name.clone(),
    }
}

/// How reasons give a length of time.
pub(crate) fn seconds(ms: i64) -> String {
    format!("{:.1} s", ms as f64 / 1000.0)
}

/// How reasons give a time: as a fixed one, so that a reason stays as it is while the state does (S9e).
pub(crate) fn clock_time(ms: i64) -> String {
    Timestamp::from_ms(ms).rfc3339_seconds()
}

//! Reading history of series with explicit timestamps: every op is a sample, and its gap leads to the next one.

use super::codec::Encoded;
use crate::promql::select::Samples;

/// Adds the samples of a block whose first one is at `first_ms`, as far as they are later than `after_ms` and no later than
/// `until_ms`.
pub(super) fn push(
    ops: Encoded<'_>,
    first_ms: i64,
    (after_ms, until_ms): (i64, i64),
    samples: &mut Samples,
) {
    let start = samples.times_ms.len();
    let most = start + ops.heads.len();
    samples.times_ms.resize(most, 0);
    samples.values.resize(most, 0.0);
    let times = &mut samples.times_ms[start..];
    let read = ops.fill(&mut samples.values[start..], times);
    let mut next_ms = first_ms;
    for place in &mut times[..read] {
        let gap = *place;
        *place = next_ms;
        next_ms = next_ms.wrapping_add(gap);
    }
    let written = start + read;
    let times = &samples.times_ms[start..written];
    let until = start + times.partition_point(|time_ms| *time_ms <= until_ms);
    let early = match times.first() {
        Some(first) if *first <= after_ms => times.partition_point(|time_ms| *time_ms <= after_ms),
        _ => 0,
    };
    samples.times_ms.truncate(until);
    samples.values.truncate(until);
    let early = start..(start + early).min(until);
    samples.times_ms.drain(early.clone());
    samples.values.drain(early);
}

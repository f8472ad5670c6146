//! One step of each running aggregation. The evaluator's columns and compiled queries both use it and add the same numbers
//! in the same order, so their results are equal bit for bit.

use crate::plan::AggregateOp;
use stillwell_model::arithmetic::kahan_inc;

/// One step of `max`: any number replaces a NaN.
#[inline]
pub fn add_to_max(value: f64, best: &mut f64) {
    if value > *best || best.is_nan() {
        *best = value;
    }
}

/// One step of `min`: any number replaces a NaN.
#[inline]
pub fn add_to_min(value: f64, best: &mut f64) {
    if value < *best || best.is_nan() {
        *best = value;
    }
}

/// One step of `avg` behind the first; `count` includes the new value. Where the sum would overflow, `have` becomes
/// a running mean.
#[inline]
pub fn add_to_mean(
    value: f64,
    count: u32,
    have: &mut f64,
    compensation: &mut f64,
    incremental: &mut bool,
) {
    let count = f64::from(count);
    if !*incremental {
        let (mut sum, mut error) = (*have, *compensation);
        kahan_inc(value, &mut sum, &mut error);
        if !sum.is_infinite() {
            (*have, *compensation) = (sum, error);
            return;
        }
        *incremental = true;
        *have /= count - 1.0;
        *compensation /= count - 1.0;
    }
    let quotient = (count - 1.0) / count;
    (*have, *compensation) = (quotient * *have, quotient * *compensation);
    kahan_inc(value / count, have, compensation);
}

/// The first step of `stddev` and `stdvar`: the sum of squares and the mean.
#[inline]
pub fn start_variance(value: f64) -> (f64, f64) {
    (if value.is_finite() { 0.0 } else { f64::NAN }, value)
}

/// Any later step of `stddev` and `stdvar`; `count` includes the new value.
#[inline]
pub fn add_to_variance(value: f64, count: u32, squares: &mut f64, mean: &mut f64) {
    let delta = value - *mean;
    *mean += delta / f64::from(count);
    *squares += delta * (value - *mean);
}

/// The result of a group that had at least one float.
#[inline]
pub fn finish(
    op: AggregateOp,
    value: f64,
    compensation: f64,
    count: u32,
    incremental: bool,
) -> f64 {
    let count = f64::from(count);
    match op {
        AggregateOp::Count => count,
        AggregateOp::Group => 1.0,
        AggregateOp::Sum => value + compensation,
        AggregateOp::Avg if incremental => value + compensation,
        AggregateOp::Avg => value / count + compensation / count,
        AggregateOp::Stdvar => value / count,
        AggregateOp::Stddev => (value / count).sqrt(),
        _ => value,
    }
}

//! Aggregations over time.

use crate::promql::QueryError;
use crate::promql::eval::{Point, not_yet};

use super::FunctionId;
use super::math::{self, kahan_inc};
use super::window::{Call, Window};

/// `*_over_time`.
pub(super) fn aggregate(
    call: &Call<'_, '_>,
    id: FunctionId,
    window: &Window<'_>,
) -> Result<Point, QueryError> {
    use FunctionId as F;
    let (times, values) = (window.times, window.values);
    let seconds = |ms: i64| ms as f64 / 1000.0;
    match id {
        F::CountOverTime => {
            return Ok(Point::Float(
                (values.len() + window.histograms.len()) as f64,
            ));
        }
        F::PresentOverTime => return Ok(Point::Float(1.0)),
        _ => {}
    }
    if !window.histograms.is_empty() {
        return Err(not_yet(call.expr, "a function on histograms"));
    }
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return Ok(Point::None);
    };
    Ok(Point::Float(match id {
        F::LastOverTime => *last,
        F::FirstOverTime => *first,
        F::TsOfFirstOverTime => seconds(times[0]),
        F::TsOfLastOverTime => seconds(times[times.len() - 1]),
        F::SumOverTime => sum(values),
        F::AvgOverTime => average(values),
        F::MaxOverTime => values[extreme(values, |value, best| value > best)],
        F::MinOverTime => values[extreme(values, |value, best| value < best)],
        F::TsOfMaxOverTime => seconds(times[extreme(values, |value, best| value >= best)]),
        F::TsOfMinOverTime => seconds(times[extreme(values, |value, best| value <= best)]),
        F::StdvarOverTime => variance(values),
        F::StddevOverTime => variance(values).sqrt(),
        F::MadOverTime => median_absolute_deviation(values),
        _ => return Err(not_yet(call.expr, "this function")),
    }))
}

fn sum(values: &[f64]) -> f64 {
    let (mut sum, mut compensation) = (0.0, 0.0);
    for value in values {
        kahan_inc(*value, &mut sum, &mut compensation);
    }
    if sum.is_infinite() {
        sum
    } else {
        sum + compensation
    }
}

/// The sum over the count; where the sum overflows, a running mean.
fn average(values: &[f64]) -> f64 {
    let (mut sum, mut compensation) = (values[0], 0.0);
    let (mut mean, mut incremental) = (0.0, false);
    for (index, value) in values.iter().enumerate().skip(1) {
        let count = (index + 1) as f64;
        if !incremental {
            let (mut new_sum, mut new_compensation) = (sum, compensation);
            kahan_inc(*value, &mut new_sum, &mut new_compensation);
            if !new_sum.is_infinite() {
                (sum, compensation) = (new_sum, new_compensation);
                continue;
            }
            incremental = true;
            mean = sum / (count - 1.0);
            compensation /= count - 1.0;
        }
        let quotient = (count - 1.0) / count;
        let (mut new_mean, mut new_compensation) = (quotient * mean, quotient * compensation);
        kahan_inc(value / count, &mut new_mean, &mut new_compensation);
        (mean, compensation) = (new_mean, new_compensation);
    }
    if incremental {
        return mean + compensation;
    }
    let count = values.len() as f64;
    sum / count + compensation / count
}

/// Where the extreme is; a NaN gives way to anything.
fn extreme(values: &[f64], beats: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if beats(*value, values[best]) || values[best].is_nan() {
            best = index;
        }
    }
    best
}

fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut mean_c, mut aux, mut aux_c) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let delta = value - (mean + mean_c);
        kahan_inc(delta / count, &mut mean, &mut mean_c);
        kahan_inc(delta * (value - (mean + mean_c)), &mut aux, &mut aux_c);
    }
    (aux + aux_c) / count
}

fn median_absolute_deviation(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    let median = math::quantile(0.5, &mut sorted);
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
    math::quantile(0.5, &mut deviations)
}

pub(super) fn quantile(window: &Window<'_>, q: f64) -> Point {
    if window.values.is_empty() {
        return Point::None;
    }
    Point::Float(math::quantile(q, &mut window.values.to_vec()))
}

pub(super) fn changes(window: &Window<'_>) -> Point {
    let changed = window
        .values
        .windows(2)
        .filter(|pair| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan()));
    Point::Float(changed.count() as f64)
}

pub(super) fn resets(window: &Window<'_>) -> Point {
    Point::Float(
        window
            .values
            .windows(2)
            .filter(|pair| pair[1] < pair[0])
            .count() as f64,
    )
}

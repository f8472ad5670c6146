//! How fast a counter or gauge moves.

use crate::promql::QueryError;
use crate::promql::eval::{Point, execution, not_yet};

use super::FunctionId;
use super::math::kahan_inc;
use super::window::{Call, Window};

/// `rate`, `increase`, `delta`: the difference of last and first sample, extended to the window's edges.
pub(super) fn extrapolated(call: &Call<'_, '_>, window: &Window<'_>) -> Result<Point, QueryError> {
    if !window.histograms.is_empty() {
        return Err(not_yet(call.expr, "a function on histograms"));
    }
    let (counter, per_second) = match call.id {
        FunctionId::Rate => (true, true),
        FunctionId::Increase => (true, false),
        _ => (false, false),
    };
    let (times, values) = (window.times, window.values);
    if times.len() < 2 {
        return Ok(Point::None);
    }
    let last = values.len() - 1;
    let mut result = values[last] - values[0];
    if counter {
        let mut before = values[0];
        for value in &values[1..] {
            if *value < before {
                result += before;
            }
            before = *value;
        }
    }
    let factor = factor(
        window,
        times[0],
        times[last],
        last,
        counter,
        result,
        values[0],
        per_second,
    );
    Ok(Point::Float(result * factor))
}

/// What the sampled difference is multiplied with.
#[allow(clippy::too_many_arguments)]
fn factor(
    window: &Window<'_>,
    first_ms: i64,
    last_ms: i64,
    intervals: usize,
    counter: bool,
    difference: f64,
    first_value: f64,
    per_second: bool,
) -> f64 {
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let mut to_start = seconds(first_ms - window.start_ms);
    let mut to_end = seconds(window.end_ms - last_ms);
    let sampled = seconds(last_ms - first_ms);
    let average = sampled / intervals as f64;
    // Samples this far from an edge end before it; the series is taken to go on for half an interval.
    let threshold = average * 1.1;
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    if counter {
        // A counter cannot be below zero, so it started at most this long before its first sample.
        let mut to_zero = to_start;
        if difference > 0.0 && first_value >= 0.0 {
            to_zero = sampled * (first_value / difference);
        }
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    let factor = (sampled + to_start + to_end) / sampled;
    if per_second {
        factor / seconds(window.end_ms - window.start_ms)
    } else {
        factor
    }
}

/// `irate`, `idelta`: from the last two samples.
pub(super) fn instant(call: &Call<'_, '_>, window: &Window<'_>) -> Result<Point, QueryError> {
    if !window.histograms.is_empty() {
        return Err(not_yet(call.expr, "a function on histograms"));
    }
    let [.., before, last] = window.values else {
        return Ok(Point::None);
    };
    let [.., before_ms, last_ms] = window.times else {
        return Ok(Point::None);
    };
    let rate = call.id == FunctionId::Irate;
    let difference = if rate && last < before {
        *last
    } else {
        last - before
    };
    let interval_ms = last_ms - before_ms;
    if interval_ms == 0 {
        return Ok(Point::None);
    }
    Ok(Point::Float(if rate {
        difference / (interval_ms as f64 / 1000.0)
    } else {
        difference
    }))
}

/// Least squares with `x` in seconds from `intercept_ms`: slope and intercept.
fn linear_regression(times: &[i64], values: &[f64], intercept_ms: i64) -> (f64, f64) {
    let (mut n, mut sum_x, mut c_x, mut sum_y, mut c_y) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let (mut sum_xy, mut c_xy, mut sum_x2, mut c_x2) = (0.0, 0.0, 0.0, 0.0);
    let first = values[0];
    let mut constant = true;
    for (index, (time, value)) in times.iter().zip(values).enumerate() {
        if constant && index > 0 && *value != first {
            constant = false;
        }
        n += 1.0;
        let x = (time - intercept_ms) as f64 / 1e3;
        kahan_inc(x, &mut sum_x, &mut c_x);
        kahan_inc(*value, &mut sum_y, &mut c_y);
        kahan_inc(x * value, &mut sum_xy, &mut c_xy);
        kahan_inc(x * x, &mut sum_x2, &mut c_x2);
    }
    if constant {
        return if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        };
    }
    let (sum_x, sum_y, sum_xy, sum_x2) = (sum_x + c_x, sum_y + c_y, sum_xy + c_xy, sum_x2 + c_x2);
    let covariance = sum_xy - sum_x * sum_y / n;
    let variance = sum_x2 - sum_x * sum_x / n;
    let slope = covariance / variance;
    (slope, sum_y / n - slope * sum_x / n)
}

pub(super) fn deriv(window: &Window<'_>) -> Point {
    if window.times.len() < 2 {
        return Point::None;
    }
    // From the first sample, not the epoch: small numbers keep their digits.
    Point::Float(linear_regression(window.times, window.values, window.times[0]).0)
}

pub(super) fn predict_linear(window: &Window<'_>, ahead: f64) -> Point {
    if window.times.len() < 2 {
        return Point::None;
    }
    let (slope, intercept) = linear_regression(window.times, window.values, window.eval_ms);
    Point::Float(slope * ahead + intercept)
}

/// `double_exponential_smoothing`.
pub(super) fn smooth(window: &Window<'_>, smoothing: f64, trend: f64) -> Result<Point, QueryError> {
    for (name, value) in [("smoothing", smoothing), ("trend", trend)] {
        if value <= 0.0 || value >= 1.0 {
            return Err(execution(format!(
                "invalid {name} factor. Expected: 0 < {} < 1, got: {value}",
                &name[..1].replace('s', "sf").replace('t', "tf")
            )));
        }
    }
    let values = window.values;
    if values.len() < 2 {
        return Ok(Point::None);
    }
    let (mut s0, mut s1, mut b) = (0.0, values[0], values[1] - values[0]);
    for (index, value) in values.iter().enumerate().skip(1) {
        let x = smoothing * value;
        if index > 1 {
            b = trend * (s1 - s0) + (1.0 - trend) * b;
        }
        let y = (1.0 - smoothing) * (s1 + b);
        (s0, s1) = (s1, x + y);
    }
    Ok(Point::Float(s1))
}

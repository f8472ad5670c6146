//! Trends: least squares and exponential smoothing.

use crate::QueryError;
use crate::eval::{Point, execution};

use super::window::{Call, RangeWindow};
use stillwell_model::arithmetic::kahan_inc;

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

/// Two floats are needed; histograms beside them are ignored with a note.
fn enough(call: &Call<'_, '_>, window: &RangeWindow<'_>) -> bool {
    if !window.times.is_empty() {
        call.annotate_ignored_histograms(window);
    }
    window.times.len() >= 2
}

/// The slope of at least two samples.
pub(super) fn slope(times: &[i64], values: &[f64]) -> f64 {
    // From the first sample, not the epoch: small numbers keep their digits.
    linear_regression(times, values, times[0]).0
}

/// Where the line through at least two samples is, `ahead` seconds after `eval_ms`.
pub(super) fn line_at(times: &[i64], values: &[f64], eval_ms: i64, ahead: f64) -> f64 {
    let (slope, intercept) = linear_regression(times, values, eval_ms);
    slope * ahead + intercept
}

/// `deriv`.
pub(super) fn deriv(call: &Call<'_, '_>, window: &RangeWindow<'_>) -> Point {
    if !enough(call, window) {
        return Point::None;
    }
    Point::Float(slope(window.times, window.values))
}

/// `predict_linear`.
pub(super) fn predict(call: &Call<'_, '_>, window: &RangeWindow<'_>, ahead: f64) -> Point {
    if !enough(call, window) {
        return Point::None;
    }
    Point::Float(line_at(window.times, window.values, window.eval_ms, ahead))
}

/// `double_exponential_smoothing`.
pub(super) fn smooth(
    call: &Call<'_, '_>,
    window: &RangeWindow<'_>,
    smoothing: f64,
    trend: f64,
) -> Result<Point, QueryError> {
    for (name, short, value) in [("smoothing", "sf", smoothing), ("trend", "tf", trend)] {
        if value <= 0.0 || value >= 1.0 {
            let message =
                format!("invalid {name} factor. Expected: 0 < {short} < 1, got: {value:.6}");
            return Err(execution(message));
        }
    }
    if !enough(call, window) {
        return Ok(Point::None);
    }
    let values = window.values;
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

//! Values between two samples, for `smoothed` and `anchored` selectors (Prometheus promql/functions.go `interpolate`).

use stillwell_model::histogram::{FloatHistogram, Incompatible, Merged};

/// Between two floats; after a reset a counter is taken to have begun at zero.
pub(crate) fn interpolate(t1: i64, v1: f64, t2: i64, v2: f64, at_ms: i64, counter: bool) -> f64 {
    let v1 = if counter && v2 < v1 { 0.0 } else { v1 };
    v1 + (v2 - v1) * (at_ms - t1) as f64 / (t2 - t1) as f64
}

/// Between two histograms; after a reset a counter is taken to have begun at zero.
pub(crate) fn interpolate_histograms(
    (t1, h1): (i64, &FloatHistogram),
    (t2, h2): (i64, &FloatHistogram),
    at_ms: i64,
    counter: bool,
    note: &mut dyn FnMut(Merged, &str),
) -> Result<FloatHistogram, Incompatible> {
    if at_ms == t1 {
        return Ok(h1.clone());
    }
    if at_ms == t2 {
        return Ok(h2.clone());
    }
    let fraction = (at_ms - t1) as f64 / (t2 - t1) as f64;
    let mut result = h2.clone();
    if counter && h2.is_reset_after(h1) {
        result.multiply(fraction);
        return Ok(result);
    }
    note(result.subtract(h1)?, "subtraction");
    result.multiply(fraction);
    note(result.add(h1)?, "addition");
    Ok(result)
}

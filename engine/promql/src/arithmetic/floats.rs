//! Minimum, maximum, order and quantile of floats with Go's and Prometheus' rules for NaN and signed zeros.

use std::cmp::Ordering;

/// Go's math.Min: NaN wins, -0 is below 0.
pub(crate) fn min(left: f64, right: f64) -> f64 {
    if left == f64::NEG_INFINITY || right == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if left.is_nan() || right.is_nan() {
        f64::NAN
    } else if left == 0.0 && left == right {
        if left.is_sign_negative() { left } else { right }
    } else if left < right {
        left
    } else {
        right
    }
}

/// Go's math.Max: NaN wins, 0 is above -0.
pub(crate) fn max(left: f64, right: f64) -> f64 {
    if left == f64::INFINITY || right == f64::INFINITY {
        f64::INFINITY
    } else if left.is_nan() || right.is_nan() {
        f64::NAN
    } else if left == 0.0 && left == right {
        if left.is_sign_negative() { right } else { left }
    } else if left > right {
        left
    } else {
        right
    }
}

/// The `q` quantile, interpolated; changes the order of `values`, which must not be empty. NaNs are below everything.
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let count = values.len() as f64;
    let rank = q * (count - 1.0);
    let lower = rank.floor().max(0.0);
    let weight = rank - rank.floor();
    let has_nan = values.iter().fold(false, |any, value| any | value.is_nan());
    let (_, lower_value, above) = if has_nan {
        values.select_nth_unstable_by(lower as usize, nan_first)
    } else {
        let order = |left: &f64, right: &f64| left.partial_cmp(right).unwrap_or(Ordering::Equal);
        values.select_nth_unstable_by(lower as usize, order)
    };
    // The next one in order is the lowest of those above.
    let lower_value = *lower_value;
    let upper_value =
        above
            .iter()
            .copied()
            .reduce(|least, value| match nan_first(&value, &least) {
                Ordering::Less => value,
                _ => least,
            });
    lower_value * (1.0 - weight) + upper_value.unwrap_or(lower_value) * weight
}

/// Ascending, NaN below everything.
pub(crate) fn nan_first(left: &f64, right: &f64) -> Ordering {
    match (left.is_nan(), right.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => left.partial_cmp(right).unwrap_or(Ordering::Equal),
    }
}

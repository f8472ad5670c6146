//! The steps of aggregations, for whoever folds without the evaluator and must get the same bits.

pub(crate) use super::functions::kahan_inc;

/// One step of `max`: a NaN gives way to any number.
pub(crate) fn fold_max(value: f64, best: &mut f64) {
    if value > *best || best.is_nan() {
        *best = value;
    }
}

/// One step of `min`.
pub(crate) fn fold_min(value: f64, best: &mut f64) {
    if value < *best || best.is_nan() {
        *best = value;
    }
}

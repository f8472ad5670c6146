//! Range functions over the floats of one window, for incremental evaluation (`crate::incremental`). Each is the code
//! that the evaluator runs, so the results are equal bit for bit.

use super::rate::{Extent, instant_floats};
use super::window::RangeWindow;
use super::{over_time, regression};
use crate::arithmetic::floats;
use crate::plan::FunctionId;

pub use super::over_time::is_transition;
pub use super::sliding::is_dominated;

/// What `rate`, `increase` and `delta` need of at least two samples.
#[derive(Clone, Copy, Debug)]
pub struct Sampled {
    /// Time of the first sample in the window.
    pub first_ms: i64,
    /// Time of the last one.
    pub last_ms: i64,
    /// How many there are.
    pub count: usize,
    /// The value of the first.
    pub first: f64,
    /// Last minus first, resets corrected in order.
    pub difference: f64,
}

/// `rate`, `increase` or `delta` in the window `start_ms < t <= end_ms`.
#[inline]
pub fn extrapolated(id: FunctionId, sampled: Sampled, start_ms: i64, end_ms: i64) -> Option<f64> {
    let mut extent = Extent {
        first_ms: sampled.first_ms,
        last_ms: sampled.last_ms,
        intervals: sampled.count.checked_sub(1)?,
        first_count: sampled.first,
        difference: sampled.difference,
    };
    let (factor, _) = extent.factor(id, &RangeWindow::bare(start_ms, end_ms), &[])?;
    Some(sampled.difference * factor)
}

/// `irate` or `idelta` of the last two samples, each a time and a value.
#[inline]
pub fn instant(id: FunctionId, before: (i64, f64), last: (i64, f64)) -> Option<f64> {
    let interval_ms = last.0 - before.0;
    let seconds = interval_ms as f64 / 1000.0;
    let rate = id == FunctionId::Irate;
    (interval_ms != 0).then(|| instant_floats(rate, seconds, before.1, last.1, false))
}

/// Whether [`refold`] is the way to compute it. It computes `max_over_time` and `min_over_time`, too.
pub fn is_refolded(id: FunctionId) -> bool {
    use FunctionId as F;
    matches!(
        id,
        F::SumOverTime
            | F::AvgOverTime
            | F::StddevOverTime
            | F::StdvarOverTime
            | F::QuantileOverTime
            | F::Deriv
            | F::PredictLinear
    )
}

/// Whether it looks at the samples' times.
pub fn needs_times(id: FunctionId) -> bool {
    matches!(id, FunctionId::Deriv | FunctionId::PredictLinear)
}

/// A function that looks at every sample of the window, which must not be empty; `param` is its scalar argument.
pub fn refold(
    id: FunctionId,
    times: &[i64],
    values: &[f64],
    eval_ms: i64,
    param: f64,
    scratch: &mut Vec<f64>,
) -> Option<f64> {
    use FunctionId as F;
    Some(match id {
        F::SumOverTime => over_time::sum(values),
        F::MaxOverTime => over_time::max(values),
        F::MinOverTime => over_time::min(values),
        F::AvgOverTime => over_time::average(values),
        F::StddevOverTime => over_time::variance(values).sqrt(),
        F::StdvarOverTime => over_time::variance(values),
        F::QuantileOverTime => {
            scratch.clear();
            scratch.extend_from_slice(values);
            floats::quantile(param, scratch)
        }
        F::Deriv if values.len() > 1 => regression::slope(times, values),
        F::PredictLinear if values.len() > 1 => regression::line_at(times, values, eval_ms, param),
        _ => return None,
    })
}

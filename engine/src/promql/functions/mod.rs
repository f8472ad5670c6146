//! The functions of the language, one file per family.

mod classic;
mod dates;
pub(crate) mod extended;
pub(crate) mod floats;
pub(crate) mod go_math;
pub(crate) mod go_trig;
mod histogram;
mod info;
mod labels;
pub(crate) mod math;
mod misc;
mod moving;
pub(crate) mod order;
mod over_time;
mod pointwise;
mod rate;
mod regression;
mod start_times;
mod table;
mod window;

use super::QueryError;
use super::eval::{Eval, Grid, Sink, not_yet};
use super::plan::Expr;
use super::select::Projection;

pub(crate) use classic::{
    Bucket, Monotonicity, almost_equal, bucket_quantile, go_float, parse_bound,
};
pub(crate) use labels::{is_valid_label_name, quote_bytes};
pub(crate) use math::kahan_inc;
pub(crate) use pointwise::{is_pointwise, of as pointwise};
pub use table::{Function, FunctionId};

/// Streams the series of a call that yields a vector.
pub(crate) fn stream(
    eval: &Eval<'_>,
    expr: &Expr,
    function: &Function,
    args: &[Expr],
    grid: Grid,
    need: Projection<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    use FunctionId as F;
    match function.id {
        F::LabelReplace => labels::replace(eval, args, grid, sink),
        F::LabelJoin => labels::join(eval, args, grid, sink),
        F::Vector => misc::vector(eval, args, grid, sink),
        F::Absent => misc::absent(eval, args, grid, sink),
        F::AbsentOverTime => misc::absent_over_time(eval, args, grid, sink),
        F::Timestamp => misc::timestamp(eval, args, grid, need, sink),
        F::HistogramQuantile => histogram::quantile(eval, args, grid, sink),
        F::HistogramQuantiles => histogram::quantiles(eval, args, grid, sink),
        F::HistogramFraction => histogram::fraction(eval, args, grid, sink),
        F::HistogramCount
        | F::HistogramSum
        | F::HistogramAvg
        | F::HistogramStddev
        | F::HistogramStdvar => histogram::simple(eval, function.id, args, grid, need, sink),
        F::Info => info::info(eval, args, grid, sink),
        F::StartTimestamp => misc::start_timestamp(eval, args, grid, need, sink),
        F::Sort | F::SortDesc | F::SortByLabel | F::SortByLabelDesc => {
            order::stream(eval, expr, function.id, args, grid, sink)
        }
        F::DayOfMonth
        | F::DayOfWeek
        | F::DayOfYear
        | F::DaysInMonth
        | F::Hour
        | F::Minute
        | F::Month
        | F::Year => dates::stream(eval, function.id, args, grid, need, sink),
        _ if window::is_range_function(function.id) => {
            window::stream(eval, expr, function.id, args, grid, need, sink)
        }
        _ if pointwise::is_pointwise(function.id) => {
            pointwise::stream(eval, function.id, args, grid, need, sink)
        }
        _ => Err(not_yet(expr, function.name)),
    }
}

/// The values of a call that yields a scalar.
pub(crate) fn scalar(
    eval: &Eval<'_>,
    expr: &Expr,
    function: &Function,
    args: &[Expr],
    grid: Grid,
) -> Result<Vec<f64>, QueryError> {
    use FunctionId as F;
    let constant = |value: f64| Ok(vec![value; grid.count]);
    match function.id {
        F::Pi => constant(std::f64::consts::PI),
        F::Time => Ok(grid.times().map(|ms| ms as f64 / 1000.0).collect()),
        F::Start => constant(eval.query_start_ms as f64 / 1000.0),
        F::End => constant(eval.query_end_ms as f64 / 1000.0),
        F::Step => constant(eval.query_step_ms as f64 / 1000.0),
        F::Range => constant((eval.query_end_ms - eval.query_start_ms) as f64 / 1000.0),
        F::MinOf | F::MaxOf => {
            let right = eval.scalar(&args[1], grid)?;
            let pick = if function.id == F::MinOf {
                math::min
            } else {
                math::max
            };
            let left = eval.scalar(&args[0], grid)?;
            Ok(left
                .into_iter()
                .zip(right)
                .map(|(left, right)| pick(left, right))
                .collect())
        }
        F::Scalar => misc::scalar(eval, &args[0], grid),
        _ => Err(not_yet(expr, function.name)),
    }
}

/// Whether distinct input series give distinct output series once the metric names are gone.
pub(crate) fn keeps_series_distinct(id: FunctionId) -> bool {
    use FunctionId as F;
    !matches!(
        id,
        F::LabelReplace
            | F::LabelJoin
            | F::Info
            | F::HistogramQuantile
            | F::HistogramFraction
            | F::HistogramQuantiles
    )
}

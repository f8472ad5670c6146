//! The functions of the language, one file per family.

mod dates;
pub(crate) mod extended;
pub mod float_windows;
pub(crate) mod histogram;
mod info;
mod labels;
mod misc;
mod over_time;
mod pointwise;
mod range_call;
mod rate;
mod regression;
mod segments;
mod sliding;
mod start_times;
mod sums;
mod window;

use super::QueryError;
use super::arithmetic::floats;
use super::eval::{Calls, Eval, Grid, Sink, not_implemented, order as eval_order};
use super::plan::{Expr, Function, FunctionId};
use super::select::Projection;

pub use dates::{is_calendar, part as calendar_part};
pub use labels::LabelChange;
pub use misc::absent_labels;
pub use pointwise::{is_pointwise, of as pointwise};

/// The dispatch from a call in the plan to the function that computes it.
pub(crate) struct Functions;

impl Calls for Functions {
    fn stream(
        &self,
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
                eval_order::stream(eval, expr, function.id, args, grid, sink)
            }
            _ if dates::is_calendar(function.id) => {
                dates::stream(eval, function.id, args, grid, need, sink)
            }
            _ if range_call::is_range_function(function.id) => {
                range_call::stream(eval, expr, function.id, args, grid, need, sink)
            }
            _ if pointwise::is_pointwise(function.id) => {
                pointwise::stream(eval, function.id, args, grid, need, sink)
            }
            _ => Err(not_implemented(expr, function.name)),
        }
    }

    fn scalar(
        &self,
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
            F::Time => Ok(grid.times().map(|ms| eval.wall_seconds(ms)).collect()),
            F::Start => constant(eval.query_start_ms as f64 / 1000.0),
            F::End => constant(eval.query_end_ms as f64 / 1000.0),
            F::Step => constant(eval.query_step_ms as f64 / 1000.0),
            F::Range => constant((eval.query_end_ms - eval.query_start_ms) as f64 / 1000.0),
            F::MinOf | F::MaxOf => {
                let right = eval.scalar(&args[1], grid)?;
                let choose = if function.id == F::MinOf {
                    floats::min
                } else {
                    floats::max
                };
                let left = eval.scalar(&args[0], grid)?;
                Ok(left
                    .into_iter()
                    .zip(right)
                    .map(|(left, right)| choose(left, right))
                    .collect())
            }
            F::Scalar => misc::scalar(eval, &args[0], grid),
            _ => Err(not_implemented(expr, function.name)),
        }
    }
}

//! Functions of one sample: rounding, logarithms, trigonometry, clamps.

use crate::QueryError;
use crate::eval::{ABSENT, Eval, Grid, Sink, is_absent};
use crate::plan::Expr;
use crate::select::Projection;

use crate::arithmetic::floats;
use crate::plan::FunctionId;
use stillwell_model::arithmetic::go_math;

/// The function itself, where it takes nothing but the sample.
fn simple(id: FunctionId) -> Option<fn(f64) -> f64> {
    use FunctionId as F;
    Some(match id {
        F::Abs => f64::abs,
        F::Ceil => f64::ceil,
        F::Floor => f64::floor,
        F::Exp => go_math::exp,
        F::Sqrt => f64::sqrt,
        F::Ln => go_math::ln,
        F::Log2 => go_math::log2,
        F::Log10 => go_math::log10,
        F::Sin => f64::sin,
        F::Cos => f64::cos,
        F::Tan => f64::tan,
        F::Asin => f64::asin,
        F::Acos => f64::acos,
        F::Atan => f64::atan,
        F::Sinh => f64::sinh,
        F::Cosh => f64::cosh,
        F::Tanh => f64::tanh,
        F::Asinh => f64::asinh,
        F::Acosh => f64::acosh,
        F::Atanh => f64::atanh,
        F::Rad => |degrees| degrees * std::f64::consts::PI / 180.0,
        F::Deg => |radians| radians * 180.0 / std::f64::consts::PI,
        F::Sgn => |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        },
        _ => return None,
    })
}

/// Whether the function computes each sample from that sample and scalar arguments alone.
pub fn is_pointwise(id: FunctionId) -> bool {
    use FunctionId as F;
    simple(id).is_some() || matches!(id, F::Round | F::Clamp | F::ClampMin | F::ClampMax)
}

pub(super) fn stream(
    eval: &Eval<'_>,
    id: FunctionId,
    args: &[Expr],
    grid: Grid,
    need: Projection<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let param = |index: usize| {
        args.get(index)
            .map(|arg| eval.scalar(arg, grid))
            .transpose()
    };
    let (first, second) = (param(1)?, param(2)?);
    let at = |values: &Option<Vec<f64>>, step: usize| values.as_ref().map(|values| values[step]);
    eval.stream_mapped(&args[0], grid, need, sink, &mut |column| {
        column.histograms.clear();
        for (step, value) in column.floats.iter_mut().enumerate() {
            if !is_absent(*value) {
                *value = of(id, *value, at(&first, step), at(&second, step));
            }
        }
        Ok(())
    })
}

/// The function of one sample, with its scalar arguments; `ABSENT` where a clamp has no room.
#[inline]
pub fn of(id: FunctionId, value: f64, first: Option<f64>, second: Option<f64>) -> f64 {
    use FunctionId as F;
    match id {
        F::Round => {
            // The inverse keeps decimals exact that the fraction itself cannot.
            let inverse = 1.0 / first.unwrap_or(1.0);
            (value * inverse + 0.5).floor() / inverse
        }
        F::ClampMin => floats::max(first.unwrap_or(0.0), value),
        F::ClampMax => floats::min(first.unwrap_or(0.0), value),
        F::Clamp => {
            let (low, high) = (first.unwrap_or(0.0), second.unwrap_or(0.0));
            if high < low {
                ABSENT
            } else {
                floats::max(low, floats::min(high, value))
            }
        }
        _ => simple(id).map_or(ABSENT, |function| function(value)),
    }
}

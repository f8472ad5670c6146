//! Functions of a range: the samples of one series pass by once, and two indices per step mark the window.

use std::sync::Arc;

use crate::histogram::FloatHistogram;
use crate::promql::QueryError;
use crate::promql::eval::{
    Column, Eval, Grid, Point, RangeSamples, Sink, Windows, unique_without_name,
};
use crate::promql::plan::{Edges, Expr};
use crate::promql::select::Projection;

use super::FunctionId;
use super::{over_time, rate};

/// What a range function sees at one step.
#[derive(Clone, Copy)]
pub(crate) struct Window<'s> {
    pub(crate) times: &'s [i64],
    pub(crate) values: &'s [f64],
    pub(crate) histogram_times: &'s [i64],
    pub(crate) histograms: &'s [Arc<FloatHistogram>],
    /// Exclusive.
    pub(crate) start_ms: i64,
    /// Inclusive.
    pub(crate) end_ms: i64,
    /// The evaluation time, which `offset` and `@` do not move.
    pub(crate) eval_ms: i64,
}

/// Moves the window's indices along ascending windows.
#[derive(Clone, Copy, Debug, Default)]
struct Edge {
    from: usize,
    to: usize,
}

impl Edge {
    fn advance(&mut self, times: &[i64], start_ms: i64, end_ms: i64) {
        while self.to < times.len() && times[self.to] <= end_ms {
            self.to += 1;
        }
        while self.from < self.to && times[self.from] <= start_ms {
            self.from += 1;
        }
    }
}

pub(super) fn is_range_function(id: FunctionId) -> bool {
    use FunctionId as F;
    matches!(
        id,
        F::Rate
            | F::Increase
            | F::Delta
            | F::Irate
            | F::Idelta
            | F::Changes
            | F::Resets
            | F::Deriv
            | F::PredictLinear
            | F::DoubleExponentialSmoothing
            | F::AvgOverTime
            | F::SumOverTime
            | F::MinOverTime
            | F::MaxOverTime
            | F::CountOverTime
            | F::LastOverTime
            | F::FirstOverTime
            | F::PresentOverTime
            | F::QuantileOverTime
            | F::StddevOverTime
            | F::StdvarOverTime
            | F::MadOverTime
            | F::TsOfFirstOverTime
            | F::TsOfLastOverTime
            | F::TsOfMaxOverTime
            | F::TsOfMinOverTime
    )
}

pub(super) fn stream(
    eval: &Eval<'_>,
    expr: &Expr,
    id: FunctionId,
    args: &[Expr],
    grid: Grid,
    need: Projection<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    use FunctionId as F;
    let range_at = if id == F::QuantileOverTime { 1 } else { 0 };
    let mut params = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        if index != range_at {
            params.push(eval.scalar(arg, grid)?);
        }
    }
    let input = eval.range_input(&args[range_at], grid)?;
    if input.edges != Edges::Plain {
        return Err(crate::promql::eval::not_yet(expr, "anchored and smoothed"));
    }
    let unique = unique_without_name(&args[range_at]);
    let need = if unique { need } else { Projection::All };
    let mut column = Column::default();
    let call = Call {
        eval,
        expr,
        id,
        params: &params,
        range: &args[range_at],
    };
    let mut produce = |sink: &mut Sink<'_>| {
        eval.stream_range(&input, need, &mut |labels, drop, samples| {
            column.reset(grid.count);
            call.fill(samples, &input.windows, &mut column)?;
            if column.is_empty() {
                Ok(())
            } else {
                sink(labels, drop, &mut column)
            }
        })
    };
    if matches!(id, F::LastOverTime | F::FirstOverTime) {
        // The value is one of the input's samples, so it keeps its name.
        return produce(sink);
    }
    eval.without_names(unique, sink, &mut produce)
}

/// One call of a range function.
pub(crate) struct Call<'c, 'a> {
    pub(crate) eval: &'c Eval<'a>,
    pub(crate) expr: &'c Expr,
    pub(crate) id: FunctionId,
    /// The scalar arguments, a value per step.
    pub(crate) params: &'c [Vec<f64>],
    pub(crate) range: &'c Expr,
}

impl Call<'_, '_> {
    fn fill(
        &self,
        samples: &RangeSamples,
        windows: &Windows,
        out: &mut Column,
    ) -> Result<(), QueryError> {
        let (mut floats, mut histograms) = (Edge::default(), Edge::default());
        for step in 0..windows.grid.count {
            let (start_ms, end_ms) = (windows.start_ms(step), windows.end_ms(step));
            floats.advance(&samples.times, start_ms, end_ms);
            histograms.advance(&samples.histogram_times, start_ms, end_ms);
            if floats.from == floats.to && histograms.from == histograms.to {
                continue;
            }
            let window = Window {
                times: &samples.times[floats.from..floats.to],
                values: &samples.values[floats.from..floats.to],
                histogram_times: &samples.histogram_times[histograms.from..histograms.to],
                histograms: &samples.histograms[histograms.from..histograms.to],
                start_ms,
                end_ms,
                eval_ms: windows.grid.at(step),
            };
            match self.at(&window, step)? {
                Point::None => {}
                Point::Float(value) => out.floats[step] = value,
                point => out.set(step, point),
            }
        }
        Ok(())
    }

    fn at(&self, window: &Window<'_>, step: usize) -> Result<Point, QueryError> {
        use FunctionId as F;
        let param = |index: usize| self.params[index][step];
        match self.id {
            F::Rate | F::Increase | F::Delta => rate::extrapolated(self, window),
            F::Irate | F::Idelta => rate::instant(self, window),
            F::Changes => Ok(over_time::changes(window)),
            F::Resets => Ok(over_time::resets(window)),
            F::Deriv => Ok(rate::deriv(window)),
            F::PredictLinear => Ok(rate::predict_linear(window, param(0))),
            F::DoubleExponentialSmoothing => rate::smooth(window, param(0), param(1)),
            F::QuantileOverTime => Ok(over_time::quantile(window, param(0))),
            id => over_time::aggregate(self, id, window),
        }
    }
}

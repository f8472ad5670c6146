//! Calls of range functions: streams the samples of each series once and moves a window over them, step by step.

use std::cell::{Cell, RefCell};

use crate::QueryError;
use crate::eval::{
    Column, Columns, Eval, Grid, Point, RangeInput, RangeReader, RangeSamples, Seek, Sink, Windows,
    Worker, is_absent, unique_without_name,
};
use crate::plan::{Edges, Expr, ExprKind, Selector};
use crate::select::{Projection, Selection};
use stillwell_model::labels::Labels;

use super::window::{Call, RangeWindow};
use super::{extended, over_time, rate, regression, sliding};
use crate::plan::FunctionId;

/// Moves the window's indices along ascending windows.
#[derive(Clone, Copy, Debug, Default)]
struct Edge {
    starts: Seek,
    ends: Seek,
    from: usize,
    to: usize,
}

impl Edge {
    fn advance(&mut self, times: &[i64], after_ms: i64, until_ms: i64) {
        self.to = self.ends.past(times, until_ms);
        self.from = self.starts.past(times, after_ms).min(self.to);
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
    let range = &args[range_at];
    let input = eval.range_input(range, grid)?;
    let unique = unique_without_name(range);
    let need = if unique { need } else { Projection::All };
    let range_call = RangeCall {
        input: &input,
        expr,
        id,
        params: &params,
        range,
        steps: grid.count,
    };
    let mut produce = |sink: &mut Sink<'_>| {
        if let ExprKind::Range { selector, .. } = &input.expr.kind {
            let selection = eval.select_range(selector, &input, need)?;
            let columns = RangeColumns {
                range_call: &range_call,
                selection: &*selection,
                selector,
            };
            return eval.each_column(&columns, grid.count, &mut |index, column| {
                sink(selection.labels(index), false, column)
            });
        }
        let (call, mut column) = (range_call.call(eval), Column::default());
        eval.stream_range(&input, need, &mut |labels, drop, samples| {
            if range_call.fill(&call, labels, samples, &mut column)? {
                sink(labels, drop, &mut column)?;
            }
            Ok(())
        })
    };
    if matches!(id, F::LastOverTime | F::FirstOverTime) {
        // The value is one of the input's samples, so it keeps its name.
        return produce(sink);
    }
    eval.without_names(unique, sink, &mut produce)
}

/// A call, for any thread.
struct RangeCall<'r> {
    input: &'r RangeInput<'r>,
    expr: &'r Expr,
    id: FunctionId,
    params: &'r [Vec<f64>],
    range: &'r Expr,
    steps: usize,
}

impl RangeCall<'_> {
    fn call<'c, 'a>(&'c self, eval: &'c Eval<'a>) -> Call<'c, 'a> {
        Call {
            eval,
            expr: self.expr,
            id: self.id,
            params: self.params,
            range: self.range,
            edges: self.input.edges,
            name: selector_name(self.range),
            scratch: RefCell::default(),
            counter_checked: Cell::new(!matches!(self.id, FunctionId::Rate | FunctionId::Increase)),
        }
    }

    /// Computes the column of a series; false where it is empty.
    fn fill(
        &self,
        call: &Call<'_, '_>,
        labels: &Labels,
        samples: &RangeSamples,
        column: &mut Column,
    ) -> Result<bool, QueryError> {
        column.reset(self.steps);
        let metric = call.name.or_else(|| labels.metric_name()).unwrap_or("");
        call.fill(samples, &self.input.windows, metric, column)?;
        if column.is_empty() {
            return Ok(false);
        }
        call.check_counter(labels, metric, column);
        Ok(true)
    }
}

/// The columns of a call, one for each series of a range selector.
struct RangeColumns<'r> {
    range_call: &'r RangeCall<'r>,
    selection: &'r dyn Selection,
    selector: &'r Selector,
}

impl Columns for RangeColumns<'_> {
    fn selection(&self) -> &dyn Selection {
        self.selection
    }

    fn worker<'w>(&'w self, eval: &'w Eval<'_>) -> Box<Worker<'w>> {
        let RangeColumns {
            range_call,
            selection,
            selector,
        } = *self;
        let call = range_call.call(eval);
        let mut reader = RangeReader::default();
        Box::new(move |index, column| {
            let windows = &range_call.input.windows;
            let held = reader.read(eval, selection, index, selector, windows)?;
            if held == 0 {
                return Ok(None);
            }
            let labels = selection.labels(index);
            if range_call.fill(&call, labels, &reader.samples, column)? {
                return Ok(Some(held));
            }
            eval.release(held);
            Ok(None)
        })
    }
}

/// The metric name that a range's selector fixes: a view may have left out the label.
fn selector_name(range: &Expr) -> Option<&str> {
    match &range.bare().kind {
        ExprKind::Range { selector, .. } => selector.metric_name(),
        _ => None,
    }
}

impl Call<'_, '_> {
    fn fill(
        &self,
        samples: &RangeSamples,
        windows: &Windows,
        metric: &str,
        out: &mut Column,
    ) -> Result<(), QueryError> {
        let plain = self.edges == Edges::Plain;
        if plain && samples.histogram_times.is_empty() && samples.starts.is_empty() {
            let scratch = &mut *self.scratch.borrow_mut();
            if sliding::fill(self, samples, windows, metric, scratch, out)? {
                return Ok(());
            }
        }
        self.fill_each(samples, windows, metric, out)
    }

    /// Window by window.
    fn fill_each(
        &self,
        samples: &RangeSamples,
        windows: &Windows,
        metric: &str,
        out: &mut Column,
    ) -> Result<(), QueryError> {
        let lookback_ms = self.eval.options.lookback_ms;
        let edges = self.window_edges(windows, metric);
        let (before_ms, behind_ms) = match self.edges {
            Edges::Plain => (0, 0),
            Edges::Anchored => (lookback_ms, 0),
            Edges::Smoothed => (lookback_ms, lookback_ms),
        };
        let (mut floats, mut histograms) = (Edge::default(), Edge::default());
        for step in 0..windows.grid.count {
            let (start_ms, end_ms) = (windows.start_ms(step), windows.end_ms(step));
            let (after_ms, until_ms) = (
                start_ms.saturating_sub(before_ms),
                end_ms.saturating_add(behind_ms),
            );
            floats.advance(&samples.times, after_ms, until_ms);
            histograms.advance(&samples.histogram_times, after_ms, until_ms);
            if floats.from == floats.to && histograms.from == histograms.to {
                continue;
            }
            let window = RangeWindow {
                times: &samples.times[floats.from..floats.to],
                values: &samples.values[floats.from..floats.to],
                starts: samples.starts.get(floats.from..floats.to).unwrap_or(&[]),
                histogram_times: &samples.histogram_times[histograms.from..histograms.to],
                histograms: &samples.histograms[histograms.from..histograms.to],
                histogram_starts: samples
                    .histogram_starts
                    .get(histograms.from..histograms.to)
                    .unwrap_or(&[]),
                ..edges(step)
            };
            // A window may be long and its function slow; what came before was cheap.
            self.eval.poll()?;
            match self.at(&window, step)? {
                Point::None => {}
                Point::Float(value) => out.floats[step] = value,
                point => out.set(step, point),
            }
        }
        Ok(())
    }

    fn at(&self, window: &RangeWindow<'_>, step: usize) -> Result<Point, QueryError> {
        use FunctionId as F;
        let param = |index: usize| self.params[index][step];
        match self.id {
            F::Rate | F::Increase | F::Delta if self.edges != Edges::Plain => {
                Ok(extended::difference_at_edges(self, window))
            }
            F::Rate | F::Increase | F::Delta => Ok(rate::extrapolated(self, window)),
            F::Irate | F::Idelta => Ok(rate::instant(self, window)),
            F::Changes | F::Resets => Ok(over_time::transitions(self, window)),
            F::Deriv => Ok(regression::deriv(self, window)),
            F::PredictLinear => Ok(regression::predict(self, window, param(0))),
            F::DoubleExponentialSmoothing => regression::smooth(self, window, param(0), param(1)),
            F::QuantileOverTime => Ok(over_time::quantile(self, window, param(0))),
            id => Ok(over_time::aggregate(self, id, window)),
        }
    }

    /// `rate` and `increase` are for counters; a name (or type label) that says otherwise is worth a note.
    fn check_counter(&self, labels: &Labels, metric: &str, column: &Column) {
        let floats = || column.floats.iter().any(|value| !is_absent(*value));
        if self.counter_checked.get() || metric.is_empty() || !floats() {
            return;
        }
        if self.eval.options.features.type_and_unit_labels {
            let kind = labels.get("__type__").unwrap_or("");
            if kind != "counter" && kind != "histogram" {
                self.info(format!(
                        "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {kind:?}: {metric:?}"
                    ),
                );
            }
            return;
        }
        if !["_total", "_sum", "_count", "_bucket"]
            .iter()
            .any(|suffix| metric.ends_with(suffix))
        {
            let message =
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
            self.eval
                .info(self.range.span, format!("{message} {metric:?}"));
        }
        // With one name for all series, once is enough.
        self.counter_checked.set(self.name.is_some());
    }
}

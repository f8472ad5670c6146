//! From the columns of an evaluation to the answer: vectors, matrices, scalars, annotations.

use crate::plan::{Expr, ValueType};
use crate::select::{Projection, View};
use crate::{Answer, EvalOptions, QueryError, RangeSeries, Value, VectorSample};
use stillwell_model::time::Timestamp;

use super::column::{Column, Point, Series, is_absent};
use super::order;
use super::vector::{Merger, without_reserved};
use super::{Calls, Eval, Grid, ResolvedPlan};

impl<'a> Eval<'a> {
    fn answer(self, value: Value) -> Answer {
        Answer {
            value,
            annotations: self.into_annotations(),
        }
    }

    /// The series of a vector expression, with names removed where that was delayed.
    fn final_series(&self, expr: &Expr, grid: Grid) -> Result<Vec<Series>, QueryError> {
        if !self.delayed_names() {
            return self.collect(expr, grid);
        }
        let mut merger = Merger::new(self);
        self.stream(
            expr,
            grid,
            Projection::All,
            &mut |labels, drop_name, column| {
                if drop_name {
                    merger.add(&without_reserved(labels), false, column)
                } else {
                    merger.add(labels, false, column)
                }
            },
        )?;
        Ok(merger.into_series())
    }
}

/// Evaluates at one time.
pub(crate) fn instant(
    plan: &ResolvedPlan<'_>,
    view: &dyn View,
    calls: &dyn Calls,
    at: Timestamp,
    options: &EvalOptions<'_>,
) -> Result<Answer, QueryError> {
    let eval = Eval::new(view, calls, options, plan, (at.ms(), at.ms(), 0));
    let grid = Grid::single(at.ms());
    let expr = plan.expr.bare();
    let value = match expr.value_type() {
        ValueType::String => Value::String(at, eval.string(expr)?.to_owned()),
        ValueType::Scalar => Value::Scalar(at, eval.scalar(plan.expr, grid)?[0]),
        ValueType::Matrix => Value::Matrix(raw_matrix(&eval, expr, grid)?),
        ValueType::Vector => {
            let series = match order::of(expr) {
                Some(order) => order.apply(&eval, expr, eval.final_series(plan.expr, grid)?)?,
                None => eval.final_series(plan.expr, grid)?,
            };
            Value::Vector(
                series
                    .into_iter()
                    .filter_map(|series| vector_sample(series, at))
                    .collect(),
            )
        }
    };
    Ok(eval.answer(value))
}

fn vector_sample(series: Series, at: Timestamp) -> Option<VectorSample> {
    let (value, histogram) = match series.column.get(0) {
        Point::None => return None,
        Point::Float(value) => (value, None),
        Point::Histogram(histogram) => (0.0, Some(histogram)),
    };
    Some(VectorSample {
        labels: series.labels,
        time: at,
        value,
        histogram,
    })
}

/// A range selector or subquery by itself: its samples.
fn raw_matrix(eval: &Eval<'_>, expr: &Expr, grid: Grid) -> Result<Vec<RangeSeries>, QueryError> {
    let input = eval.range_input(expr, grid)?;
    let mut matrix = Vec::new();
    eval.stream_range(
        &input,
        Projection::All,
        &mut |labels, drop_name, samples| {
            eval.hold((samples.times.len() + samples.histogram_times.len()) as u64)?;
            eval.hold_bytes(labels.bytes())?;
            let times = |times: &[i64]| {
                times
                    .iter()
                    .map(|ms| Timestamp::from_ms(*ms))
                    .collect::<Vec<_>>()
            };
            matrix.push(RangeSeries {
                labels: if drop_name {
                    without_reserved(labels)
                } else {
                    labels.clone()
                },
                floats: times(&samples.times)
                    .into_iter()
                    .zip(samples.values.iter().copied())
                    .collect(),
                histograms: times(&samples.histogram_times)
                    .into_iter()
                    .zip(samples.histograms.iter().cloned())
                    .collect(),
            });
            Ok(())
        },
    )?;
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(matrix)
}

/// Evaluates at every step.
pub(crate) fn range(
    plan: &ResolvedPlan<'_>,
    view: &dyn View,
    calls: &dyn Calls,
    grid: Grid,
    end: Timestamp,
    options: &EvalOptions<'_>,
) -> Result<Answer, QueryError> {
    let eval = Eval::new(
        view,
        calls,
        options,
        plan,
        (grid.start_ms, end.ms(), grid.step_ms),
    );
    let mut matrix = match plan.expr.value_type() {
        ValueType::Scalar => {
            eval.hold(grid.count as u64)?;
            let column = Column {
                floats: eval.scalar(plan.expr, grid)?,
                histograms: Vec::new(),
            };
            let series = Series {
                labels: stillwell_model::labels::Labels::empty(),
                drop_name: false,
                column,
            };
            range_series(series, grid).into_iter().collect()
        }
        ValueType::Vector => {
            let series = eval.final_series(plan.expr, grid)?;
            series
                .into_iter()
                .filter_map(|series| range_series(series, grid))
                .collect::<Vec<_>>()
        }
        other => {
            let message = format!(
                "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                other.documented()
            );
            return Err(QueryError::BadData {
                message,
                position: None,
            });
        }
    };
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(eval.answer(Value::Matrix(matrix)))
}

fn range_series(series: Series, grid: Grid) -> Option<RangeSeries> {
    let column = &series.column;
    let mut floats = Vec::with_capacity(column.points() as usize);
    let mut histograms = Vec::new();
    for (step, value) in column.floats.iter().enumerate() {
        if !is_absent(*value) {
            floats.push((Timestamp::from_ms(grid.at(step)), *value));
        } else if let Some(histogram) = column.histogram(step) {
            histograms.push((Timestamp::from_ms(grid.at(step)), histogram.clone()));
        }
    }
    let any = !floats.is_empty() || !histograms.is_empty();
    any.then_some(RangeSeries {
        labels: series.labels,
        floats,
        histograms,
    })
}

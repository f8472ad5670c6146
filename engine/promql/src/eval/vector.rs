//! Dispatch of vector and scalar expressions to the parts that compute them, and the merging of series with equal
//! labels.

use crate::QueryError;
use crate::plan::{BinaryOp, Expr, ExprKind, ValueType};
use crate::select::Projection;
use stillwell_model::labels::{Labels, METRIC_NAME};

use super::column::{Column, Series, is_absent};
use super::group::{KeyRule, Keys};
use super::{Eval, Grid, Sink, execution};
use crate::arithmetic::scalar_op;

impl Eval<'_> {
    /// Streams the series of a vector expression. Their labels are unique, unless `need` leaves some out.
    pub(crate) fn stream(
        &self,
        expr: &Expr,
        grid: Grid,
        need: Projection<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        match &expr.kind {
            ExprKind::Selector(selector) => {
                let need = if selector.metric_name().is_some() {
                    need
                } else {
                    Projection::All
                };
                self.stream_selector(selector, grid, need, sink)
            }
            ExprKind::Paren(inner) => self.stream(inner, grid, need, sink),
            ExprKind::StepInvariant(inner) => self.stream_invariant(inner, grid, need, sink),
            ExprKind::Aggregate(aggregate) => self.stream_aggregate(expr, aggregate, grid, sink),
            ExprKind::Binary(binary) => self.stream_binary(expr, binary, grid, need, sink),
            ExprKind::Negate(inner) => self.stream_mapped(inner, grid, need, sink, &mut |column| {
                for value in &mut column.floats {
                    if !is_absent(*value) {
                        *value = -*value;
                    }
                }
                for histogram in column.histograms.iter_mut().flatten() {
                    *histogram = std::sync::Arc::new(histogram.scaled(-1.0));
                }
                Ok(())
            }),
            ExprKind::Call { function, args } => self
                .calls
                .stream(self, expr, function, args, grid, need, sink),
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Range { .. }
            | ExprKind::Subquery(_) => Err(QueryError::Internal(
                "an instant vector was expected".to_owned(),
            )),
        }
    }

    /// Streams `inner` with each column changed and the metric name gone, as almost every function does it.
    pub(crate) fn stream_mapped(
        &self,
        inner: &Expr,
        grid: Grid,
        need: Projection<'_>,
        sink: &mut Sink<'_>,
        map: &mut dyn FnMut(&mut Column) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let unique = unique_without_name(inner);
        let need = if unique { need } else { Projection::All };
        self.without_names(unique, sink, &mut |sink| {
            self.stream(inner, grid, need, &mut |labels, drop, column| {
                map(column)?;
                if column.is_empty() {
                    return Ok(());
                }
                sink(labels, drop, column)
            })
        })
    }

    /// Runs `produce` and passes its series on without their metric names (or marked, where names go at the end).
    /// Series that are equal then are merged; two points at one step are an error.
    pub(crate) fn without_names(
        &self,
        unique: bool,
        sink: &mut Sink<'_>,
        produce: &mut dyn FnMut(&mut Sink<'_>) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        if self.delayed_names() {
            return produce(&mut |labels, _, column| sink(labels, true, column));
        }
        // Series of one name may differ in type or unit.
        if unique && !self.options.features.type_and_unit_labels {
            return produce(&mut |labels, _, column| {
                sink(&without_reserved(labels), false, column)
            });
        }
        let mut merger = Merger::new(self);
        produce(&mut |labels, _, column| merger.add(&without_reserved(labels), false, column))?;
        merger.finish(sink)
    }

    fn stream_invariant(
        &self,
        inner: &Expr,
        grid: Grid,
        need: Projection<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        if grid.count <= 1 {
            return self.stream(inner, grid, need, sink);
        }
        let mut repeated = Column::default();
        self.stream(
            inner,
            Grid::single(grid.start_ms),
            need,
            &mut |labels, drop, column| {
                repeated.reset(grid.count);
                for step in 0..grid.count {
                    repeated.set(step, column.get(0));
                }
                sink(labels, drop, &mut repeated)
            },
        )
    }

    /// All series of a vector expression.
    pub(crate) fn collect(&self, expr: &Expr, grid: Grid) -> Result<Vec<Series>, QueryError> {
        let mut all = Vec::new();
        self.stream(
            expr,
            grid,
            Projection::All,
            &mut |labels, drop_name, column| {
                self.hold(column.len() as u64)?;
                let (labels, column) = (labels.clone(), std::mem::take(column));
                all.push(Series {
                    labels,
                    drop_name,
                    column,
                });
                Ok(())
            },
        )?;
        Ok(all)
    }

    /// The values of a scalar expression, one per step.
    pub(crate) fn scalar(&self, expr: &Expr, grid: Grid) -> Result<Vec<f64>, QueryError> {
        match &expr.kind {
            ExprKind::Number(value) => Ok(vec![*value; grid.count]),
            ExprKind::Paren(inner) => self.scalar(inner, grid),
            ExprKind::StepInvariant(inner) => {
                let value = self.scalar(inner, Grid { count: 1, ..grid })?;
                Ok(vec![value[0]; grid.count])
            }
            ExprKind::Negate(inner) => {
                let mut values = self.scalar(inner, grid)?;
                values.iter_mut().for_each(|value| *value = -*value);
                Ok(values)
            }
            ExprKind::Binary(_) => self.scalar_spine(expr, grid),
            ExprKind::Call { function, args } => {
                self.calls.scalar(self, expr, function, args, grid)
            }
            _ => Err(QueryError::Internal("a scalar was expected".to_owned())),
        }
    }

    fn scalar_spine(&self, expr: &Expr, grid: Grid) -> Result<Vec<f64>, QueryError> {
        let (mut spine, mut node) = (Vec::new(), expr);
        while let ExprKind::Binary(binary) = &node.kind {
            spine.push(binary);
            node = &binary.lhs;
        }
        let mut left = self.scalar(node, grid)?;
        for binary in spine.into_iter().rev() {
            let right = self.scalar(&binary.rhs, grid)?;
            for (left, right) in left.iter_mut().zip(right) {
                *left = match binary.op {
                    BinaryOp::TrimUpper | BinaryOp::TrimLower => {
                        return Err(execution(format!(
                            "operator {:?} not allowed for Scalar operations",
                            binary.op.as_str()
                        )));
                    }
                    op => scalar_op(op, *left, right),
                };
            }
        }
        Ok(left)
    }

    /// A string literal.
    pub(crate) fn string<'e>(&self, expr: &'e Expr) -> Result<&'e str, QueryError> {
        match &expr.bare().kind {
            ExprKind::String(text) => Ok(text),
            _ => Err(QueryError::Internal("a string was expected".to_owned())),
        }
    }
}

/// Without the labels that say what a series measures: a function's result is something else.
pub fn without_reserved(labels: &Labels) -> Labels {
    if labels.iter().all(|(name, _)| !is_reserved(name)) {
        return labels.clone();
    }
    labels.filter(|name| !is_reserved(name))
}

/// The metric name, and the type and unit labels that may stand beside it.
pub fn is_reserved(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// Whether the series stay distinct when their metric names go.
pub(crate) fn unique_without_name(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
            selector.metric_name().is_some()
        }
        ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) | ExprKind::Negate(inner) => {
            unique_without_name(inner)
        }
        ExprKind::Subquery(subquery) => unique_without_name(&subquery.expr),
        ExprKind::Aggregate(aggregate) => {
            if aggregate.op.keeps_samples() {
                return unique_without_name(&aggregate.expr);
            }
            aggregate.without || !aggregate.grouping.iter().any(|name| &**name == METRIC_NAME)
        }
        ExprKind::Binary(binary) => {
            let vector = |expr: &Expr| expr.value_type() == ValueType::Vector;
            match (vector(&binary.lhs), vector(&binary.rhs)) {
                (true, false) => unique_without_name(&binary.lhs),
                (false, true) => unique_without_name(&binary.rhs),
                _ => false,
            }
        }
        ExprKind::Call { function, args } => {
            function.id.keeps_series_distinct()
                && args.iter().all(|arg| {
                    !matches!(arg.value_type(), ValueType::Vector | ValueType::Matrix)
                        || unique_without_name(arg)
                })
        }
        ExprKind::Number(_) | ExprKind::String(_) => true,
    }
}

/// A series beside its labels' text and its points, in bytes: the structures, its key and its place in the table of keys.
const SERIES_BYTES: usize = 160;

/// Joins series with equal labels; an error where two have a point at one step.
pub(crate) struct Merger<'m, 'a> {
    eval: &'m Eval<'a>,
    keys: Keys,
    series: Vec<Series>,
}

impl<'m, 'a> Merger<'m, 'a> {
    pub(crate) fn new(eval: &'m Eval<'a>) -> Merger<'m, 'a> {
        Merger {
            eval,
            keys: Keys::new(KeyRule::all()),
            series: Vec::new(),
        }
    }

    /// Takes the column out of `column` where it is the first of its labels.
    pub(crate) fn add(
        &mut self,
        labels: &Labels,
        drop_name: bool,
        column: &mut Column,
    ) -> Result<(), QueryError> {
        let at = self.keys.find_or_add(labels);
        if at == self.series.len() {
            self.eval.hold(column.len() as u64)?;
            self.eval.hold_bytes(SERIES_BYTES + labels.bytes())?;
            let (labels, column) = (labels.clone(), std::mem::take(column));
            self.series.push(Series {
                labels,
                drop_name,
                column,
            });
            return Ok(());
        }
        let series = &mut self.series[at];
        if series.column.first_step() > column.first_step() {
            // Whether the name goes is decided where the series first appears.
            series.drop_name = drop_name;
        }
        if !series.column.merge(column) {
            return Err(execution(
                "vector cannot contain metrics with the same labelset",
            ));
        }
        Ok(())
    }

    pub(crate) fn into_series(self) -> Vec<Series> {
        self.series
    }

    pub(crate) fn finish(self, sink: &mut Sink<'_>) -> Result<(), QueryError> {
        for mut series in self.series {
            self.eval.release(series.column.len() as u64);
            self.eval
                .release_bytes(SERIES_BYTES + series.labels.bytes());
            sink(&series.labels, series.drop_name, &mut series.column)?;
        }
        Ok(())
    }
}

//! Aggregations: one pass over the input's series, each added to the columns of its group.
//!
//! Sums are compensated (Neumaier) in the order of the input, as Prometheus does it, so that they are equal to
//! its sums bit for bit where the order is. Budget: a float added at one step costs a few nanoseconds, no allocation.

use std::sync::Arc;

use crate::labels::Labels;
use crate::promql::QueryError;
use crate::promql::functions::math::{kahan_inc, quantile};
use crate::promql::plan::{Aggregate, AggregateOp, Expr};
use crate::promql::select::Projection;

use super::column::{ABSENT, Column, is_absent};
use super::group::{KeyRule, Keys};
use super::{Eval, Grid, Sink, not_yet};

impl Eval<'_> {
    pub(super) fn stream_aggregate(
        &self,
        expr: &Expr,
        aggregate: &Aggregate,
        grid: Grid,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let rule = if aggregate.without {
            KeyRule::without(&aggregate.grouping)
        } else {
            KeyRule::only(&aggregate.grouping)
        };
        match aggregate.op {
            AggregateOp::Sum
            | AggregateOp::Avg
            | AggregateOp::Count
            | AggregateOp::Min
            | AggregateOp::Max
            | AggregateOp::Group
            | AggregateOp::Stddev
            | AggregateOp::Stdvar => self.fold_groups(aggregate, rule, grid, sink),
            AggregateOp::Quantile => self.quantile_groups(expr, aggregate, rule, grid, sink),
            _ => Err(not_yet(expr, aggregate.op.as_str())),
        }
    }

    fn fold_groups(
        &self,
        aggregate: &Aggregate,
        rule: KeyRule,
        grid: Grid,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let need = if aggregate.without {
            Projection::All
        } else {
            Projection::Only(&aggregate.grouping)
        };
        let mut keys = Keys::new(rule);
        let mut groups: Vec<Fold> = Vec::new();
        self.stream(&aggregate.expr, grid, need, &mut |labels, _, column| {
            let at = keys.find_or_add(labels);
            if at == groups.len() {
                self.hold(grid.count as u64)?;
                groups.push(Fold::new(grid.count));
            }
            groups[at].add(aggregate.op, column);
            Ok(())
        })?;
        let mut column = Column::default();
        for (at, group) in groups.into_iter().enumerate() {
            self.release(grid.count as u64);
            column.floats = group.finish(aggregate.op);
            column.histograms.clear();
            sink(keys.key(at), false, &mut column)?;
        }
        Ok(())
    }

    fn quantile_groups(
        &self,
        expr: &Expr,
        aggregate: &Aggregate,
        rule: KeyRule,
        grid: Grid,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let Some(param) = &aggregate.param else {
            return Err(not_yet(expr, "quantile without parameter"));
        };
        let quantiles = self.scalar(param, grid)?;
        let series = self.collect(&aggregate.expr, grid)?;
        let mut keys = Keys::new(rule);
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (index, series) in series.iter().enumerate() {
            let at = keys.find_or_add(&series.labels);
            if at == members.len() {
                members.push(Vec::new());
            }
            members[at].push(index);
        }
        let mut values = Vec::new();
        for (at, members) in members.iter().enumerate() {
            let mut column = Column::absent(grid.count);
            for step in 0..grid.count {
                values.clear();
                values.extend(
                    members
                        .iter()
                        .map(|m| series[*m].column.floats[step])
                        .filter(|v| !is_absent(*v)),
                );
                if !values.is_empty() {
                    column.floats[step] = quantile(quantiles[step], &mut values);
                }
            }
            sink(keys.key(at), false, &mut column)?;
        }
        Ok(())
    }
}

/// The running state of one group, a place per step.
struct Fold {
    value: Vec<f64>,
    compensation: Vec<f64>,
    count: Vec<u32>,
}

impl Fold {
    fn new(steps: usize) -> Fold {
        Fold {
            value: vec![ABSENT; steps],
            compensation: vec![0.0; steps],
            count: vec![0; steps],
        }
    }

    fn add(&mut self, op: AggregateOp, column: &Column) {
        for (step, value) in column.floats.iter().copied().enumerate() {
            if is_absent(value) {
                continue;
            }
            self.count[step] += 1;
            let count = f64::from(self.count[step]);
            let (have, compensation) = (&mut self.value[step], &mut self.compensation[step]);
            if is_absent(*have) {
                *have = match op {
                    AggregateOp::Count | AggregateOp::Group => 1.0,
                    AggregateOp::Stddev | AggregateOp::Stdvar => {
                        // The mean lives in `compensation`, the sum of squares in `value`.
                        *compensation = value;
                        if value.is_finite() { 0.0 } else { f64::NAN }
                    }
                    _ => value,
                };
                continue;
            }
            match op {
                AggregateOp::Sum | AggregateOp::Avg => kahan_inc(value, have, compensation),
                AggregateOp::Count => *have = count,
                AggregateOp::Max if value > *have || have.is_nan() => *have = value,
                AggregateOp::Min if value < *have || have.is_nan() => *have = value,
                AggregateOp::Stddev | AggregateOp::Stdvar => {
                    let delta = value - *compensation;
                    *compensation += delta / count;
                    *have += delta * (value - *compensation);
                }
                _ => {}
            }
        }
    }

    fn finish(mut self, op: AggregateOp) -> Vec<f64> {
        for (step, value) in self.value.iter_mut().enumerate() {
            if is_absent(*value) {
                continue;
            }
            let (compensation, count) = (self.compensation[step], f64::from(self.count[step]));
            match op {
                AggregateOp::Sum => *value += compensation,
                AggregateOp::Avg => *value = (*value + compensation) / count,
                AggregateOp::Stdvar => *value /= count,
                AggregateOp::Stddev => *value = (*value / count).sqrt(),
                _ => {}
            }
        }
        self.value
    }
}

#[allow(dead_code)]
fn unused(_: &Labels, _: Arc<str>) {}

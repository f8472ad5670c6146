//! Aggregations that select series: `topk bottomk limitk limit_ratio`. Selected series keep their labels.

use crate::QueryError;
use crate::plan::{Aggregate, AggregateOp, Expr};
use stillwell_model::labels::{Labels, labels_hash};
use stillwell_model::number_text::go_float;

use super::super::column::{Column, Point, Series};
use super::super::{Eval, Grid, Sink, execution};
use super::extremes::Heap;

impl Eval<'_> {
    pub(super) fn select_k(
        &self,
        expr: &Expr,
        aggregate: &Aggregate,
        grid: Grid,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let params = self.param(aggregate, grid)?;
        self.check_k_params(aggregate, &params)?;
        let mut series = self.collect(&aggregate.expr, grid)?;
        let (_, groups) = super::members(&series, super::rule(aggregate));
        let mut kept: Vec<Column> = series.iter().map(|_| Column::absent(grid.count)).collect();
        let offsets = match aggregate.op {
            AggregateOp::LimitRatio => series
                .iter()
                .map(|series| ratio_offset(&series.labels))
                .collect(),
            _ => Vec::new(),
        };
        // An instant query shows them in order of rank.
        let (mut order, mut heap) = (Vec::new(), Heap::default());
        for (step, param) in params.iter().copied().enumerate() {
            order.clear();
            for members in &groups {
                let present = members
                    .iter()
                    .copied()
                    .filter(|m| series[*m].column.is_present(step));
                match aggregate.op {
                    AggregateOp::Topk | AggregateOp::Bottomk => {
                        self.extremes(
                            expr,
                            aggregate.op,
                            param,
                            &series,
                            present,
                            step,
                            &mut heap,
                            &mut order,
                        );
                    }
                    AggregateOp::Limitk => {
                        let limit = param.max(0.0) as usize;
                        order.extend(present.take(limit));
                    }
                    _ => order.extend(present.filter(|m| is_in_ratio(offsets[*m], param))),
                }
            }
            for member in &order {
                let point = series[*member].column.get(step);
                kept[*member].set(step, point);
            }
        }
        let emit: Vec<usize> = if grid.count == 1 {
            order
        } else {
            (0..series.len()).collect()
        };
        for member in emit {
            if !kept[member].is_empty() {
                let series = &mut series[member];
                sink(&series.labels, series.drop_name, &mut kept[member])?;
            }
        }
        Ok(())
    }

    fn check_k_params(&self, aggregate: &Aggregate, params: &[f64]) -> Result<(), QueryError> {
        let ratio = aggregate.op == AggregateOp::LimitRatio;
        for param in params {
            if param.is_nan() {
                let what = if ratio { "Ratio" } else { "Parameter" };
                return Err(execution(format!("{what} value is NaN")));
            }
            if ratio && param.abs() > 1.0 {
                let span = aggregate
                    .param
                    .as_ref()
                    .map_or(aggregate.expr.span, |param| param.span);
                let (got, to) = (go_float(*param), if *param > 0.0 { "1" } else { "-1" });
                let message =
                    format!("ratio value should be between -1 and 1, got {got}, capping to {to}");
                self.warn(span, message);
            }
            if !ratio && *param >= INT_END {
                return Err(execution(format!(
                    "Scalar value {} overflows int64",
                    go_float(*param)
                )));
            }
            if !ratio && *param < -INT_END {
                return Err(execution(format!(
                    "Scalar value {} underflows int64",
                    go_float(*param)
                )));
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn extremes(
        &self,
        expr: &Expr,
        op: AggregateOp,
        k: f64,
        series: &[Series],
        present: impl Iterator<Item = usize>,
        step: usize,
        heap: &mut Heap,
        order: &mut Vec<usize>,
    ) {
        let k = (k.max(0.0) as usize).min(series.len());
        if k == 0 {
            return;
        }
        heap.start(op == AggregateOp::Topk);
        for member in present {
            match series[member].column.get(step) {
                Point::Float(value) => heap.offer(k, value, member),
                _ => self.info(
                    expr.span,
                    format!("ignored histogram in {} aggregation", op.as_str()),
                ),
            }
        }
        heap.finish(|member| order.push(member));
    }
}

/// Two to the 63rd: where the integers of Go end.
const INT_END: f64 = 9_223_372_036_854_775_808.0;

/// The integer that the parameter of `topk`, `bottomk` or `limitk` means, at least 0; `None` where it is refused.
pub fn int_param(param: f64) -> Option<usize> {
    (-INT_END..INT_END)
        .contains(&param)
        .then_some(param.max(0.0) as usize)
}

/// For `limit_ratio`: a number in `0..=1` that depends on the labels alone.
fn ratio_offset(labels: &Labels) -> f64 {
    labels_hash(labels) as f64 / u64::MAX as f64
}

/// Whether `limit_ratio` selects a series; a negative ratio selects the complement of `1 + ratio`.
fn is_in_ratio(offset: f64, ratio: f64) -> bool {
    let ratio = ratio.clamp(-1.0, 1.0);
    match ratio >= 0.0 {
        true => offset < ratio,
        false => offset >= 1.0 + ratio,
    }
}

//! Aggregations that select series: `topk bottomk limitk limit_ratio`. Selected series keep their labels.

use crate::QueryError;
use crate::plan::{Aggregate, AggregateOp, Expr};
use stillwell_model::number_text::go_float;

use super::super::column::{Column, Point, Series};
use super::super::{Eval, Grid, Sink, execution};
use super::labels_hash::labels_hash;

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
            AggregateOp::LimitRatio => hash_offsets(&series),
            _ => Vec::new(),
        };
        // An instant query shows them in order of rank.
        let mut order = Vec::new();
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
            if !ratio && *param >= 9_223_372_036_854_775_807.0 {
                return Err(execution(format!(
                    "Scalar value {} overflows int64",
                    go_float(*param)
                )));
            }
            if !ratio && *param < -9_223_372_036_854_775_808.0 {
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
        order: &mut Vec<usize>,
    ) {
        let k = (k.max(0.0) as usize).min(series.len());
        if k == 0 {
            return;
        }
        let mut heap = Heap {
            items: Vec::with_capacity(k),
            top: op == AggregateOp::Topk,
        };
        for member in present {
            match series[member].column.get(step) {
                Point::Float(value) => heap.offer(k, value, member),
                _ => self.info(
                    expr.span,
                    format!("ignored histogram in {} aggregation", op.as_str()),
                ),
            }
        }
        order.extend(heap.into_order());
    }
}

/// For each series a number in `0..=1` that depends on its labels alone.
fn hash_offsets(series: &[Series]) -> Vec<f64> {
    series
        .iter()
        .map(|series| labels_hash(&series.labels) as f64 / u64::MAX as f64)
        .collect()
}

/// Whether `limit_ratio` selects a series; a negative ratio selects the complement of `1 + ratio`.
fn is_in_ratio(offset: f64, ratio: f64) -> bool {
    let ratio = ratio.clamp(-1.0, 1.0);
    match ratio >= 0.0 {
        true => offset < ratio,
        false => offset >= 1.0 + ratio,
    }
}

/// Go's container/heap with Prometheus' comparison: which of several equal samples stays depends on the heap's own
/// moves, so they are the same here.
struct Heap {
    items: Vec<(f64, usize)>,
    top: bool,
}

impl Heap {
    /// Whether `a` is nearer to being thrown out.
    fn less(&self, a: f64, b: f64) -> bool {
        if a.is_nan() {
            return true;
        }
        if self.top { a < b } else { a > b }
    }

    fn offer(&mut self, k: usize, value: f64, member: usize) {
        if self.items.len() < k {
            self.items.push((value, member));
            self.up();
            return;
        }
        let worst = self.items[0].0;
        let better = if self.top {
            worst < value
        } else {
            worst > value
        };
        if better || (worst.is_nan() && !value.is_nan()) {
            self.items[0] = (value, member);
            self.down();
        }
    }

    fn up(&mut self) {
        let mut at = self.items.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.less(self.items[at].0, self.items[parent].0) {
                return;
            }
            self.items.swap(at, parent);
            at = parent;
        }
    }

    fn down(&mut self) {
        let (mut at, count) = (0, self.items.len());
        loop {
            let mut child = 2 * at + 1;
            if child >= count {
                return;
            }
            if child + 1 < count && self.less(self.items[child + 1].0, self.items[child].0) {
                child += 1;
            }
            if !self.less(self.items[child].0, self.items[at].0) {
                return;
            }
            self.items.swap(at, child);
            at = child;
        }
    }

    /// Best first; NaN last.
    fn into_order(self) -> impl Iterator<Item = usize> {
        let Heap { mut items, top } = self;
        items.sort_by(|a, b| match (a.0.is_nan(), b.0.is_nan()) {
            (false, false) => {
                let order = a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal);
                if top { order.reverse() } else { order }
            }
            (a, b) => a.cmp(&b),
        });
        items.into_iter().map(|(_, member)| member)
    }
}

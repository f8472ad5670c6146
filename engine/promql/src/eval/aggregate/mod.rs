//! Aggregations: one pass over the input's series, each added to its group.

mod count_values;
mod extremes;
mod fold;
mod histograms;
mod quantile;
mod topk;

use crate::QueryError;
use crate::plan::{Aggregate, AggregateOp, Expr, ExprKind};
use crate::select::Projection;
use stillwell_model::labels::Labels;

use super::column::Series;
use super::group::{KeyRule, Keys};
use super::{Eval, Grid, Sink, execution};

pub use extremes::Heap;
pub use topk::int_param;

impl Eval<'_> {
    pub(super) fn stream_aggregate(
        &self,
        expr: &Expr,
        aggregate: &Aggregate,
        grid: Grid,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        match aggregate.op {
            AggregateOp::Sum
            | AggregateOp::Avg
            | AggregateOp::Count
            | AggregateOp::Min
            | AggregateOp::Max
            | AggregateOp::Group
            | AggregateOp::Stddev
            | AggregateOp::Stdvar => self.fold_groups(aggregate, grid, sink),
            AggregateOp::Quantile => self.quantile_groups(aggregate, grid, sink),
            AggregateOp::CountValues => self.count_values(aggregate, grid, sink),
            AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio => self.select_k(expr, aggregate, grid, sink),
        }
    }

    /// The scalar parameter, a value per step.
    fn param(&self, aggregate: &Aggregate, grid: Grid) -> Result<Vec<f64>, QueryError> {
        match &aggregate.param {
            Some(param) => self.scalar(param, grid),
            None => Err(execution("the aggregation has no parameter")),
        }
    }
}

/// What makes a group.
fn rule(aggregate: &Aggregate) -> KeyRule {
    if aggregate.without {
        KeyRule::without(&aggregate.grouping)
    } else {
        KeyRule::only(&aggregate.grouping)
    }
}

/// Which labels an aggregation looks at.
fn need(aggregate: &Aggregate) -> Projection<'_> {
    if aggregate.without {
        Projection::All
    } else {
        Projection::Only(&aggregate.grouping)
    }
}

/// The metric name of an input series, also where the view left it out.
fn metric_name<'a>(aggregate: &'a Aggregate, labels: &'a Labels) -> &'a str {
    let selector_name = match &aggregate.expr.bare().kind {
        ExprKind::Selector(selector) => selector.metric_name(),
        _ => None,
    };
    labels.metric_name().or(selector_name).unwrap_or("")
}

/// Which series are in which group.
fn members(series: &[Series], rule: KeyRule) -> (Keys, Vec<Vec<usize>>) {
    let mut keys = Keys::new(rule);
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (index, series) in series.iter().enumerate() {
        let at = keys.find_or_add(&series.labels);
        if at == members.len() {
            members.push(Vec::new());
        }
        members[at].push(index);
    }
    (keys, members)
}

//! The kind of a query (S7): whether its absence can mean 0, and whether it has a grace after a restart.

use crate::promql::FunctionId;
use crate::promql::plan::{AggregateOp, BinaryOp, Expr, ExprKind};

use super::expr::{number, peel};
use crate::signal::names::Names;

/// Kinds of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sum, or a `max` over a demand family: it has a grace after a restart, and absence can mean 0.
    Demand,
    /// A sum of families that do not measure demand: absence can mean 0.
    Sum,
    /// Anything else.
    Other,
}

pub(super) fn kind(expr: &Expr, names: &Names) -> Kind {
    let mut metrics = Vec::new();
    if !is_sum(expr, &mut metrics) && !is_max(expr, names, &mut metrics) {
        return Kind::Other;
    }
    let all_demand = metrics.iter().all(|metric| {
        metric
            .as_deref()
            .is_some_and(|metric| names.is_demand(metric))
    });
    if all_demand { Kind::Demand } else { Kind::Sum }
}

/// Sum or count of instant selectors, and +, *, / by a positive constant, clamps, and averages over time of such.
fn is_sum(expr: &Expr, metrics: &mut Vec<Option<String>>) -> bool {
    match &peel(expr).kind {
        ExprKind::Aggregate(aggregate)
            if matches!(aggregate.op, AggregateOp::Sum | AggregateOp::Count) =>
        {
            is_instant(&aggregate.expr, metrics) || is_sum(&aggregate.expr, metrics)
        }
        ExprKind::Binary(binary) => match binary.op {
            BinaryOp::Add => is_sum(&binary.lhs, metrics) && is_sum(&binary.rhs, metrics),
            BinaryOp::Mul => {
                let positive = |side: &Expr| number(side).is_some_and(|c| c > 0.0);
                (positive(&binary.rhs) && is_sum(&binary.lhs, metrics))
                    || (positive(&binary.lhs) && is_sum(&binary.rhs, metrics))
            }
            BinaryOp::Div => {
                number(&binary.rhs).is_some_and(|c| c > 0.0) && is_sum(&binary.lhs, metrics)
            }
            _ => false,
        },
        ExprKind::Call { function, args } => match function.id {
            FunctionId::Clamp | FunctionId::ClampMax | FunctionId::ClampMin => {
                args.first().is_some_and(|arg| is_sum(arg, metrics))
            }
            FunctionId::AvgOverTime | FunctionId::MaxOverTime => {
                match args.first().map(|arg| &peel(arg).kind) {
                    Some(ExprKind::Subquery(subquery)) => is_sum(&subquery.expr, metrics),
                    _ => false,
                }
            }
            _ => false,
        },
        _ => false,
    }
}

fn is_max(expr: &Expr, names: &Names, metrics: &mut Vec<Option<String>>) -> bool {
    metrics.clear();
    match &peel(expr).kind {
        ExprKind::Aggregate(aggregate) if aggregate.op == AggregateOp::Max => {
            is_instant(&aggregate.expr, metrics)
                && metrics
                    .iter()
                    .all(|m| m.as_deref().is_some_and(|m| names.is_demand(m)))
        }
        _ => false,
    }
}

/// An instant selector, or its average or maximum over time, possibly clamped.
fn is_instant(expr: &Expr, metrics: &mut Vec<Option<String>>) -> bool {
    match &peel(expr).kind {
        ExprKind::Selector(selector) => {
            metrics.push(selector.metric_name().map(str::to_owned));
            true
        }
        ExprKind::Call { function, args } => match function.id {
            FunctionId::Clamp | FunctionId::ClampMax | FunctionId::ClampMin => {
                args.first().is_some_and(|arg| is_instant(arg, metrics))
            }
            FunctionId::AvgOverTime | FunctionId::MaxOverTime => {
                match args.first().map(|arg| &peel(arg).kind) {
                    Some(ExprKind::Range { selector, .. }) => {
                        metrics.push(selector.metric_name().map(str::to_owned));
                        true
                    }
                    _ => false,
                }
            }
            _ => false,
        },
        _ => false,
    }
}

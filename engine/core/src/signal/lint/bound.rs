//! How large a query can be, and how far back it reads.

use super::super::names::{Measure, Names};
use super::super::query::{ParseOptions, SignalQuery};
use super::expression::{keeps_measure, measure, peel};
use crate::promql::plan::{AggregateOp, BinaryOp, Expr, ExprKind};
use crate::promql::{Features, FunctionId, Query, QueryError};

/// How far back a query reads, in milliseconds; `None` where that depends on when it is asked (`@`).
pub fn window_ms(text: &str, features: &Features) -> Result<Option<i64>, QueryError> {
    let query = SignalQuery::parse(
        text,
        &Names::default(),
        &ParseOptions {
            features: *features,
            ..ParseOptions::default()
        },
    )?;
    Ok((!query.has_open_window()).then(|| query.window_ms()))
}

/// A query that cannot be above a number, because it is made of shares of a capacity.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The metric that goes from 0 to 1.
    pub metric: String,
    /// The most that the query can be.
    pub most: f64,
}

/// The most that a query can be, where it is a share (0 to 1), its mean, least or most, and numbers that it is multiplied by or
/// divided by. `None`: nothing is known.
pub fn bound(text: &str, names: &Names, features: &Features) -> Result<Option<Bound>, QueryError> {
    let query = Query::parse(text, features)?;
    Ok(bound_of(query.plan(), names))
}

fn bound_of(expr: &Expr, names: &Names) -> Option<Bound> {
    let times = |bound: Bound, factor: f64| Bound {
        most: bound.most * factor,
        ..bound
    };
    match &expr.kind {
        ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => bound_of(inner, names),
        ExprKind::Aggregate(aggregate)
            if aggregate.op != AggregateOp::Sum && keeps_measure(aggregate.op) =>
        {
            bound_of(&aggregate.expr, names)
        }
        ExprKind::Call { function, args } => match function.id {
            FunctionId::AvgOverTime | FunctionId::MaxOverTime | FunctionId::MinOverTime => {
                bound_of(args.first()?, names)
            }
            _ => None,
        },
        ExprKind::Binary(binary) => {
            let number = |expr: &Expr| match &peel(expr).kind {
                ExprKind::Number(number) if *number > 0.0 => Some(*number),
                _ => None,
            };
            match (binary.op, number(&binary.lhs), number(&binary.rhs)) {
                (BinaryOp::Mul, None, Some(factor)) => {
                    Some(times(bound_of(&binary.lhs, names)?, factor))
                }
                (BinaryOp::Mul, Some(factor), None) => {
                    Some(times(bound_of(&binary.rhs, names)?, factor))
                }
                (BinaryOp::Div, None, Some(divisor)) => {
                    Some(times(bound_of(&binary.lhs, names)?, 1.0 / divisor))
                }
                _ => None,
            }
        }
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
            let metric = selector.metric_name()?;
            let is_share = measure(metric, names) == Measure::Utilisation;
            is_share.then(|| Bound {
                metric: metric.to_owned(),
                most: 1.0,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_bounded_by_its_factor_and_a_sum_of_shares_by_nothing() {
        for (query, most) in [
            ("max(vllm:kv_cache_usage_perc)", Some(1.0)),
            ("avg by (pod) (vllm:kv_cache_usage_perc) * 100", Some(100.0)),
            (
                "100 * (max_over_time(vllm:kv_cache_usage_perc[5m]))",
                Some(100.0),
            ),
            ("vllm:kv_cache_usage_perc / 2", Some(0.5)),
            ("sum(vllm:kv_cache_usage_perc)", None),
            ("max(vllm:kv_cache_usage_perc) + 1", None),
            ("max(vllm:num_requests_waiting)", None),
            ("count(vllm:kv_cache_usage_perc)", None),
        ] {
            let bound = bound(query, &Names::default(), &Features::default());
            let bound = bound.expect("valid").map(|bound| bound.most);
            assert_eq!(bound, most, "{query}");
        }
    }
}

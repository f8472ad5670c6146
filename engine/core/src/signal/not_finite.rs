//! S5 for the samples that a query reads: a gauge that is NaN says that nobody knows its value, and `max`, a comparison or
//! a `count` would leave it out or make a number of it. For each selector of which the result would not show a NaN there
//! is a query for the series that are NaN.
//!
//! Cost: a second reading of those selectors with each evaluation. A sum, an average, arithmetic and what is made of them
//! hand a NaN on; for them there is no such query.

use crate::promql::plan::{AggregateOp, BinaryOp, Expr, ExprKind, Selector};
use crate::promql::{FunctionId, Query};

/// The queries for one query.
pub(super) fn queries(query: &Query) -> Vec<Query> {
    let mut hidden: Vec<&Selector> = Vec::new();
    collect(query.plan(), false, &mut hidden);
    let mut found: Vec<&Selector> = Vec::new();
    for selector in hidden {
        let reads_the_same = |have: &&Selector| {
            (&have.matchers, &have.offset, have.at)
                == (&selector.matchers, &selector.offset, selector.at)
        };
        if !found.iter().any(reads_the_same) {
            found.push(selector);
        }
    }
    let found = found.into_iter();
    found.map(|selector| query.not_finite(selector)).collect()
}

/// Collects the selectors below something that hides a NaN.
fn collect<'e>(expr: &'e Expr, hidden: bool, found: &mut Vec<&'e Selector>) {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
            if hidden {
                found.push(selector);
            }
        }
        ExprKind::Subquery(subquery) => collect(&subquery.expr, hidden, found),
        ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
            collect(inner, hidden, found);
        }
        ExprKind::Aggregate(aggregate) => {
            collect(&aggregate.expr, hidden || !sums(aggregate.op), found);
            if let Some(param) = &aggregate.param {
                collect(param, true, found);
            }
        }
        ExprKind::Call { function, args } => {
            for arg in args {
                collect(arg, hidden || !keeps_nan(function.id), found);
            }
        }
        ExprKind::Binary(binary) => match binary.op {
            // Only whether an element is there counts on the right.
            BinaryOp::And | BinaryOp::Unless => collect(&binary.lhs, hidden, found),
            op => {
                let hidden = hidden || !is_arithmetic(op);
                collect(&binary.lhs, hidden, found);
                collect(&binary.rhs, hidden, found);
            }
        },
    }
}

/// Whether an aggregation with one NaN among its elements is NaN.
fn sums(op: AggregateOp) -> bool {
    matches!(
        op,
        AggregateOp::Sum | AggregateOp::Avg | AggregateOp::Stddev | AggregateOp::Stdvar
    )
}

/// Whether an operator with a NaN on one side yields NaN. `NaN ^ 0` is 1; of `or` only what is left out is not shown.
fn is_arithmetic(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Atan2
            | BinaryOp::Or
    )
}

/// Whether a function of NaN is NaN. The newest sample is in every window.
fn keeps_nan(function: FunctionId) -> bool {
    matches!(
        function,
        FunctionId::Abs
            | FunctionId::AvgOverTime
            | FunctionId::Ceil
            | FunctionId::Clamp
            | FunctionId::ClampMax
            | FunctionId::ClampMin
            | FunctionId::Delta
            | FunctionId::Deriv
            | FunctionId::Exp
            | FunctionId::Floor
            | FunctionId::Idelta
            | FunctionId::Increase
            | FunctionId::Irate
            | FunctionId::LabelJoin
            | FunctionId::LabelReplace
            | FunctionId::Ln
            | FunctionId::Log10
            | FunctionId::Log2
            | FunctionId::PredictLinear
            | FunctionId::Rate
            | FunctionId::Round
            | FunctionId::Scalar
            | FunctionId::Sgn
            | FunctionId::Sort
            | FunctionId::SortByLabel
            | FunctionId::SortByLabelDesc
            | FunctionId::SortDesc
            | FunctionId::Sqrt
            | FunctionId::SumOverTime
            | FunctionId::Vector
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::Features;

    #[test]
    fn there_is_a_query_for_each_selector_of_which_the_result_would_not_show_a_nan() {
        for (text, count) in [
            ("sum(q)", 0),
            ("ceil(sum(q) / 5) + avg(r)", 0),
            ("sum(avg_over_time(q[1m]))", 0),
            ("round(sum by (pool) (q)) or vector(0)", 0),
            ("max(q)", 1),
            ("count(q) + count(q)", 1),
            ("sum(q > 0)", 1),
            ("q > bool r", 2),
            ("sum(q) ^ 0", 1),
            ("sum(max_over_time(q[1m]))", 1),
            ("sum(rate(q[1m]))", 0),
            ("histogram_quantile(0.9, rate(q[1m]))", 1),
            ("q and r", 0),
            ("q unless r > 2", 0),
            ("topk(scalar(r), q)", 2),
            ("max(max_over_time(sum(q)[5m:]))", 1),
            ("timestamp(q)", 1),
        ] {
            let query = Query::parse(text, &Features::default()).expect(text);
            assert_eq!(queries(&query).len(), count, "{text}");
        }
    }
}

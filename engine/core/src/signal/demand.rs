//! How a query depends on demand (S6b, S7): whether it reads families that measure demand, and whether its result rises with
//! them. After a restart queues are empty for a moment, and so is whatever is computed from them, in whatever form.

use crate::labels::{METRIC_NAME, Matcher};
use crate::promql::FunctionId;
use crate::promql::plan::{AggregateOp, BinaryOp, Expr, ExprKind};

use super::names::Names;

/// How a result depends on families that measure demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Demand {
    /// It reads none.
    None,
    /// It is never less where there is more demand.
    Rising,
    /// It reads some, and may be less where there is more.
    Any,
}

impl Demand {
    /// That of an expression.
    pub(super) fn of(expr: &Expr, names: &Names) -> Demand {
        let of = |expr: &Expr| Demand::of(expr, names);
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) => Demand::None,
            ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
                match reads_demand(selector.metric_name(), &selector.matchers, names) {
                    true => Demand::Rising,
                    false => Demand::None,
                }
            }
            ExprKind::Subquery(subquery) => of(&subquery.expr),
            ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => of(inner),
            ExprKind::Negate(inner) => of(inner).not_rising(),
            ExprKind::Aggregate(aggregate) => {
                let inner = of(&aggregate.expr);
                let param = aggregate.param.as_ref().map_or(Demand::None, of);
                match is_rising_aggregate(aggregate.op) {
                    true => inner.max(param.not_rising()),
                    false => inner.max(param).not_rising(),
                }
            }
            ExprKind::Call { function, args } => {
                let all = args.iter().map(of).max().unwrap_or(Demand::None);
                match is_rising_function(function.id) {
                    true => all,
                    false => all.not_rising(),
                }
            }
            ExprKind::Binary(binary) => {
                let (left, right) = (of(&binary.lhs), of(&binary.rhs));
                combined(binary.op, (left, &binary.lhs), (right, &binary.rhs))
            }
        }
    }

    /// The same of something that may fall where this rises.
    fn not_rising(self) -> Demand {
        match self {
            Demand::None => Demand::None,
            Demand::Rising | Demand::Any => Demand::Any,
        }
    }
}

fn combined(op: BinaryOp, left: (Demand, &Expr), right: (Demand, &Expr)) -> Demand {
    let ((left, lhs), (right, rhs)) = (left, right);
    let is_positive = |expr: &Expr| constant(expr).is_some_and(|number| number > 0.0);
    match op {
        BinaryOp::Add | BinaryOp::Or | BinaryOp::And => left.max(right),
        BinaryOp::Sub | BinaryOp::Unless | BinaryOp::Gtr | BinaryOp::Gte => {
            left.max(right.not_rising())
        }
        BinaryOp::Lss | BinaryOp::Lte => left.not_rising().max(right),
        BinaryOp::Mul if is_positive(lhs) => right,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Pow if is_positive(rhs) => left,
        _ => left.max(right).not_rising(),
    }
}

/// The number that an expression of numbers alone is.
fn constant(expr: &Expr) -> Option<f64> {
    match &expr.kind {
        ExprKind::Number(number) => Some(*number),
        ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => constant(inner),
        ExprKind::Negate(inner) => constant(inner).map(|number| -number),
        ExprKind::Binary(binary) => {
            let (left, right) = (constant(&binary.lhs)?, constant(&binary.rhs)?);
            match binary.op {
                BinaryOp::Add => Some(left + right),
                BinaryOp::Sub => Some(left - right),
                BinaryOp::Mul => Some(left * right),
                BinaryOp::Div => Some(left / right),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether a selector may read a family of demand. One that names no metric may, where its conditions fit such a name.
pub(super) fn reads_demand(metric: Option<&str>, matchers: &[Matcher], names: &Names) -> bool {
    match metric {
        Some(metric) => names.is_demand(metric),
        None => names.demand_families().any(|family| {
            let of_name = |matcher: &&Matcher| matcher.name() == METRIC_NAME;
            let mut of_name = matchers.iter().filter(of_name);
            of_name.all(|matcher| matcher.matches(family))
        }),
    }
}

fn is_rising_aggregate(op: AggregateOp) -> bool {
    match op {
        AggregateOp::Sum
        | AggregateOp::Avg
        | AggregateOp::Count
        | AggregateOp::Min
        | AggregateOp::Max
        | AggregateOp::Group
        | AggregateOp::Topk
        | AggregateOp::Bottomk
        | AggregateOp::Quantile
        | AggregateOp::Limitk
        | AggregateOp::LimitRatio => true,
        AggregateOp::Stddev | AggregateOp::Stdvar | AggregateOp::CountValues => false,
    }
}

fn is_rising_function(function: FunctionId) -> bool {
    matches!(
        function,
        FunctionId::Abs
            | FunctionId::AvgOverTime
            | FunctionId::Ceil
            | FunctionId::Clamp
            | FunctionId::ClampMax
            | FunctionId::ClampMin
            | FunctionId::CountOverTime
            | FunctionId::Exp
            | FunctionId::FirstOverTime
            | FunctionId::Floor
            | FunctionId::LabelJoin
            | FunctionId::LabelReplace
            | FunctionId::LastOverTime
            | FunctionId::Ln
            | FunctionId::Log10
            | FunctionId::Log2
            | FunctionId::MaxOf
            | FunctionId::MaxOverTime
            | FunctionId::MinOf
            | FunctionId::MinOverTime
            | FunctionId::PresentOverTime
            | FunctionId::QuantileOverTime
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
    use crate::promql::{Features, Query};

    #[test]
    fn what_rises_with_demand_is_known_from_the_operators() {
        const QUEUE: &str = "inference_extension_flow_control_queue_size";
        for (text, expected) in [
            ("sum(other)", Demand::None),
            ("Q", Demand::Rising),
            ("sum(Q)", Demand::Rising),
            ("ceil(sum(Q) / 5) - 0", Demand::Rising),
            ("avg(Q) * 2 + sum(other)", Demand::Rising),
            ("sum(Q > 0) or vector(0)", Demand::Rising),
            ("sum(Q) > bool 0", Demand::Rising),
            ("3 < Q", Demand::Rising),
            ("sum(Q) / (5)", Demand::Rising),
            ("sum(Q) * (1 / 5)", Demand::Rising),
            ("scalar(max(last_over_time(Q[1s])))", Demand::Rising),
            (
                "sum({__name__=~\".*flow_control_queue_size\"})",
                Demand::Rising,
            ),
            ("sum({__name__=~\"up|down\"})", Demand::None),
            ("label_replace(Q, \"a\", \"b\", \"\", \"\")", Demand::Rising),
            ("-sum(Q)", Demand::Any),
            ("10 - sum(Q)", Demand::Any),
            ("sum(other) / sum(Q)", Demand::Any),
            ("sum(Q) / sum(other)", Demand::Any),
            ("Q == 0", Demand::Any),
            ("absent(Q > 0)", Demand::Any),
            ("deriv(Q[1m])", Demand::Any),
            ("topk(scalar(sum(Q)), other)", Demand::Any),
        ] {
            let query = Query::parse(&text.replace('Q', QUEUE), &Features::default()).expect(text);
            let found = Demand::of(query.plan(), &Names::default());
            assert_eq!(found, expected, "{text}");
        }
    }
}

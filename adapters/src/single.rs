//! Whether a query yields one element at most by its form, whatever there is: what reads one number takes no other query.

use stillwell_engine::labels::{MatchOp, Matcher};
use stillwell_engine::promql::FunctionId;
use stillwell_engine::promql::plan::{
    Aggregate, AggregateOp, Binary, BinaryOp, Cardinality, Expr, ExprKind, ValueType,
};

/// The label that the buckets of a classic histogram differ in.
const BUCKET_LABEL: &str = "le";

/// Whether there is never more than one element; a scalar is one.
pub fn is_single(expr: &Expr) -> bool {
    match &expr.bare().kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::Selector(_) | ExprKind::Range { .. } => false,
        ExprKind::Subquery(subquery) => is_single(&subquery.expr),
        ExprKind::Negate(inner) => is_single(inner),
        ExprKind::Aggregate(aggregate) => is_single_aggregate(aggregate, None),
        ExprKind::Binary(binary) => is_single_binary(binary),
        ExprKind::Call { function, args } => match function.id {
            FunctionId::Absent
            | FunctionId::AbsentOverTime
            | FunctionId::Scalar
            | FunctionId::Vector => true,
            FunctionId::HistogramQuantiles => false,
            FunctionId::HistogramQuantile | FunctionId::HistogramFraction => {
                args.last().is_some_and(is_single_but_for_buckets)
            }
            _ => args.iter().all(|arg| !is_vector(arg) || is_single(arg)),
        },
        // `bare` leaves none of them.
        ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => is_single(inner),
    }
}

fn is_vector(expr: &Expr) -> bool {
    matches!(expr.value_type(), ValueType::Vector | ValueType::Matrix)
}

fn is_single_but_for_buckets(expr: &Expr) -> bool {
    match &expr.bare().kind {
        ExprKind::Aggregate(aggregate) => is_single_aggregate(aggregate, Some(BUCKET_LABEL)),
        _ => is_single(expr),
    }
}

/// Of an aggregation; its result may differ in the label `but_for`.
fn is_single_aggregate(aggregate: &Aggregate, but_for: Option<&str>) -> bool {
    let is_one_group = || {
        let is_constant = |label: &str| Some(label) == but_for || is_pinned(&aggregate.expr, label);
        !aggregate.without && aggregate.grouping.iter().all(|label| is_constant(label))
    };
    let is_one_number = match aggregate.op {
        AggregateOp::CountValues | AggregateOp::LimitRatio => false,
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk => {
            let count = aggregate.param.as_ref().map(|param| &param.bare().kind);
            matches!(count, Some(ExprKind::Number(count)) if *count < 2.0)
        }
        _ => true,
    };
    (is_one_number && is_one_group()) || is_single(&aggregate.expr)
}

/// Whether every selector of an expression asks for one value of a label, and nothing writes another one.
fn is_pinned(expr: &Expr, label: &str) -> bool {
    let (mut selectors, mut pinned) = (0, true);
    let pins = |matchers: &[Matcher]| {
        let mut matchers = matchers.iter();
        matchers.any(|one| one.name() == label && one.op() == MatchOp::Equal)
    };
    expr.walk(&mut |inner| match &inner.kind {
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
            selectors += 1;
            pinned &= pins(&selector.matchers);
        }
        ExprKind::Call { function, .. } => {
            pinned &= !matches!(
                function.id,
                FunctionId::LabelReplace | FunctionId::LabelJoin | FunctionId::Info
            );
        }
        ExprKind::Aggregate(aggregate) => pinned &= aggregate.op != AggregateOp::CountValues,
        _ => {}
    });
    pinned && selectors > 0
}

fn is_single_binary(binary: &Binary) -> bool {
    match (is_vector(&binary.lhs), is_vector(&binary.rhs)) {
        (false, false) => return true,
        (true, false) => return is_single(&binary.lhs),
        (false, true) => return is_single(&binary.rhs),
        (true, true) => {}
    }
    let both = || is_single(&binary.lhs) && is_single(&binary.rhs);
    let is_filled = binary.matching.fill_left.is_some() || binary.matching.fill_right.is_some();
    match (binary.op, binary.matching.cardinality) {
        (BinaryOp::And | BinaryOp::Unless, _) => is_single(&binary.lhs),
        (BinaryOp::Or, _) => both() && replaces(binary),
        _ if is_filled => both(),
        (_, Cardinality::ManyToOne) => is_single(&binary.lhs),
        (_, Cardinality::OneToMany) => is_single(&binary.rhs),
        _ => is_single(&binary.lhs) || is_single(&binary.rhs),
    }
}

/// Whether the element on the right of an `or` stands in for that on the left, and never beside it.
fn replaces(binary: &Binary) -> bool {
    let matching = &binary.matching;
    (matching.on && matching.labels.is_empty())
        || (is_unlabelled(&binary.lhs) && is_unlabelled(&binary.rhs))
}

/// Whether no element has a label.
fn is_unlabelled(expr: &Expr) -> bool {
    match &expr.bare().kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::Selector(_) | ExprKind::Range { .. } => false,
        ExprKind::Subquery(subquery) => is_unlabelled(&subquery.expr),
        ExprKind::Aggregate(aggregate) => {
            aggregate.is_one_number() || is_unlabelled(&aggregate.expr)
        }
        ExprKind::Binary(binary) => {
            let is_many = binary.matching.cardinality == Cardinality::OneToMany;
            match is_many {
                true => is_unlabelled(&binary.rhs),
                false => is_unlabelled(&binary.lhs) && is_unlabelled(&binary.rhs),
            }
        }
        ExprKind::Call { function, args } => match function.id {
            FunctionId::Vector | FunctionId::Scalar => true,
            FunctionId::Absent
            | FunctionId::AbsentOverTime
            | FunctionId::Info
            | FunctionId::LabelJoin
            | FunctionId::LabelReplace => false,
            FunctionId::HistogramQuantile | FunctionId::HistogramFraction => {
                args.last().is_some_and(|arg| match &arg.bare().kind {
                    ExprKind::Aggregate(aggregate) => {
                        let mut labels = aggregate.grouping.iter();
                        !aggregate.without && labels.all(|label| &**label == BUCKET_LABEL)
                    }
                    _ => is_unlabelled(arg),
                })
            }
            _ => args.iter().filter(|arg| is_vector(arg)).all(is_unlabelled),
        },
        ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
            is_unlabelled(inner)
        }
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::promql::{Features, Query};

    use super::*;

    #[test]
    fn queries_of_one_element_are_told_from_those_of_several() {
        for (text, single) in [
            ("1 + time()", true),
            ("sum(x)", true),
            ("quantile(0.9, x)", true),
            ("sum by (a) (x)", false),
            ("sum by (a) (x{a=\"b\"})", true),
            ("sum by (a) (x{a=\"b\"} + y)", false),
            (
                "sum by (a) (label_replace(x{a=\"b\"}, \"a\", \"$1\", \"c\", \"(.*)\"))",
                false,
            ),
            ("sum by () (x)", true),
            ("sum without (a) (x)", false),
            ("topk(1, x)", true),
            ("topk(3, x)", false),
            ("topk(3, sum(x))", true),
            ("count_values(\"v\", x)", false),
            ("x", false),
            ("rate(x[5m])", false),
            ("max_over_time(sum(x)[5m:])", true),
            ("ceil(sum(x) / 5)", true),
            ("x / sum(x)", true),
            ("x / on() group_left sum(x)", false),
            ("sum(x) * on() group_left y", true),
            ("sum(x) and y", true),
            ("x and sum(y)", false),
            ("sum(x) or vector(0)", true),
            ("x or vector(0)", false),
            ("topk(1, x) or vector(0)", false),
            ("topk(1, x) or on() vector(0)", true),
            ("sum by (a) (x{a=\"b\"}) or vector(0)", false),
            ("ceil(sum(x) / 5) or vector(0)", true),
            (
                "histogram_quantile(0.9, sum by (le) (rate(x[5m]))) or vector(0)",
                true,
            ),
            ("absent(x)", true),
            ("scalar(x)", true),
            ("histogram_quantile(0.9, sum by (le) (rate(x[5m])))", true),
            (
                "histogram_quantile(0.9, sum by (le, a) (rate(x[5m])))",
                false,
            ),
            ("histogram_quantile(0.9, rate(x[5m]))", false),
            ("-(sum(x)) > 3", true),
        ] {
            let query = Query::parse(text, &Features::all()).expect(text);
            assert_eq!(is_single(query.plan()), single, "{text}");
        }
    }
}

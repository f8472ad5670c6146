//! Whether a query may tell something without a label that a caller pins, beside elements that have it: `sum(a) or b` yields all of
//! `a` together with each series of `b`. Whoever pins a label is told both (S9c), so neither may be missing.

use crate::promql::FunctionId;
use crate::promql::plan::{Binary, BinaryOp, Cardinality, Expr, ExprKind, ValueType};

/// Whether an expression yields elements of series without this label, because it takes it away. Constants have no labels and are
/// nobody's.
pub(super) fn may_lack(expr: &Expr, label: &str) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => false,
        ExprKind::Selector(_) | ExprKind::Range { .. } => false,
        ExprKind::Subquery(subquery) => may_lack(&subquery.expr, label),
        ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
            may_lack(inner, label)
        }
        ExprKind::Call { function, args } => {
            let writes = matches!(
                function.id,
                FunctionId::LabelReplace | FunctionId::LabelJoin
            );
            let written = args.get(1).filter(|_| writes).map(Expr::bare);
            let is_written = written
                .is_some_and(|one| matches!(&one.kind, ExprKind::String(text) if **text == *label));
            !is_written && args.iter().any(|arg| may_lack(arg, label))
        }
        ExprKind::Aggregate(aggregate) => {
            let is_named = aggregate.grouping.iter().any(|one| **one == *label);
            let takes = !aggregate.op.keeps_samples() && is_named == aggregate.without;
            takes || may_lack(&aggregate.expr, label)
        }
        ExprKind::Binary(binary) => of_operator(binary, label),
    }
}

fn of_operator(binary: &Binary, label: &str) -> bool {
    let [left, right] = [&binary.lhs, &binary.rhs].map(|side| may_lack(side, label));
    let are_vectors = [&binary.lhs, &binary.rhs]
        .into_iter()
        .all(|side| side.value_type() == ValueType::Vector);
    let matching = &binary.matching;
    match (binary.op, matching.cardinality) {
        (BinaryOp::Or, _) => left || right,
        (BinaryOp::And | BinaryOp::Unless, _) => left,
        _ if !are_vectors => left || right,
        (_, Cardinality::ManyToOne) => left,
        (_, Cardinality::OneToMany) => right,
        _ => {
            let is_named = matching.labels.iter().any(|one| **one == *label);
            is_named != matching.on || left || right
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{Features, Query};

    #[test]
    fn what_takes_a_label_away_yields_elements_without_it() {
        for (text, expected) in [
            ("q", false),
            ("sum(q)", true),
            ("sum by (pod) (q)", false),
            ("sum by (job) (q)", true),
            ("sum without (pod) (q)", true),
            ("sum without (job) (q)", false),
            ("topk(1, q)", false),
            ("topk(1, sum(q))", true),
            ("sum(a) or q", true),
            ("q or sum(a) * 2", true),
            ("q or vector(0)", false),
            ("q or absent(sum(a))", true),
            ("q and on (job) sum by (job) (a)", false),
            ("sum by (job) (a) and on (job) q", true),
            ("q * on (job) r", true),
            ("q * on (pod) r", false),
            ("q * r", false),
            ("q * ignoring (pod) r", true),
            ("q * on (job) group_left () r", false),
            ("q * on (job) group_right () sum by (job) (r)", true),
            ("max_over_time((sum(a) or q)[1m:1s])", true),
            (
                "label_replace(sum(a), \"pod\", \"x\", \"\", \"\") or q",
                false,
            ),
            ("q > bool 1", false),
        ] {
            let query = Query::parse(text, &Features::all()).expect(text);
            assert_eq!(may_lack(query.plan(), "pod"), expected, "{text}");
        }
    }
}

//! Queries in which comparisons, `and` or `unless` leave elements out: what they compare and combine, and the same query where all
//! of them hold. Whoever reads an empty result can tell by them whether something was left out or nothing was there.

use super::expr::{Binary, Cardinality, Expr, ExprKind, Matching};
use super::function::FunctionId;
use super::operators::BinaryOp;
use super::types::ValueType;

impl Expr {
    /// Whether some comparison without `bool`, `and` or `unless` leaves elements out.
    fn leaves_out(&self) -> bool {
        let mut found = false;
        self.walk(&mut |expr| found |= is_condition(expr));
        found
    }

    /// What is compared and combined. `None`: nothing is left out, or an empty result says nothing of that (below a subquery,
    /// `absent` or `scalar`, and where missing sides are filled in).
    pub(crate) fn operands(&self) -> Option<Vec<&Expr>> {
        let mut operands = Vec::new();
        let is_told = self.leaves_out() && collect(self, &mut operands);
        (is_told && !operands.is_empty()).then_some(operands)
    }

    /// The same where every comparison holds and nothing is excluded: it yields something where the operands have elements that
    /// find one another.
    pub(crate) fn where_all_hold(&self) -> Expr {
        self.replaced(&|expr| {
            let ExprKind::Binary(binary) = &expr.kind else {
                return None;
            };
            if !is_condition(expr) {
                return None;
            }
            let is_vector = |side: &Expr| side.value_type() == ValueType::Vector;
            Some(match (is_vector(&binary.lhs), is_vector(&binary.rhs)) {
                (true, true) if binary.op != BinaryOp::Unless => and(expr, binary),
                (false, true) => binary.rhs.where_all_hold(),
                _ => binary.lhs.where_all_hold(),
            })
        })
    }
}

/// `lhs and rhs`, by the labels by which they are compared.
fn and(expr: &Expr, binary: &Binary) -> Expr {
    Expr {
        kind: ExprKind::Binary(Box::new(Binary {
            op: BinaryOp::And,
            lhs: binary.lhs.where_all_hold(),
            rhs: binary.rhs.where_all_hold(),
            return_bool: false,
            matching: Matching {
                cardinality: Cardinality::ManyToMany,
                on: binary.matching.on,
                labels: binary.matching.labels.clone(),
                ..Matching::default()
            },
        })),
        span: expr.span,
    }
}

fn is_condition(expr: &Expr) -> bool {
    let ExprKind::Binary(binary) = &expr.kind else {
        return false;
    };
    let compares = binary.op.is_comparison() && !binary.return_bool;
    compares || matches!(binary.op, BinaryOp::And | BinaryOp::Unless)
}

fn collect<'e>(expr: &'e Expr, operands: &mut Vec<&'e Expr>) -> bool {
    let expr = expr.bare();
    if !expr.leaves_out() {
        let mut reads = false;
        expr.walk(&mut |inner| {
            reads |= matches!(inner.kind, ExprKind::Selector(_) | ExprKind::Range { .. });
        });
        if reads {
            operands.push(expr);
        }
        return true;
    }
    match &expr.kind {
        ExprKind::Negate(inner) => collect(inner, operands),
        ExprKind::Aggregate(aggregate) => {
            let is_plain = aggregate
                .param
                .as_ref()
                .is_none_or(|param| !param.leaves_out());
            is_plain && collect(&aggregate.expr, operands)
        }
        ExprKind::Binary(binary) => {
            let matching = &binary.matching;
            matching.fill_left.is_none()
                && matching.fill_right.is_none()
                && collect(&binary.lhs, operands)
                && collect(&binary.rhs, operands)
        }
        ExprKind::Call { function, args } => {
            let makes_something_of_nothing = matches!(
                function.id,
                FunctionId::Absent
                    | FunctionId::AbsentOverTime
                    | FunctionId::Info
                    | FunctionId::Scalar
            );
            !makes_something_of_nothing && args.iter().all(|arg| collect(arg, operands))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Features, Query};

    #[test]
    fn operands_are_what_is_compared_and_combined() {
        for (text, operands) in [
            ("sum(q) > 1", Some(&["sum(q)"][..])),
            ("(sum(q) > 100) * 2", Some(&["sum(q)"])),
            ("sum(a) > sum(b)", Some(&["sum(a)", "sum(b)"])),
            ("count(q > 100)", Some(&["q"])),
            ("q > 1 and sum(p) > 5", Some(&["q", "sum(p)"])),
            ("sum(q) unless sum(p) > 1", Some(&["sum(q)", "sum(p)"])),
            (
                "ceil((rate(a[5m]) > 1) / 5) + sum(b)",
                Some(&["rate(a[5m])", "sum(b)"]),
            ),
            ("q and on() vector(1)", Some(&["q"])),
            ("sum(q) > bool 1", None),
            ("sum(q)", None),
            ("max_over_time((q > 1)[5m:])", None),
            ("absent(q > 1)", None),
            ("scalar(q > 1) + 1", None),
            ("vector(1) > 2", None),
            ("topk(scalar(q > 1), p)", None),
        ] {
            let query = Query::parse(text, &Features::all()).expect(text);
            let found = query.plan().operands();
            let found = found.map(|all| {
                let text =
                    |expr: &crate::plan::Expr| text[expr.span.start..expr.span.end].to_owned();
                all.into_iter().map(text).collect::<Vec<String>>()
            });
            let expected = operands.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
            assert_eq!(found, expected, "{text}");
        }
    }
}

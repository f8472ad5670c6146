//! What lints ask of an expression.

use super::super::names::{Measure, Names};
use crate::promql::plan::{AggregateOp, BinaryOp, Expr, ExprKind};

pub(super) fn measure(metric: &str, names: &Names) -> Measure {
    let family = names.family(metric).map(|(family, ..)| family.measure);
    family.unwrap_or_default()
}

pub(super) fn keeps_measure(op: AggregateOp) -> bool {
    matches!(
        op,
        AggregateOp::Sum | AggregateOp::Avg | AggregateOp::Min | AggregateOp::Max
    )
}

pub(super) fn compares(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Gtr | BinaryOp::Gte | BinaryOp::Lss | BinaryOp::Lte
    )
}

pub(super) fn peel(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => peel(inner),
        _ => expr,
    }
}

pub(super) fn is_number(expr: &Expr) -> bool {
    matches!(peel(expr).kind, ExprKind::Number(_))
}

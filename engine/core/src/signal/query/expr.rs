//! Expressions without what does not change their meaning.

use crate::promql::plan::{Expr, ExprKind};

/// What stands in parentheses.
pub(super) fn peel(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => peel(inner),
        _ => expr,
    }
}

/// A number, in parentheses or not.
pub(super) fn number(expr: &Expr) -> Option<f64> {
    match &peel(expr).kind {
        ExprKind::Number(number) => Some(*number),
        _ => None,
    }
}

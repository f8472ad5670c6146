//! The sums of which a larger query consists, one of which may be empty and mean 0 while the others are not.

use crate::promql::FunctionId;
use crate::promql::plan::{BinaryOp, Expr, ExprKind};

use super::expr::{number, peel};
use super::kind::Kind;

/// How a sum is composed.
pub(super) enum Combination<'e> {
    /// One sum, perhaps scaled.
    None,
    /// Several sums, or a clamped one.
    Sums(Vec<&'e Expr>),
    /// Several that cannot be replaced by 0 one by one.
    Opaque,
}

pub(super) fn combination(expr: &Expr, kind: Kind) -> Combination<'_> {
    if kind == Kind::Other || is_scaled_sum(expr) {
        return Combination::None;
    }
    let mut found = Vec::new();
    if sums(expr, &mut found) {
        Combination::Sums(found)
    } else {
        Combination::Opaque
    }
}

/// One aggregation, at most multiplied or divided by constants: where it is empty, the whole is 0 or nothing.
fn is_scaled_sum(expr: &Expr) -> bool {
    match &peel(expr).kind {
        ExprKind::Aggregate(_) => true,
        ExprKind::Binary(binary) if matches!(binary.op, BinaryOp::Mul | BinaryOp::Div) => {
            (number(&binary.rhs).is_some() && is_scaled_sum(&binary.lhs))
                || (number(&binary.lhs).is_some() && is_scaled_sum(&binary.rhs))
        }
        _ => false,
    }
}

/// Collects the ungrouped sums; false where there is anything else.
fn sums<'e>(expr: &'e Expr, found: &mut Vec<&'e Expr>) -> bool {
    let expr = peel(expr);
    match &expr.kind {
        ExprKind::Aggregate(aggregate) => {
            found.push(expr);
            aggregate.grouping.is_empty() && !aggregate.without
        }
        ExprKind::Binary(binary) => {
            let mut side = |side: &'e Expr| number(side).is_some() || sums(side, found);
            side(&binary.lhs) && side(&binary.rhs)
        }
        ExprKind::Call { function, args } => {
            let is_clamp = matches!(
                function.id,
                FunctionId::Clamp | FunctionId::ClampMax | FunctionId::ClampMin
            );
            is_clamp && args.first().is_some_and(|arg| sums(arg, found))
        }
        _ => false,
    }
}

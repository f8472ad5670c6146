//! How far back a query reads, and whether it reads another time than its own.

use crate::promql::plan::{At, Duration, Expr, ExprKind, Selector};

/// Longer than any history, so that a window that is not known beforehand is never covered.
pub(super) const UNKNOWN_WINDOW_MS: i64 = i64::MAX / 4;

/// How far back an expression reads, in milliseconds.
pub(super) fn window_ms(expr: &Expr) -> i64 {
    let length = |duration: &Duration| duration.fixed_ms().unwrap_or(UNKNOWN_WINDOW_MS).max(0);
    // An instant query starts and ends at its own time.
    let at = |at: Option<At>| match at {
        Some(At::Time(_)) => UNKNOWN_WINDOW_MS,
        Some(At::Start | At::End) | None => 0,
    };
    let of_selector =
        |selector: &Selector| length(&selector.offset).saturating_add(at(selector.at));
    let all = |exprs: &[Expr]| exprs.iter().map(window_ms).max().unwrap_or(0);
    let total = match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => 0,
        ExprKind::Selector(selector) => of_selector(selector),
        ExprKind::Range {
            selector, range, ..
        } => of_selector(selector).saturating_add(length(range)),
        ExprKind::Subquery(subquery) => window_ms(&subquery.expr)
            .saturating_add(length(&subquery.range))
            .saturating_add(length(&subquery.offset))
            .saturating_add(at(subquery.at)),
        ExprKind::Call { args, .. } => all(args),
        ExprKind::Aggregate(aggregate) => {
            window_ms(&aggregate.expr).max(aggregate.param.as_ref().map_or(0, window_ms))
        }
        ExprKind::Binary(binary) => window_ms(&binary.lhs).max(window_ms(&binary.rhs)),
        ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
            window_ms(inner)
        }
    };
    total.min(UNKNOWN_WINDOW_MS)
}

pub(super) fn has_offset(plan: &Expr) -> bool {
    let is_other_time = |offset: &Duration, at: Option<At>| {
        offset.fixed_ms() != Some(0) || matches!(at, Some(At::Time(_)))
    };
    let mut has = false;
    plan.walk(&mut |expr| {
        has |= match &expr.kind {
            ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
                is_other_time(&selector.offset, selector.at)
            }
            ExprKind::Subquery(subquery) => is_other_time(&subquery.offset, subquery.at),
            _ => false,
        };
    });
    has
}

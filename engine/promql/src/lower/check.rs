//! The check that `source::types` cannot make on atoms, because it is about what stands between brackets.

use crate::plan::FunctionId;
use crate::plan::{Edges, Expr, ExprKind};
use crate::source::SourceError;

pub(super) fn operand(expr: &Expr) -> Result<(), SourceError> {
    let ExprKind::Call { function, args } = &expr.kind else {
        return Ok(());
    };
    args.iter()
        .try_for_each(|arg| edges(function.id, function.name, arg))
}

/// `anchored` and `smoothed` are allowed for some functions only.
fn edges(id: FunctionId, name: &str, arg: &Expr) -> Result<(), SourceError> {
    use FunctionId as F;
    let ExprKind::Range { edges, .. } = &arg.bare().kind else {
        return Ok(());
    };
    let (word, allowed) = match edges {
        Edges::Plain => return Ok(()),
        Edges::Anchored => (
            "anchored",
            matches!(
                id,
                F::Resets | F::Changes | F::Rate | F::Increase | F::Delta
            ),
        ),
        Edges::Smoothed => ("smoothed", matches!(id, F::Rate | F::Increase | F::Delta)),
    };
    if allowed {
        return Ok(());
    }
    let functions = match edges {
        Edges::Anchored => "changes, delta, increase, rate, resets",
        _ => "delta, increase, rate",
    };
    let message = format!("{word} modifier can only be used with: {functions} - not with {name}");
    Err(SourceError::new(arg.span, message))
}

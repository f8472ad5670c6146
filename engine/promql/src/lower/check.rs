//! The checks that promql-parser leaves out or cannot make, since it does not see the modifiers.

use super::expected;
use crate::Features;
use crate::plan::FunctionId;
use crate::plan::{AggregateOp, Cardinality, Edges, Expr, ExprKind, Span, ValueType};
use crate::source::{BinaryAtom, SourceError, fits_everything};

pub(super) fn unary(inner: &Expr) -> Result<(), SourceError> {
    match inner.value_type() {
        ValueType::Scalar | ValueType::Vector => Ok(()),
        other => Err(SourceError::new(
            inner.span,
            format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                other.documented()
            ),
        )),
    }
}

pub(super) fn operand(expr: &Expr, features: &Features) -> Result<(), SourceError> {
    match &expr.kind {
        ExprKind::Call { function, args } => {
            for (index, arg) in args.iter().enumerate() {
                let wanted = function.args[index.min(function.args.len().saturating_sub(1))];
                if arg.value_type() != wanted {
                    let context = format!("call to function {:?}", function.name);
                    return Err(expected(wanted, &context, arg));
                }
                edges(function.id, function.name, arg)?;
            }
            match function.id {
                FunctionId::Info => info(args),
                _ => Ok(()),
            }
        }
        ExprKind::Aggregate(aggregate) => {
            let experimental =
                matches!(aggregate.op, AggregateOp::Limitk | AggregateOp::LimitRatio);
            if experimental && !features.experimental_functions {
                let name = aggregate.op.as_str();
                let message = format!(
                    "{name}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
                );
                return Err(SourceError::new(expr.span, message));
            }
            Ok(())
        }
        _ => Ok(()),
    }
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

fn info(args: &[Expr]) -> Result<(), SourceError> {
    let Some(data) = args.get(1) else {
        return Ok(());
    };
    match &data.kind {
        ExprKind::Selector(selector) if !selector.named => Ok(()),
        ExprKind::Selector(_) => Err(SourceError::new(
            data.span,
            "expected label selectors only, got vector selector instead",
        )),
        _ => Err(SourceError::new(data.span, "expected label selectors only")),
    }
}

pub(super) fn binary(
    operator: &BinaryAtom,
    at: Span,
    lhs: &Expr,
    rhs: &Expr,
) -> Result<(), SourceError> {
    let (op, matching) = (operator.op, &operator.matching);
    let fail = |span, message: String| Err(SourceError::new(span, message));
    if operator.return_bool && !op.is_comparison() {
        return fail(
            at,
            "bool modifier can only be used on comparison operators".to_owned(),
        );
    }
    for side in [lhs, rhs] {
        if !matches!(side.value_type(), ValueType::Scalar | ValueType::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return fail(side.span, message.to_owned());
        }
    }
    let scalar = |expr: &Expr| expr.value_type() == ValueType::Scalar;
    if op.is_comparison() && !operator.return_bool && scalar(lhs) && scalar(rhs) {
        return fail(
            at,
            "comparisons between scalars must use BOOL modifier".to_owned(),
        );
    }
    if matching.on
        && let Some(label) = matching
            .labels
            .iter()
            .find(|label| matching.include.contains(label))
    {
        return fail(
            at,
            format!("label {label:?} must not occur in ON and GROUP clause at once"),
        );
    }
    if scalar(lhs) || scalar(rhs) {
        if op.is_set() {
            return fail(
                at,
                format!(
                    "set operator {:?} not allowed in binary scalar expression",
                    op.as_str()
                ),
            );
        }
        if operator.has_matching
            && (!matching.labels.is_empty() || matching.cardinality != Cardinality::OneToOne)
        {
            return fail(
                at,
                "vector matching only allowed between vectors".to_owned(),
            );
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            return fail(
                at,
                "filling in missing series only allowed between vectors".to_owned(),
            );
        }
    }
    Ok(())
}

/// Every selector must exclude something, unless it is the second argument of `info`.
pub(super) fn selectors(expr: &Expr, may_fit_everything: bool) -> Result<(), SourceError> {
    match &expr.kind {
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
            if !may_fit_everything && fits_everything(selector) {
                let message = "vector selector must contain at least one non-empty matcher";
                return Err(SourceError::new(selector.span, message));
            }
            Ok(())
        }
        ExprKind::Number(_) | ExprKind::String(_) => Ok(()),
        ExprKind::Subquery(subquery) => selectors(&subquery.expr, false),
        ExprKind::Call { function, args } => {
            for (index, arg) in args.iter().enumerate() {
                selectors(arg, super::may_fit_everything(function.id, index))?;
            }
            Ok(())
        }
        ExprKind::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                selectors(param, false)?;
            }
            selectors(&aggregate.expr, false)
        }
        ExprKind::Binary(_) => {
            let mut node = expr;
            while let ExprKind::Binary(binary) = &node.kind {
                selectors(&binary.rhs, false)?;
                node = &binary.lhs;
            }
            selectors(node, false)
        }
        ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
            selectors(inner, false)
        }
    }
}

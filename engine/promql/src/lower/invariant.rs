//! Marks what has one value for all steps (`@` with a fixed time, literals and what is made of them), so that a
//! range query evaluates it once. Only outermost nodes are marked, and literals are not worth a mark.

use crate::plan::FunctionId;
use crate::plan::{Expr, ExprKind, ValueType};

pub(super) fn mark(mut expr: Expr) -> Expr {
    if visit(&mut expr) {
        wrap(&mut expr);
    }
    expr
}

/// Whether the node is invariant. Where it is not, its invariant children are marked.
fn visit(expr: &mut Expr) -> bool {
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => selector.at.is_some(),
        ExprKind::Subquery(subquery) => {
            if visit(&mut subquery.expr) {
                wrap(&mut subquery.expr);
            }
            subquery.at.is_some()
        }
        ExprKind::Call { function, args } => {
            let invariant: Vec<bool> = args.iter_mut().map(visit).collect();
            let all = !depends_on_time(function.id) && invariant.iter().all(|invariant| *invariant);
            if !all {
                wrap_some(args.iter_mut().zip(invariant));
            }
            all
        }
        ExprKind::Aggregate(aggregate) => {
            let param = aggregate.param.as_mut().map(visit);
            let inner = visit(&mut aggregate.expr);
            let all = inner && param != Some(false);
            if !all {
                wrap_some([(&mut aggregate.expr, inner)]);
                wrap_some(aggregate.param.as_mut().zip(param));
            }
            all
        }
        ExprKind::Binary(_) => visit_spine(expr),
        ExprKind::Negate(inner) | ExprKind::Paren(inner) => visit(inner),
        ExprKind::StepInvariant(_) => true,
    }
}

/// A left spine of operators, in a loop: the leftmost operand first.
fn visit_spine(expr: &mut Expr) -> bool {
    let (mut depth, mut node) = (0, &*expr);
    while let ExprKind::Binary(binary) = &node.kind {
        depth += 1;
        node = &binary.lhs;
    }
    let mut lhs_invariant = visit(left_of(expr, depth));
    for level in (0..depth).rev() {
        if let ExprKind::Binary(binary) = &mut left_of(expr, level).kind {
            let rhs_invariant = visit(&mut binary.rhs);
            if lhs_invariant != rhs_invariant {
                wrap_some([
                    (&mut binary.lhs, lhs_invariant),
                    (&mut binary.rhs, rhs_invariant),
                ]);
            }
            lhs_invariant &= rhs_invariant;
        }
    }
    lhs_invariant
}

/// `level` steps down the left side.
fn left_of(expr: &mut Expr, level: usize) -> &mut Expr {
    let mut node = expr;
    for _ in 0..level {
        node = match &mut node.kind {
            ExprKind::Binary(binary) => &mut binary.lhs,
            _ => unreachable!("the spine was measured"),
        };
    }
    node
}

fn wrap_some<'a>(nodes: impl IntoIterator<Item = (&'a mut Expr, bool)>) {
    for (node, invariant) in nodes {
        if invariant {
            wrap(node);
        }
    }
}

fn wrap(expr: &mut Expr) {
    let worthless = matches!(
        expr.bare().kind,
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Range { .. } | ExprKind::Subquery(_)
    );
    if worthless || expr.value_type() == ValueType::String {
        return;
    }
    let placeholder = Expr {
        kind: ExprKind::Number(0.0),
        span: expr.span,
    };
    let inner = std::mem::replace(expr, placeholder);
    expr.kind = ExprKind::StepInvariant(Box::new(inner));
}

/// Functions of the evaluation time, whatever their arguments.
fn depends_on_time(id: FunctionId) -> bool {
    use FunctionId as F;
    matches!(
        id,
        F::DaysInMonth
            | F::DayOfMonth
            | F::DayOfWeek
            | F::DayOfYear
            | F::Hour
            | F::Minute
            | F::Month
            | F::Year
            | F::PredictLinear
            | F::Time
            | F::Timestamp
    )
}

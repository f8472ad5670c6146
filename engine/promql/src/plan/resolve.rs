//! Durations that depend on the query's step or range become known when the query is evaluated.

use super::duration::Duration;
use super::expr::{Expr, ExprKind};
use super::types::Span;

/// Sees a duration and may change it.
type EachDuration<'v> = dyn FnMut(&mut Duration) -> Result<(), (Span, String)> + 'v;

impl Expr {
    /// Calls `visit` for every duration below this node.
    fn each_duration(&mut self, visit: &mut EachDuration<'_>) -> Result<(), (Span, String)> {
        match &mut self.kind {
            ExprKind::Number(_) | ExprKind::String(_) => Ok(()),
            ExprKind::Selector(selector) => visit(&mut selector.offset),
            ExprKind::Range {
                selector, range, ..
            } => {
                visit(range)?;
                visit(&mut selector.offset)
            }
            ExprKind::Subquery(subquery) => {
                visit(&mut subquery.range)?;
                subquery.step.as_mut().map_or(Ok(()), &mut *visit)?;
                visit(&mut subquery.offset)?;
                subquery.expr.each_duration(visit)
            }
            ExprKind::Call { args, .. } => {
                args.iter_mut().try_for_each(|arg| arg.each_duration(visit))
            }
            ExprKind::Aggregate(aggregate) => {
                if let Some(param) = &mut aggregate.param {
                    param.each_duration(visit)?;
                }
                aggregate.expr.each_duration(visit)
            }
            ExprKind::Binary(binary) => {
                binary.lhs.each_duration(visit)?;
                binary.rhs.each_duration(visit)
            }
            ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
                inner.each_duration(visit)
            }
        }
    }

    /// Makes all durations known.
    pub(crate) fn resolve_durations(
        &mut self,
        step_ms: i64,
        range_ms: i64,
    ) -> Result<(), (Span, String)> {
        self.each_duration(&mut |duration| duration.resolve(step_ms, range_ms))
    }

    /// Whether a duration depends on the query.
    pub(crate) fn has_deferred_durations(&self) -> bool {
        let mut found = false;
        self.walk(&mut |expr| {
            found |= match &expr.kind {
                ExprKind::Selector(selector) => selector.offset.fixed_ms().is_none(),
                ExprKind::Range {
                    selector, range, ..
                } => range.fixed_ms().is_none() || selector.offset.fixed_ms().is_none(),
                ExprKind::Subquery(subquery) => {
                    let step = subquery
                        .step
                        .as_ref()
                        .is_some_and(|step| step.fixed_ms().is_none());
                    step || subquery.range.fixed_ms().is_none()
                        || subquery.offset.fixed_ms().is_none()
                }
                _ => false,
            };
        });
        found
    }
}

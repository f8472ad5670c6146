//! What a leaf reads: a selector, or a function of the samples in its range.

use crate::limits::{LOOKBACK_MS_DEFAULT, SUBQUERY_VALUES_MAX};
use crate::promql::plan::{At, Duration, Edges, Expr, ExprKind, Selector};
use crate::promql::{EvalOptions, FunctionId};

use super::super::halt::Unsupported;
use super::super::members::{Grouping, Source};
use super::super::op::{Op, Root, Scalar};
use super::super::program::Subquery;
use super::super::range::{Function, FunctionKind};
use super::super::steps::Steps;
use super::{Compiled, Compiler};

impl Compiler {
    /// `None` if it is neither.
    pub(super) fn source(
        &mut self,
        expr: &Expr,
        grouping: Option<&Grouping>,
    ) -> Compiled<Option<(Source, Option<Function>)>> {
        match &expr.kind {
            ExprKind::Selector(selector) => {
                let source = source(selector, grouping)?;
                let offset_ms = self.offset_ms(&selector.offset, selector.at)?;
                // The newest samples of now are in the rows of the series.
                if offset_ms == 0 && !self.in_subquery {
                    return Ok(Some((source, None)));
                }
                let newest = Function {
                    kind: FunctionKind::Newest,
                    range_ms: LOOKBACK_MS_DEFAULT,
                    offset_ms,
                    back_ms: self.back_ms,
                };
                let source = Source {
                    with_ended: true,
                    ..source
                };
                Ok(Some((source, Some(newest))))
            }
            ExprKind::Call { function, args }
                if Function::is_kept(function.id) && !reads_subquery(expr) =>
            {
                let (source, kept) = self.range(function.id, function.name, args, grouping)?;
                Ok(Some((source, Some(kept))))
            }
            _ => Ok(None),
        }
    }

    /// A function, of this name, of the samples in the range among its arguments.
    pub(super) fn range(
        &mut self,
        id: FunctionId,
        name: &'static str,
        args: &[Expr],
        grouping: Option<&Grouping>,
    ) -> Compiled<(Source, Function)> {
        let ExprKind::Range {
            selector,
            range,
            edges,
        } = &range_of(id, name, args)?.kind
        else {
            return Err(Unsupported::Function(name));
        };
        if *edges != Edges::Plain {
            return Err(Unsupported::Edges);
        }
        let function = Function {
            kind: self.kind(id, name, args)?,
            range_ms: positive_ms(range)?,
            offset_ms: self.offset_ms(&selector.offset, selector.at)?,
            back_ms: self.back_ms,
        };
        let source = Source {
            drops_name: drops_name(id),
            with_ended: true,
            ..source(selector, grouping)?
        };
        Ok((source, function))
    }

    /// A function, of this name, of the subquery among its arguments.
    pub(super) fn subquery(
        &mut self,
        id: FunctionId,
        name: &'static str,
        args: &[Expr],
    ) -> Compiled<usize> {
        let ExprKind::Subquery(subquery) = &range_of(id, name, args)?.kind else {
            return Err(Unsupported::Function(name));
        };
        if self.in_subquery {
            return Err(Unsupported::Nested);
        }
        let function = Function {
            kind: self.kind(id, name, args)?,
            range_ms: positive_ms(&subquery.range)?,
            offset_ms: self.offset_ms(&subquery.offset, subquery.at)?,
            back_ms: 0,
        };
        let step_ms = match &subquery.step {
            Some(step) => positive_ms(step)?,
            None => EvalOptions::default().subquery_step_ms,
        };
        if function.range_ms / step_ms >= SUBQUERY_VALUES_MAX as i64 {
            return Err(Unsupported::Steps);
        }
        let mut inner = Compiler {
            back_ms: function.span_ms(),
            in_subquery: true,
            ..Compiler::default()
        };
        let root = Root::Vector(inner.vector(&subquery.expr, 1)?);
        let program = inner.finish(root, Vec::new(), Vec::new());
        let steps = Steps::new(function, step_ms);
        let same = |have: &Subquery| {
            have.program.is_same(&program)
                && have.steps.key() == steps.key()
                && have.drops_name == drops_name(id)
        };
        let at = self.subqueries.iter().position(same);
        let at = at.unwrap_or_else(|| {
            self.subqueries.push(Subquery {
                program,
                steps,
                drops_name: drops_name(id),
            });
            self.subqueries.len() - 1
        });
        self.emit(Op::Subquery { at })
    }

    /// A range function with its scalar argument.
    fn kind(
        &mut self,
        id: FunctionId,
        name: &'static str,
        args: &[Expr],
    ) -> Compiled<FunctionKind> {
        let param = match id {
            FunctionId::QuantileOverTime => args.first(),
            FunctionId::PredictLinear => args.get(1),
            _ => return Ok(FunctionKind::Of(id, 0.0)),
        };
        match self.scalar(param.ok_or(Unsupported::Function(name))?, 0)? {
            Scalar::Constant(param) => Ok(FunctionKind::Of(id, param)),
            Scalar::Slot(_) => Err(Unsupported::Parameter(name)),
        }
    }

    /// How long before the evaluation a selector or subquery ends.
    fn offset_ms(&self, offset: &Duration, at: Option<At>) -> Compiled<i64> {
        match at {
            None => {}
            Some(At::Time(_)) => return Err(Unsupported::FixedTime),
            Some(At::Start | At::End) if self.in_subquery => {
                return Err(Unsupported::InSubquery("`@`"));
            }
            // An instant query starts and ends at its own time.
            Some(At::Start | At::End) => {}
        }
        offset.fixed_ms().ok_or(Unsupported::Duration)
    }
}

/// The range among the arguments of a function.
fn range_of<'e>(id: FunctionId, name: &'static str, args: &'e [Expr]) -> Compiled<&'e Expr> {
    let at = usize::from(id == FunctionId::QuantileOverTime);
    let range = args.get(at).ok_or(Unsupported::Function(name))?;
    Ok(range.bare())
}

/// Whether a call is one of a range function of a subquery.
pub(super) fn reads_subquery(expr: &Expr) -> bool {
    let ExprKind::Call { args, .. } = &expr.kind else {
        return false;
    };
    let mut args = args.iter();
    args.any(|arg| matches!(arg.bare().kind, ExprKind::Subquery(_)))
}

/// Whether a range function drops metric names: not where its value is one of the samples.
fn drops_name(id: FunctionId) -> bool {
    !matches!(id, FunctionId::FirstOverTime | FunctionId::LastOverTime)
}

fn positive_ms(duration: &Duration) -> Compiled<i64> {
    let ms = duration.fixed_ms().filter(|ms| *ms > 0);
    ms.ok_or(Unsupported::Duration)
}

/// The series of a selector.
fn source(selector: &Selector, grouping: Option<&Grouping>) -> Compiled<Source> {
    Ok(Source {
        matchers: selector.matchers.clone(),
        metric: metric_of(selector)?,
        grouping: grouping.cloned(),
        drops_name: false,
        with_ended: false,
    })
}

/// The metric name of a selector, if it has exactly one.
fn metric_of(selector: &Selector) -> Compiled<Option<String>> {
    if selector.edges != Edges::Plain {
        return Err(Unsupported::Edges);
    }
    if selector.detect_resets {
        return Err(Unsupported::Histograms);
    }
    // The signal view reads the family that the first `=` names.
    Ok(selector.metric_name().map(str::to_owned))
}

//! What a leaf reads: a selector, or a function of the samples in its range.

use crate::labels::{METRIC_NAME, MatchOp};
use crate::promql::FunctionId;
use crate::promql::plan::{Edges, Expr, ExprKind, Selector};
use crate::scrape::REPORT;

use super::super::halt::Unsupported;
use super::super::members::{Grouping, Source};
use super::super::program::Scalar;
use super::super::range::Function;
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
                let source = Source {
                    drops_name: false,
                    with_ended: false,
                    ..source(selector, grouping)?
                };
                Ok(Some((source, None)))
            }
            ExprKind::Call { function, args } if Function::is_kept(function.id) => {
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
        let (range_at, param_at) = match id {
            FunctionId::QuantileOverTime => (1, Some(0)),
            FunctionId::PredictLinear => (0, Some(1)),
            _ => (0, None),
        };
        let unsupported = || Unsupported::Function(name);
        let ExprKind::Range {
            selector,
            range,
            edges,
        } = &args.get(range_at).ok_or_else(unsupported)?.bare().kind
        else {
            return Err(Unsupported::Subquery);
        };
        if *edges != Edges::Plain {
            return Err(Unsupported::Edges);
        }
        let param = match param_at {
            None => 0.0,
            Some(at) => match self.scalar(args.get(at).ok_or_else(unsupported)?, 0)? {
                Scalar::Constant(param) => param,
                Scalar::Slot(_) => return Err(Unsupported::Parameter(name)),
            },
        };
        let range_ms = range.fixed_ms().filter(|range_ms| *range_ms > 0);
        let function = Function {
            id,
            range_ms: range_ms.ok_or(Unsupported::Duration)?,
            param,
        };
        let keeps_name = matches!(id, FunctionId::FirstOverTime | FunctionId::LastOverTime);
        let source = Source {
            drops_name: !keeps_name,
            with_ended: true,
            ..source(selector, grouping)?
        };
        Ok((source, function))
    }
}

/// The series of a selector.
fn source(selector: &Selector, grouping: Option<&Grouping>) -> Compiled<Source> {
    Ok(Source {
        matchers: selector.matchers.clone(),
        metric: plain_metric(selector)?.to_owned(),
        grouping: grouping.cloned(),
        drops_name: false,
        with_ended: false,
    })
}

/// The metric name of a selector of what pages say now: no `offset`, no `@`, one name.
fn plain_metric(selector: &Selector) -> Compiled<&str> {
    if selector.edges != Edges::Plain {
        return Err(Unsupported::Edges);
    }
    if selector.detect_resets {
        return Err(Unsupported::Histograms);
    }
    if selector.at.is_some() {
        return Err(Unsupported::FixedTime);
    }
    if selector.offset.fixed_ms() != Some(0) {
        return Err(Unsupported::Duration);
    }
    let matchers = selector.matchers.iter();
    let mut names = matchers.filter(|matcher| matcher.name() == METRIC_NAME);
    let one = names.next().filter(|name| name.op() == MatchOp::Equal);
    let metric = one.and_then(|_| selector.metric_name());
    let Some(metric) = metric.filter(|_| names.next().is_none()) else {
        return Err(Unsupported::NoMetric);
    };
    // Series about scrapes come and go without a page.
    match REPORT.contains(&metric) {
        true => Err(Unsupported::AboutScrapes(metric.to_owned())),
        false => Ok(metric),
    }
}

//! A signal's query taken apart: what it selects, what kind it is (S7), and what an empty result falls back to.

use crate::labels::{METRIC_NAME, MatchOp, Matcher};
use crate::promql::plan::{AggregateOp, BinaryOp, Expr, ExprKind};
use crate::promql::{Features, FunctionId, Query, QueryError};

use super::names::Names;

/// A parsed query with what the rules need to know of it.
#[derive(Clone, Debug)]
pub(crate) struct SignalQuery {
    /// The query without a trailing `or vector(c)`.
    pub(crate) query: Query,
    /// The `c` of that `or vector(c)`.
    pub(crate) fallback: Option<f64>,
    pub(crate) selectors: Vec<Selector>,
    pub(crate) kind: Kind,
    /// The labels by which the result is grouped; `*` where they are not known beforehand.
    pub(crate) grouping: Vec<String>,
    /// Whether an `or` lets one side stand in for the other.
    pub(crate) has_or: bool,
}

/// One selector of it.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    /// The metric name, where it is fixed.
    pub(crate) metric: Option<String>,
    /// Labels pinned by `=`, the metric name left out.
    pub(crate) pins: Vec<(String, String)>,
    /// Every matcher, for the cases that pins do not cover.
    pub(crate) matchers: Vec<Matcher>,
    /// How far back it looks: range and offset.
    pub(crate) window_ms: i64,
}

/// Kinds of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sum, or a `max` over a demand family: a restart can be smoothed over, and absence can mean 0.
    Demand,
    /// A sum of families that do not measure demand: absence can mean 0.
    Sum,
    /// Anything else.
    Other,
}

impl SignalQuery {
    pub(crate) fn parse(
        text: &str,
        features: &Features,
        names: &Names,
    ) -> Result<SignalQuery, QueryError> {
        let whole = Query::parse(text, features)?;
        let (query, fallback) = match or_vector(whole.plan()) {
            Some((left, fallback)) => (
                Query::parse(&text[left.span.start..left.span.end], features)?,
                Some(fallback),
            ),
            None => (whole, None),
        };
        let selectors: Vec<Selector> = query.selectors().map(Selector::from_use).collect();
        let kind = kind(query.plan(), names);
        let grouping = grouping(query.plan());
        let mut has_or = false;
        query.plan().walk(&mut |expr| {
            has_or |= matches!(&expr.kind, ExprKind::Binary(binary) if binary.op == BinaryOp::Or);
        });
        Ok(SignalQuery {
            query,
            fallback,
            selectors,
            kind,
            grouping,
            has_or,
        })
    }
}

impl SignalQuery {
    /// The matchers of each selector.
    pub(crate) fn matchers(&self) -> Vec<Vec<Matcher>> {
        self.selectors
            .iter()
            .map(|selector| selector.matchers.clone())
            .collect()
    }
}

impl Selector {
    fn from_use(used: crate::promql::SelectorUse<'_>) -> Selector {
        let equal = |matcher: &&Matcher| matcher.op() == MatchOp::Equal;
        let named = used
            .matchers
            .iter()
            .filter(equal)
            .find(|matcher| matcher.name() == METRIC_NAME);
        let pins = used
            .matchers
            .iter()
            .filter(equal)
            .filter(|matcher| matcher.name() != METRIC_NAME);
        let range_ms = used.range.and_then(|range| range.fixed_ms()).unwrap_or(0);
        let offset_ms = used.offset.fixed_ms().unwrap_or(0).max(0);
        Selector {
            metric: named.map(|matcher| matcher.value().to_owned()),
            pins: pins
                .map(|matcher| (matcher.name().to_owned(), matcher.value().to_owned()))
                .collect(),
            matchers: used.matchers.to_vec(),
            window_ms: range_ms + offset_ms,
        }
    }
}

fn peel(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => peel(inner),
        _ => expr,
    }
}

fn number(expr: &Expr) -> Option<f64> {
    match &peel(expr).kind {
        ExprKind::Number(number) => Some(*number),
        _ => None,
    }
}

/// `left or vector(c)`.
fn or_vector(expr: &Expr) -> Option<(&Expr, f64)> {
    let ExprKind::Binary(binary) = &peel(expr).kind else {
        return None;
    };
    if binary.op != BinaryOp::Or {
        return None;
    }
    let ExprKind::Call { function, args } = &peel(&binary.rhs).kind else {
        return None;
    };
    if function.id != FunctionId::Vector {
        return None;
    }
    Some((&binary.lhs, number(args.first()?)?))
}

fn kind(expr: &Expr, names: &Names) -> Kind {
    let mut metrics = Vec::new();
    if !is_sum(expr, &mut metrics) && !is_max(expr, names, &mut metrics) {
        return Kind::Other;
    }
    let all_demand = metrics.iter().all(|metric| {
        metric
            .as_deref()
            .is_some_and(|metric| names.is_demand(metric))
    });
    if all_demand { Kind::Demand } else { Kind::Sum }
}

/// Sum or count of instant selectors, and +, *, / by a positive constant, clamps, and averages over time of such.
fn is_sum(expr: &Expr, metrics: &mut Vec<Option<String>>) -> bool {
    match &peel(expr).kind {
        ExprKind::Aggregate(aggregate)
            if matches!(aggregate.op, AggregateOp::Sum | AggregateOp::Count) =>
        {
            is_instant(&aggregate.expr, metrics) || is_sum(&aggregate.expr, metrics)
        }
        ExprKind::Binary(binary) => match binary.op {
            BinaryOp::Add => is_sum(&binary.lhs, metrics) && is_sum(&binary.rhs, metrics),
            BinaryOp::Mul => {
                let positive = |side: &Expr| number(side).is_some_and(|c| c > 0.0);
                (positive(&binary.rhs) && is_sum(&binary.lhs, metrics))
                    || (positive(&binary.lhs) && is_sum(&binary.rhs, metrics))
            }
            BinaryOp::Div => {
                number(&binary.rhs).is_some_and(|c| c > 0.0) && is_sum(&binary.lhs, metrics)
            }
            _ => false,
        },
        ExprKind::Call { function, args } => match function.id {
            FunctionId::Clamp | FunctionId::ClampMax | FunctionId::ClampMin => {
                args.first().is_some_and(|arg| is_sum(arg, metrics))
            }
            FunctionId::AvgOverTime | FunctionId::MaxOverTime => {
                match args.first().map(|arg| &peel(arg).kind) {
                    Some(ExprKind::Subquery(subquery)) => is_sum(&subquery.expr, metrics),
                    _ => false,
                }
            }
            _ => false,
        },
        _ => false,
    }
}

fn is_max(expr: &Expr, names: &Names, metrics: &mut Vec<Option<String>>) -> bool {
    metrics.clear();
    match &peel(expr).kind {
        ExprKind::Aggregate(aggregate) if aggregate.op == AggregateOp::Max => {
            is_instant(&aggregate.expr, metrics)
                && metrics
                    .iter()
                    .all(|m| m.as_deref().is_some_and(|m| names.is_demand(m)))
        }
        _ => false,
    }
}

/// An instant selector, or its average or maximum over time, possibly clamped.
fn is_instant(expr: &Expr, metrics: &mut Vec<Option<String>>) -> bool {
    match &peel(expr).kind {
        ExprKind::Selector(selector) => {
            metrics.push(selector.metric_name().map(str::to_owned));
            true
        }
        ExprKind::Call { function, args } => match function.id {
            FunctionId::Clamp | FunctionId::ClampMax | FunctionId::ClampMin => {
                args.first().is_some_and(|arg| is_instant(arg, metrics))
            }
            FunctionId::AvgOverTime | FunctionId::MaxOverTime => {
                match args.first().map(|arg| &peel(arg).kind) {
                    Some(ExprKind::Range { selector, .. }) => {
                        metrics.push(selector.metric_name().map(str::to_owned));
                        true
                    }
                    _ => false,
                }
            }
            _ => false,
        },
        _ => false,
    }
}

fn grouping(expr: &Expr) -> Vec<String> {
    match &peel(expr).kind {
        ExprKind::Aggregate(aggregate) if aggregate.without => vec!["*".to_owned()],
        ExprKind::Aggregate(aggregate) => aggregate
            .grouping
            .iter()
            .map(|label| label.to_string())
            .collect(),
        ExprKind::Binary(binary) => {
            let left = grouping(&binary.lhs);
            if left.is_empty() {
                grouping(&binary.rhs)
            } else {
                left
            }
        }
        ExprKind::Call { args, .. } => args.first().map(grouping).unwrap_or_default(),
        ExprKind::Negate(inner) => grouping(inner),
        ExprKind::Subquery(subquery) => grouping(&subquery.expr),
        ExprKind::Selector(_) | ExprKind::Range { .. } => vec!["*".to_owned()],
        _ => Vec::new(),
    }
}

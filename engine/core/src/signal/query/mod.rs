//! The query of a signal: its selectors, its kind (S7), and the value of an empty result.

mod alternatives;
mod comparison;

use std::sync::Arc;

use crate::labels::{METRIC_NAME, MatchOp, Matcher};
use crate::promql::RecordedRules;
use crate::promql::plan::{AggregateOp, At, BinaryOp, Duration, Expr, ExprKind};
use crate::promql::{EvalOptions, Features, FunctionId, Query, QueryError};

use super::carried::{self, Carried};
use super::demand::Demand;
use super::names::{Names, TableMetrics};
use super::not_finite;

pub(crate) use alternatives::Alternatives;
pub(crate) use comparison::Comparison;

/// How queries of signals are read.
#[derive(Clone, Debug)]
pub(crate) struct ParseOptions {
    pub(crate) features: Features,
    /// Rules whose series are read as their expressions.
    pub(crate) recorded: Arc<RecordedRules>,
    /// The step of a subquery that names none, in milliseconds.
    pub(crate) subquery_step_ms: i64,
}

impl Default for ParseOptions {
    fn default() -> ParseOptions {
        ParseOptions {
            features: Features::default(),
            recorded: Arc::default(),
            subquery_step_ms: EvalOptions::default().subquery_step_ms,
        }
    }
}

/// A parsed query with the properties that the rules depend on.
#[derive(Clone, Debug)]
pub(crate) struct SignalQuery {
    /// The query without a trailing `or vector(c)`.
    pub(crate) query: Query,
    /// The `c` of that `or vector(c)`.
    pub(crate) fallback: Option<f64>,
    pub(crate) selectors: Vec<Selector>,
    pub(crate) kind: Kind,
    pub(crate) demand: Demand,
    /// Queries for samples that are no finite number, of the selectors of which the result would not show it.
    pub(crate) not_finite: Vec<Query>,
    /// Whether it writes labels that its series may not have (`label_replace`).
    pub(crate) writes_labels: bool,
    /// The labels by which the result is grouped; `*` if they are not known beforehand.
    pub(crate) grouping: Vec<String>,
    /// The sums of which a larger query consists, if one may be empty and mean 0 while the others are not.
    pub(crate) parts: Vec<SignalQuery>,
    /// A combination whose parts cannot be distinguished: its empty result proves nothing.
    pub(crate) is_opaque: bool,
    /// The comparison with a number that decides which elements of its only part stay, if that is what the query is.
    pub(crate) filter: Option<Filter>,
    /// What it compares and combines, where it leaves elements out in any other way.
    pub(crate) comparison: Option<Comparison>,
    /// Whether it is `absent(...)` or `absent_over_time(...)`, which is empty while its series exist.
    pub(crate) is_absent: bool,
    /// Whether it reads a time before its own (`offset`, `@`).
    pub(crate) has_offset: bool,
    /// Why the series of a recording rule that it reads cannot be read as the rule's expression.
    pub(crate) unreadable: Option<String>,
}

/// A comparison with a number that leaves elements out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    op: BinaryOp,
    /// The number on the right, with the operator as if it stood there.
    limit: f64,
}

impl Filter {
    /// Whether an element of this value stays.
    pub(crate) fn keeps(self, value: f64) -> bool {
        match self.op {
            BinaryOp::Gtr => value > self.limit,
            BinaryOp::Gte => value >= self.limit,
            BinaryOp::Lss => value < self.limit,
            BinaryOp::Lte => value <= self.limit,
            BinaryOp::Neq => value != self.limit,
            _ => value == self.limit,
        }
    }
}

/// One selector of it.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    /// The metric name, if an equality fixes it.
    pub(crate) metric: Option<String>,
    /// Labels that `=` pins, without the metric name.
    pub(crate) pins: Vec<(String, String)>,
    /// Every matcher, the pinning ones included.
    pub(crate) matchers: Vec<Matcher>,
    /// The metrics of the names table that it reads.
    pub(crate) of_table: TableMetrics,
    /// The labels that the result has from its series.
    pub(crate) carried: Carried,
    /// What stands in for it where it has no series.
    pub(crate) alternatives: Alternatives,
    /// How far back the query reads, in milliseconds: the longest sum of ranges, offsets and subqueries.
    pub(crate) window_ms: i64,
}

/// Kinds of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sum, or a `max` over a demand family: it has a grace after a restart, and absence can mean 0.
    Demand,
    /// A sum of families that do not measure demand: absence can mean 0.
    Sum,
    /// Anything else.
    Other,
}

impl SignalQuery {
    /// The metrics of the names table that its selectors read.
    pub(crate) fn of_table(&self) -> TableMetrics {
        let mut all = TableMetrics::default();
        for selector in &self.selectors {
            all.add(&selector.of_table);
        }
        all
    }

    /// Parses a query. What rules record is read as their expressions. Error: it does not parse as PromQL with these
    /// features.
    pub(crate) fn parse(
        text: &str,
        names: &Names,
        parsing: &ParseOptions,
    ) -> Result<SignalQuery, QueryError> {
        let query = Query::parse(text, &parsing.features)?;
        let (query, unreadable) = match query.with_recorded(&parsing.recorded) {
            Ok(expanded) => (expanded.unwrap_or(query), None),
            Err(why) => (query, Some(why)),
        };
        let query = query.with_subquery_step(parsing.subquery_step_ms);
        Ok(SignalQuery {
            unreadable,
            ..SignalQuery::new(&query, names)
        })
    }

    pub(super) fn new(whole: &Query, names: &Names) -> SignalQuery {
        let (query, fallback) = match or_vector(whole.plan()) {
            Some((left, fallback)) => (whole.part(left), Some(fallback)),
            None => (whole.clone(), None),
        };
        // Before parts are filled with an `or` of our own.
        let mut alternatives = alternatives::of_selectors(query.plan()).into_iter();
        let kind = kind(query.plan(), names);
        let demand = Demand::of(query.plan(), names);
        let not_finite = not_finite::queries(&query);
        let writes_labels = query.plan().writes_labels();
        let leaves_nothing_out = |part: &Expr| query.part(part).operands().is_none();
        let filtered = filtered(query.plan())
            .filter(|(part, _)| fallback.is_none() && leaves_nothing_out(part));
        let comparison = match (&filtered, fallback) {
            (None, None) => Comparison::of(&query, names),
            _ => None,
        };
        let (filled, parts, is_opaque) = match combination(query.plan(), kind) {
            Combination::None => {
                let part = filtered.map(|(part, _)| SignalQuery::new(&query.part(part), names));
                (None, part.into_iter().collect(), false)
            }
            Combination::Opaque => (None, Vec::new(), true),
            Combination::Sums(sums) => {
                // A sum without series is 0 if that is proven, and the others still count.
                let filled = query.with_zero_for_empty(&sums);
                let part = |sum: &&Expr| SignalQuery {
                    // What `or vector(c)` waives, it waives for each part.
                    fallback,
                    ..SignalQuery::new(&query.part(sum), names)
                };
                (Some(filled), sums.iter().map(part).collect(), false)
            }
        };
        let filter = filtered.map(|(_, filter)| filter);
        let query = filled.unwrap_or(query);
        let window_ms = window_ms(query.plan());
        let selectors: Vec<Selector> = query
            .selectors()
            .zip(carried::of_selectors(query.plan()))
            .map(|(used, carried)| Selector {
                alternatives: alternatives.next().unwrap_or_default(),
                ..Selector::from_use(used, carried, window_ms)
            })
            .collect();
        let grouping = grouping(query.plan());
        let is_absent = is_absent(query.plan());
        let has_offset = has_offset(query.plan());
        SignalQuery {
            query,
            fallback,
            selectors,
            kind,
            demand,
            not_finite,
            writes_labels,
            grouping,
            parts,
            is_opaque,
            filter,
            comparison,
            is_absent,
            has_offset,
            unreadable: None,
        }
    }
}

impl SignalQuery {
    /// How far back the query reads at most, in milliseconds.
    pub(crate) fn window_ms(&self) -> i64 {
        let windows = self.selectors.iter().map(|selector| selector.window_ms);
        windows.max().unwrap_or(0)
    }

    /// Whether it reads a time that is not known beforehand (`@`, or a duration that is not constant).
    pub(crate) fn has_open_window(&self) -> bool {
        self.window_ms() >= UNKNOWN_WINDOW_MS
    }

    /// The metrics that it reads by a fixed name.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &str> {
        self.selectors
            .iter()
            .filter_map(|selector| selector.metric.as_deref())
    }

    /// The matchers of each selector.
    pub(crate) fn matchers(&self) -> Vec<Vec<Matcher>> {
        self.selectors
            .iter()
            .map(|selector| selector.matchers.clone())
            .collect()
    }
}

impl Selector {
    /// The matchers that no series without the label can match: an empty result that they cause proves nothing about series
    /// without it.
    pub(crate) fn required(&self) -> impl Iterator<Item = &Matcher> {
        let requires = |matcher: &&Matcher| matcher.name() != METRIC_NAME && !matcher.matches("");
        self.matchers.iter().filter(requires)
    }

    /// Its text without range and offset, for reasons.
    pub(crate) fn text(&self) -> String {
        let conditions: Vec<String> = self
            .matchers
            .iter()
            .filter(|matcher| self.metric.is_none() || matcher.name() != METRIC_NAME)
            .map(Matcher::to_string)
            .collect();
        let metric = self.metric.as_deref().unwrap_or("");
        match conditions.is_empty() {
            true => metric.to_owned(),
            false => format!("{metric}{{{}}}", conditions.join(", ")),
        }
    }

    /// The matchers on the metric name.
    pub(crate) fn name_matchers(&self) -> impl Iterator<Item = &Matcher> {
        let of_name = |matcher: &&Matcher| matcher.name() == METRIC_NAME;
        self.matchers.iter().filter(of_name)
    }

    fn from_use(
        used: crate::promql::SelectorUse<'_>,
        carried: Carried,
        window_ms: i64,
    ) -> Selector {
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
        let of_name = used.matchers.iter();
        let of_name: Vec<&Matcher> = of_name.filter(|one| one.name() == METRIC_NAME).collect();
        Selector {
            metric: named.map(|matcher| matcher.value().to_owned()),
            of_table: TableMetrics::read_by(named.map(Matcher::value), &of_name),
            pins: pins
                .map(|matcher| (matcher.name().to_owned(), matcher.value().to_owned()))
                .collect(),
            matchers: used.matchers.to_vec(),
            carried,
            alternatives: Alternatives::default(),
            window_ms,
        }
    }
}

fn is_absent(expr: &Expr) -> bool {
    matches!(
        &peel(expr).kind,
        ExprKind::Call { function, .. }
            if matches!(function.id, FunctionId::Absent | FunctionId::AbsentOverTime)
    )
}

fn has_offset(plan: &Expr) -> bool {
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

/// Longer than any history, so that a window that is not known beforehand is never covered.
const UNKNOWN_WINDOW_MS: i64 = i64::MAX / 4;

/// How far back an expression reads, in milliseconds.
fn window_ms(expr: &Expr) -> i64 {
    let length = |duration: &Duration| duration.fixed_ms().unwrap_or(UNKNOWN_WINDOW_MS).max(0);
    // An instant query starts and ends at its own time.
    let at = |at: Option<At>| match at {
        Some(At::Time(_)) => UNKNOWN_WINDOW_MS,
        Some(At::Start | At::End) | None => 0,
    };
    let of_selector = |selector: &crate::promql::plan::Selector| {
        length(&selector.offset).saturating_add(at(selector.at))
    };
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

/// What is compared with a number at the top of a query, so that elements are left out.
fn filtered(expr: &Expr) -> Option<(&Expr, Filter)> {
    let ExprKind::Binary(binary) = &peel(expr).kind else {
        return None;
    };
    let mirrored = match binary.op {
        _ if binary.return_bool => return None,
        BinaryOp::Gtr => BinaryOp::Lss,
        BinaryOp::Gte => BinaryOp::Lte,
        BinaryOp::Lss => BinaryOp::Gtr,
        BinaryOp::Lte => BinaryOp::Gte,
        op @ (BinaryOp::Eql | BinaryOp::Neq) => op,
        _ => return None,
    };
    match (number(&binary.lhs), number(&binary.rhs)) {
        (None, Some(limit)) => Some((
            &binary.lhs,
            Filter {
                op: binary.op,
                limit,
            },
        )),
        (Some(limit), None) => Some((
            &binary.rhs,
            Filter {
                op: mirrored,
                limit,
            },
        )),
        _ => None,
    }
}

/// How a sum is composed.
enum Combination<'e> {
    /// One sum, perhaps scaled.
    None,
    /// Several sums, or a clamped one.
    Sums(Vec<&'e Expr>),
    /// Several that cannot be replaced by 0 one by one.
    Opaque,
}

fn combination(expr: &Expr, kind: Kind) -> Combination<'_> {
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

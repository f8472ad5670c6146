//! From the text of a query to the properties that the rules depend on.

use crate::promql::plan::{BinaryOp, Expr, ExprKind};
use crate::promql::{FunctionId, Query, QueryError};

use super::alternatives;
use super::comparison::Comparison;
use super::expr::{number, peel};
use super::filter::filtered;
use super::kind::kind;
use super::selector::Selector;
use super::sums::{Combination, combination};
use super::window::{has_offset, window_ms};
use super::{ParseOptions, SignalQuery};
use crate::signal::carried;
use crate::signal::demand::Demand;
use crate::signal::names::Names;
use crate::signal::not_finite;

impl SignalQuery {
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
        // Below a subquery, too, where an empty result would say nothing of it.
        let leaves_nothing_out = |part: &Expr| !query.part(part).leaves_out();
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
        let leaves_out = leaves_out(query.plan());
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
            leaves_out,
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

fn is_absent(expr: &Expr) -> bool {
    matches!(
        &peel(expr).kind,
        ExprKind::Call { function, .. }
            if matches!(function.id, FunctionId::Absent | FunctionId::AbsentOverTime)
    )
}

fn leaves_out(plan: &Expr) -> bool {
    let mut found = false;
    plan.walk(&mut |expr| {
        if let ExprKind::Binary(binary) = &expr.kind {
            found |= binary.op.is_comparison() && !binary.return_bool;
        }
    });
    found
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

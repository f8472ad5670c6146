//! What a query compares and combines, where comparisons, `and` or `unless` leave elements out (S5).
//!
//! A comparison with a number at the top of a query is told apart ([`Filter`](super::Filter)), because it keeps what it lets
//! through. Of any other combination three things are looked at where its result is empty: its operands, each of which has to be
//! there or be proven to be 0; the query where every comparison holds, which has to yield something, for operands that find
//! nothing of one another leave nothing whatever they are; and the query with 0 for what is proven to be, which has to be as
//! empty.

use super::{Selector, SignalQuery};
use crate::promql::Query;
use crate::promql::plan::{Expr, ExprKind};
use crate::signal::names::Names;

/// The parts of a query that leaves elements out.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) operands: Vec<SignalQuery>,
    /// The query with 0 for each sum of its operands that has no series.
    filled: Query,
    /// The same where every comparison holds.
    holds: Query,
}

impl Comparison {
    /// Those of a query; `None` where it leaves nothing out, or an empty result says nothing of that.
    pub(in crate::signal) fn of(query: &Query, names: &Names) -> Option<Comparison> {
        let operands = query.operands()?;
        if !query.compares_each_element() {
            return None;
        }
        let sums: Vec<&Expr> = operands.iter().copied().filter(|one| is_sum(one)).collect();
        let filled = query.with_zero_for_empty(&sums);
        let part = |operand: &Expr| SignalQuery::new(&query.part(operand), names);
        Some(Comparison {
            operands: operands.into_iter().map(part).collect(),
            holds: filled.where_all_hold(),
            filled,
        })
    }

    /// The queries of which it counts whether they yield anything: the operands, then the two.
    pub(in crate::signal) fn looked_at(&self) -> impl Iterator<Item = &Query> {
        let operands = self.operands.iter().map(|operand| &operand.query);
        operands.chain([&self.filled, &self.holds])
    }

    /// Why an empty result is no answer.
    pub(in crate::signal) fn why_unknown(&self) -> String {
        let selectors = self.operands.iter().flat_map(|one| &one.selectors);
        let mut read: Vec<String> = selectors.map(Selector::text).collect();
        read.dedup();
        format!(
            "the result is empty, and not because a comparison leaves out what was measured: something of {} has no series, or \
             what is combined has no labels in common; add `or vector(0)` to what may be absent if that means 0, or say by \
             `on(...)` which labels have to be equal",
            read.join(", ")
        )
    }
}

/// One number, so that 0 can stand in for it.
fn is_sum(expr: &Expr) -> bool {
    match &expr.bare().kind {
        ExprKind::Aggregate(aggregate) => aggregate.grouping.is_empty() && !aggregate.without,
        _ => false,
    }
}

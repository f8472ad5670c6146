//! S5 for comparisons, `and` and `unless`, which leave elements out: whether a result is empty because they have left out all that
//! was measured, which is an answer, or because something was not there.
//!
//! A comparison with a number at the top of a query is told apart ([`Filter`](super::query::Filter)), because it keeps what it
//! lets through: what is proven to be 0 is compared as 0. Of any other combination three things are looked at where its result is
//! empty: its operands, each of which has to be there or be proven to be 0; the query where every comparison holds, which has to
//! yield something, for operands that find nothing of one another leave nothing whatever they are; and the query with 0 for
//! what is proven to be, which has to be as empty.

use crate::labels::Labels;
use crate::promql::Query;
use crate::promql::plan::{Expr, ExprKind};
use crate::time::Timestamp;

use super::absence;
use super::assess::{Held, Scopes};
use super::assessment::Assessment;
use super::names::Names;
use super::query::{Filter, Selector, SignalQuery};
use super::reading::Element;
use super::signal::Signal;

/// The parts of a query that leaves elements out.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    operands: Vec<SignalQuery>,
    /// The query with 0 for each sum of its operands that has no series.
    filled: Query,
    /// The same where every comparison holds.
    holds: Query,
}

impl Comparison {
    /// Those of a query; `None` where it leaves nothing out, or an empty result says nothing of that.
    pub(super) fn of(query: &Query, names: &Names) -> Option<Comparison> {
        let operands = query.operands()?;
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
    pub(super) fn looked_at(&self) -> impl Iterator<Item = &Query> {
        let operands = self.operands.iter().map(|operand| &operand.query);
        operands.chain([&self.filled, &self.holds])
    }

    /// Why an empty result is no answer.
    pub(super) fn why_unknown(&self) -> String {
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

/// What an evaluation says of the comparisons of a query whose result is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeftOut {
    /// They leave nothing of what is there, 0 included where that is proven.
    pub all: bool,
    /// The operands that have no series, which has to be proven to mean 0.
    pub operands_empty: Vec<usize>,
}

impl LeftOut {
    /// What follows of an empty result from which of the queries are empty that [`Comparison::looked_at`] names, `looked_at` of them.
    pub(super) fn note(&mut self, looked_at: usize, is_empty: impl Fn(usize) -> bool) {
        self.clear();
        let Some(operands) = looked_at.checked_sub(2) else {
            return; // nothing is compared
        };
        self.operands_empty
            .extend((0..operands).filter(|at| is_empty(*at)));
        let (filled, holds) = (operands, operands + 1);
        self.all = is_empty(filled) && !is_empty(holds);
    }

    pub(super) fn clear(&mut self) {
        self.all = false;
        self.operands_empty.clear();
    }
}

impl Signal {
    /// S5: what a comparison with a number tells that has left out every element of what it compares. That was measured, so nothing
    /// is what there is; what is proven to be 0 is compared as 0. Within a grace it is what was measured before.
    pub(super) fn filtered<'a>(
        &'a self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'a>,
        (filter, part): (Filter, &'a SignalQuery),
        held: &mut Held,
    ) -> Result<Option<Element>, String> {
        self.check_finite(&Labels::empty(), assessment.pins)?;
        let time_ms = self.judge(assessment, &scopes.whole, held)?;
        let was_empty = !self.empty_parts.is_empty();
        if !was_empty {
            self.was_measured(assessment, scopes, part)?;
        }
        let floor = self.floor(&Labels::empty(), assessment);
        let idle = part.fallback.unwrap_or(0.0);
        let zero = (was_empty && filter.keeps(idle) && part.grouping.is_empty()).then_some(idle);
        let value = floor.into_iter().chain(zero).reduce(f64::max);
        Ok(value.map(|value| element(value, time_ms)))
    }

    /// The same of any other combination of comparisons that leaves nothing; each operand is measured or proven to be 0.
    pub(super) fn combined<'a>(
        &'a self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'a>,
        comparison: &'a Comparison,
        held: &mut Held,
    ) -> Result<Option<Element>, String> {
        self.check_finite(&Labels::empty(), assessment.pins)?;
        let time_ms = self.judge(assessment, &scopes.whole, held)?;
        let at_ms = self.at_ms.unwrap_or(assessment.now_ms);
        for (at, operand) in comparison.operands.iter().enumerate() {
            if self.left_out.operands_empty.contains(&at) {
                let scope = scopes
                    .candidates
                    .scope(assessment.pins, operand, &self.policy);
                absence::prove(assessment, &scope, operand, &self.policy, at_ms)?;
            } else {
                self.was_measured(assessment, scopes, operand)?;
            }
        }
        let floor = self.floor(&Labels::empty(), assessment);
        Ok(floor.map(|floor| element(floor, time_ms)))
    }

    /// Checks of what has elements, all of which were left out, that they are all there are.
    fn was_measured<'a>(
        &'a self,
        assessment: Assessment<'_>,
        scopes: &Scopes<'a>,
        part: &'a SignalQuery,
    ) -> Result<(), String> {
        // That others were measured says nothing of one that nobody has.
        if let Some(why) = absence::unseen_pin(assessment, part) {
            return Err(why);
        }
        let scope = scopes.candidates.scope(assessment.pins, part, &self.policy);
        // Any of its elements may be 0.
        absence::complete(assessment, &scope, part, &self.policy, true)
    }
}

fn element(value: f64, time_ms: i64) -> Element {
    Element {
        labels: Labels::empty(),
        value,
        time: Timestamp::from_ms(time_ms),
    }
}

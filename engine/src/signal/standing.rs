//! Signals that need no query engine: one aggregation over instant selectors, and arithmetic with constants.
//!
//! The series that belong to such a signal are found once, when a page's structure changes; after that an evaluation
//! is a fold over their current values in the store, ascending by id, with the additions that the query engine would
//! make, bit for bit. A frozen target needs no care: its rows stand as its last good page left them.
//!
//! Budget: 2 us per 1,000 series, no allocation (`tests/zero_alloc`, bench `standing`).

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::labels::{Labels, METRIC_NAME, MatchOp, Matcher};
use crate::promql::plan::{AggregateOp, BinaryOp, Expr, ExprKind};
use crate::promql::standing::{fold_max, fold_min, kahan_inc};
use crate::store::{ClockId, SeriesId, Store, TargetId, for_each_match};

use super::facts::Facts;
use super::names::{FAMILIES, Names};

/// A query in this form, and the series that belong to it.
pub(crate) struct Standing {
    op: AggregateOp,
    by: Vec<String>,
    matchers: Vec<Matcher>,
    /// Applied to the result, first to last.
    steps: Vec<Step>,
    members: Vec<Member>,
    groups: Vec<Labels>,
    /// One per group.
    folds: Vec<Fold>,
    /// The structure at which members were found; `None`: not yet, or this query's targets need the query engine.
    found_at: Option<u64>,
    usable: bool,
}

/// `result op constant`, or `constant op result`.
struct Step {
    op: BinaryOp,
    constant: f64,
    constant_first: bool,
}

struct Member {
    series: SeriesId,
    target: TargetId,
    group: u32,
    clamp_negative: bool,
}

#[derive(Clone, Copy, Default)]
struct Fold {
    count: u64,
    value: f64,
    compensation: f64,
}

impl Standing {
    /// The query in this form, if it has it.
    pub(crate) fn compile(plan: &Expr) -> Option<Standing> {
        let mut steps = Vec::new();
        let mut expr = peel(plan);
        while let ExprKind::Binary(binary) = &expr.kind {
            if !matches!(
                binary.op,
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div
            ) {
                return None;
            }
            let (constant, inner, constant_first) = match (number(&binary.lhs), number(&binary.rhs))
            {
                (Some(constant), None) => (constant, &binary.rhs, true),
                (None, Some(constant)) => (constant, &binary.lhs, false),
                _ => return None,
            };
            steps.insert(
                0,
                Step {
                    op: binary.op,
                    constant,
                    constant_first,
                },
            );
            expr = peel(inner);
        }
        let ExprKind::Aggregate(aggregate) = &expr.kind else {
            return None;
        };
        let known = matches!(
            aggregate.op,
            AggregateOp::Sum | AggregateOp::Count | AggregateOp::Min | AggregateOp::Max
        );
        let ExprKind::Selector(selector) = &peel(&aggregate.expr).kind else {
            return None;
        };
        let plain = selector.offset.fixed_ms() == Some(0)
            && selector.at.is_none()
            && selector.edges == crate::promql::plan::Edges::Plain
            && selector.metric_name().is_some();
        if !known || !plain || aggregate.without {
            return None;
        }
        Some(Standing {
            op: aggregate.op,
            by: aggregate
                .grouping
                .iter()
                .map(|label| label.to_string())
                .collect(),
            matchers: selector.matchers.clone(),
            steps,
            members: Vec::new(),
            groups: Vec::new(),
            folds: Vec::new(),
            found_at: None,
            usable: true,
        })
    }

    /// Evaluates into `result`. False where this query's targets need the query engine. `hidden` targets are not seen.
    pub(crate) fn evaluate(
        &mut self,
        store: &RwLock<Store>,
        facts: &Facts,
        names: &Names,
        hidden: &[TargetId],
        result: &mut Vec<(Labels, f64)>,
    ) -> bool {
        if self.found_at != Some(facts.structure) {
            self.find_members(store, facts, names);
            self.found_at = Some(facts.structure);
        }
        if !self.usable {
            return false;
        }
        self.fold(&store.read(), hidden);
        result.clear();
        for (labels, fold) in self.groups.iter().zip(&self.folds) {
            if fold.count > 0 {
                result.push((labels.clone(), self.finish(fold)));
            }
        }
        true
    }

    /// Series that belong to it.
    pub(crate) fn series(&self) -> usize {
        self.members.len()
    }

    fn fold(&mut self, store: &Store, hidden: &[TargetId]) {
        self.folds.fill(Fold::default());
        for member in &self.members {
            let row = store.series.row(member.series);
            if !row.is_present() || (!hidden.is_empty() && hidden.contains(&member.target)) {
                continue;
            }
            let mut value = f64::from_bits(row.bits);
            if member.clamp_negative && value < 0.0 {
                value = 0.0;
            }
            let fold = &mut self.folds[member.group as usize];
            fold.count += 1;
            match (self.op, fold.count) {
                (AggregateOp::Count, _) => {}
                (_, 1) => fold.value = value,
                (AggregateOp::Sum, _) => kahan_inc(value, &mut fold.value, &mut fold.compensation),
                (AggregateOp::Max, _) => fold_max(value, &mut fold.value),
                _ => fold_min(value, &mut fold.value),
            }
        }
    }

    fn finish(&self, fold: &Fold) -> f64 {
        let start = match self.op {
            AggregateOp::Count => fold.count as f64,
            AggregateOp::Sum => fold.value + fold.compensation,
            _ => fold.value,
        };
        self.steps.iter().fold(start, |value, step| {
            let (left, right) = if step.constant_first {
                (step.constant, value)
            } else {
                (value, step.constant)
            };
            match step.op {
                BinaryOp::Add => left + right,
                BinaryOp::Sub => left - right,
                BinaryOp::Mul => left * right,
                _ => left / right,
            }
        })
    }

    /// Finds the series anew. Where some target exposes the family under a name with other labels, its series have to
    /// be derived, which is the view's work.
    fn find_members(&mut self, store: &RwLock<Store>, facts: &Facts, names: &Names) {
        self.members.clear();
        self.groups.clear();
        let is_name =
            |matcher: &&Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
        let metric = self
            .matchers
            .iter()
            .find(is_name)
            .map(|m| m.value().to_owned())
            .unwrap_or_default();
        let mut spellings = vec![(metric.clone(), 0u8)];
        let mut row_and_asked = None;
        if let Some((family, name, suffix)) = names.family(&metric) {
            let row = FAMILIES
                .iter()
                .position(|have| std::ptr::eq(have, family))
                .unwrap_or_default();
            let asked = family
                .names
                .iter()
                .position(|have| have.family == name.family)
                .unwrap_or_default();
            row_and_asked = Some((row, asked));
            spellings.clear();
            for (at, other) in family.names.iter().enumerate() {
                let needed = facts
                    .listed()
                    .any(|(_, target)| target.reads_as(row, asked) == at);
                if needed && other.labels != name.labels {
                    self.usable = false;
                    return;
                }
                spellings.push((format!("{}{suffix}", other.family), at as u8));
            }
            spellings.sort_by_key(|(_, at)| usize::from(*at) != asked);
        }
        self.usable = true;
        let mut groups: HashMap<Labels, u32> = HashMap::new();
        for (spelling, at) in spellings {
            let mut matchers = self.matchers.clone();
            for matcher in matchers
                .iter_mut()
                .filter(|m| m.name() == METRIC_NAME && m.op() == MatchOp::Equal)
            {
                *matcher = Matcher::equal(METRIC_NAME, &spelling);
            }
            let clamp_negative = Names::is_queue_gauge(&spelling);
            for_each_match(store, &matchers, |store, series| {
                // An absent series comes back through `Facts::structure`; its number may be another's by then.
                if !store.series.row(series).is_present() {
                    return 0;
                }
                let clock = store.series.row(series).clock;
                if clock == ClockId::OWN {
                    self.usable = false;
                    return 0;
                }
                let target = TargetId(clock.0 / 2);
                let reads = row_and_asked.map(|(row, asked)| {
                    facts
                        .target(target)
                        .map_or(asked, |facts| facts.reads_as(row, asked))
                });
                if reads.is_some_and(|reads| reads != usize::from(at)) {
                    return 0;
                }
                let all = store.series.labels(series);
                let key = all.filter(|label| self.by.iter().any(|by| by == label));
                let next = groups.len() as u32;
                let group = *groups.entry(key.clone()).or_insert(next);
                if group == next {
                    self.groups.push(key);
                }
                self.members.push(Member {
                    series,
                    target,
                    group,
                    clamp_negative,
                });
                0
            });
        }
        self.folds.clear();
        self.folds.resize(self.groups.len(), Fold::default());
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

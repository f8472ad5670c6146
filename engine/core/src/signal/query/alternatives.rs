//! What may stand in for a selector: the other sides of each `or` within which it stands, and a constant there (`or vector(0)`).
//! An `or` elsewhere in the query says nothing of it.

use crate::promql::FunctionId;
use crate::promql::plan::{Binary, BinaryOp, Expr, ExprKind, Matching};

/// What may stand in for one selector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alternatives {
    /// The other sides, each of which may stand in.
    sides: Vec<Other>,
    /// Whether one of them is a constant: the query says what an absence means.
    pub(crate) has_constant: bool,
    /// It excludes (`unless`): what stands beside what is left of that says nothing of it.
    excludes: bool,
}

#[derive(Clone, Debug)]
struct Other {
    side: Side,
    /// The `or` takes series one by one. Between aggregates one side is read only where the other is empty for all targets.
    is_by_series: bool,
}

/// What one side of an `or` reads; selectors are numbered in the order of the text.
#[derive(Clone, Debug)]
enum Side {
    Selector(usize),
    /// It is there where all of these are.
    All(Vec<Side>),
    /// It is there where one of these is.
    Any(Vec<Side>),
    /// It may be empty where what it reads is there.
    Unsure,
}

impl Alternatives {
    /// Whether one of the other sides stands in: whether all is there that it reads. Of a selector that concerns nobody `is_there`
    /// says `None`.
    pub(crate) fn stand_in(&self, is_there: &dyn Fn(usize) -> Option<bool>) -> bool {
        let mut sides = self.sides.iter();
        sides.any(|one| one.side.is_there(is_there) == Some(true))
    }

    /// The same of a target's series, where others may have some of what the selector reads.
    pub(crate) fn stand_in_beside_others(&self, is_there: &dyn Fn(usize) -> Option<bool>) -> bool {
        let mut sides = self.sides.iter().filter(|one| one.is_by_series);
        sides.any(|one| one.side.is_there(is_there) == Some(true))
    }

    fn add(&mut self, side: &Side, is_by_series: bool) {
        if self.excludes {
            return;
        }
        self.has_constant |= side.is_never_empty();
        let side = side.clone();
        self.sides.push(Other { side, is_by_series });
    }
}

impl Side {
    fn is_there(&self, is_there: &dyn Fn(usize) -> Option<bool>) -> Option<bool> {
        match self {
            Side::Selector(index) => is_there(*index),
            Side::Unsure => Some(false),
            Side::All(all) => {
                let all = all.iter().filter_map(|one| one.is_there(is_there));
                all.reduce(|one, other| one && other)
            }
            Side::Any(any) => {
                let any = any.iter().filter_map(|one| one.is_there(is_there));
                any.reduce(|one, other| one || other)
            }
        }
    }

    /// Whether it yields something whatever pages show: a constant, or what ends with `or` one.
    fn is_never_empty(&self) -> bool {
        match self {
            Side::Selector(_) | Side::Unsure => false,
            Side::All(sides) => sides.iter().all(Side::is_never_empty),
            Side::Any(sides) => sides.iter().any(Side::is_never_empty),
        }
    }

    /// What is left of it by a filter.
    fn filtered(self) -> Side {
        match self.is_never_empty() {
            true => Side::Unsure,
            false => self,
        }
    }
}

/// Those of each selector of an expression, in the order of the text.
pub(super) fn of_selectors(expr: &Expr) -> Vec<Alternatives> {
    let mut found = Vec::new();
    collect(expr, &mut found);
    found
}

fn collect(expr: &Expr, found: &mut Vec<Alternatives>) -> Side {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => Side::All(Vec::new()),
        ExprKind::Selector(_) | ExprKind::Range { .. } => {
            found.push(Alternatives::default());
            Side::Selector(found.len() - 1)
        }
        ExprKind::Subquery(subquery) => collect(&subquery.expr, found),
        ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
            collect(inner, found)
        }
        ExprKind::Call { function, args } => {
            let read = args.iter().map(|arg| collect(arg, found)).collect();
            match function.id {
                FunctionId::Absent | FunctionId::AbsentOverTime => Side::Unsure,
                _ => Side::All(read),
            }
        }
        ExprKind::Aggregate(aggregate) => {
            let read = aggregate.param.iter().chain([&aggregate.expr]);
            Side::All(read.map(|one| collect(one, found)).collect())
        }
        ExprKind::Binary(binary) => collect_binary(binary, found),
    }
}

fn collect_binary(binary: &Binary, found: &mut Vec<Alternatives>) -> Side {
    let start = found.len();
    let left = collect(&binary.lhs, found);
    let middle = found.len();
    let right = collect(&binary.rhs, found);
    match binary.op {
        BinaryOp::Or => {
            let is_by_series = is_by_all_labels(&binary.matching)
                && [&binary.lhs, &binary.rhs].into_iter().all(keeps_series);
            let of_left = found[start..middle].iter_mut();
            of_left.for_each(|one| one.add(&right, is_by_series));
            let of_right = found[middle..].iter_mut();
            of_right.for_each(|one| one.add(&left, is_by_series));
            Side::Any(vec![left, right])
        }
        // It is there without what it excludes.
        BinaryOp::Unless => {
            let excluding = found[middle..].iter_mut();
            excluding.for_each(|one| one.excludes = true);
            left.filtered()
        }
        op if op.is_comparison() && !binary.return_bool => Side::All(vec![left, right]).filtered(),
        _ => Side::All(vec![left, right]),
    }
}

/// Whether an expression yields an element for each series that it reads, with its labels.
fn keeps_series(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::Selector(_) | ExprKind::Range { .. } => true,
        ExprKind::Subquery(subquery) => keeps_series(&subquery.expr),
        ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
            keeps_series(inner)
        }
        ExprKind::Call { function, args } => {
            let changes = matches!(
                function.id,
                FunctionId::Absent
                    | FunctionId::AbsentOverTime
                    | FunctionId::Scalar
                    | FunctionId::Vector
                    | FunctionId::LabelReplace
                    | FunctionId::LabelJoin
                    | FunctionId::Info
            );
            !changes && args.iter().all(keeps_series)
        }
        ExprKind::Aggregate(_) => false,
        ExprKind::Binary(binary) => {
            is_by_all_labels(&binary.matching)
                && [&binary.lhs, &binary.rhs].into_iter().all(keeps_series)
        }
    }
}

fn is_by_all_labels(matching: &Matching) -> bool {
    matching.labels.is_empty() && !matching.on
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{Features, Query};

    /// Of each selector, with which of the metrics alone something stands in for it, and whether a constant does.
    #[test]
    fn an_or_speaks_for_the_selectors_within_it() {
        for (text, expected) in [
            ("sum(a)", &[("", false)][..]),
            ("sum(a) or vector(0)", &[("", true)]),
            ("sum(a) or sum(b)", &[("b", false), ("a", false)]),
            ("sum(a or b)", &[("b", false), ("a", false)]),
            ("(sum(a) or vector(0)) + sum(b)", &[("", true), ("", false)]),
            (
                "(sum(a) or sum(c)) + sum(b)",
                &[("c", false), ("a", false), ("", false)],
            ),
            (
                "sum(a) or sum(b) or sum(c)",
                &[("bc", false), ("ac", false), ("ab", false)],
            ),
            (
                "(sum(a) + sum(b)) or sum(c)",
                &[("c", false), ("c", false), ("", false)],
            ),
            (
                "((sum(a) or vector(0)) + (sum(b) or vector(0))) / sum(c)",
                &[("", true), ("", true), ("", false)],
            ),
            (
                "(a unless b) or c",
                &[("c", false), ("", false), ("a", false)],
            ),
            ("vector(0) or sum(a)", &[("", true)]),
            (
                "sum(c) or (sum(a) or vector(0))",
                &[("a", true), ("c", true)],
            ),
            ("sum(a) or (vector(0) > 1)", &[("", false)]),
            (
                "sum(a) or (vector(0) unless b)",
                &[("", false), ("", false)],
            ),
            ("sum(a) or absent(b)", &[("", false), ("a", false)]),
        ] {
            let query = Query::parse(text, &Features::all()).expect(text);
            let names = query.selectors().map(|one| one.matchers[0].value());
            let names: Vec<&str> = names.collect();
            let alternatives = of_selectors(query.plan());
            let found = alternatives.iter().map(|one| {
                let stands_in = |name: &&&str| one.stand_in(&|index| Some(names[index] == **name));
                let alone: String = names.iter().filter(stands_in).copied().collect();
                (alone, one.has_constant)
            });
            let found: Vec<(String, bool)> = found.collect();
            let expected = expected
                .iter()
                .map(|(alone, has)| (alone.to_string(), *has));
            assert_eq!(found, expected.collect::<Vec<_>>(), "{text}");
        }
    }
    /// Between aggregates the other side is not read while any target has something of the first.
    #[test]
    fn only_below_aggregations_an_or_takes_series_one_by_one() {
        for (text, expected) in [
            ("sum(a or b)", true),
            ("sum(rate(a[1m]) * 2 or b > 0)", true),
            ("sum(a) or sum(b)", false),
            ("sum by (pod) (a) or b", false),
            ("a or on (pod) b", false),
            ("a or on () b", false),
            ("a or ignoring (pod) b", false),
            ("a or label_replace(b, \"x\", \"y\", \"\", \"\")", false),
        ] {
            let query = Query::parse(text, &Features::all()).expect(text);
            for one in of_selectors(query.plan()) {
                assert!(one.stand_in(&|_| Some(true)), "{text}");
                assert_eq!(
                    one.stand_in_beside_others(&|_| Some(true)),
                    expected,
                    "{text}"
                );
            }
        }
    }
}

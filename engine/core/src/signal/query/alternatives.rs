//! What may stand in for a selector: the other sides of each `or` within which it stands, and a constant there (`or vector(0)`).
//! An `or` elsewhere in the query says nothing of it.

use crate::promql::plan::{BinaryOp, Expr, ExprKind};

/// What may stand in for one selector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alternatives {
    /// The other sides, each of which may stand in.
    sides: Vec<Side>,
    /// Whether one of them is a constant: the query says what an absence means.
    pub(crate) has_constant: bool,
}

/// What one side of an `or` reads; selectors are numbered in the order of the text.
#[derive(Clone, Debug)]
enum Side {
    Selector(usize),
    /// It is there where all of these are.
    All(Vec<Side>),
    /// It is there where one of these is.
    Any(Vec<Side>),
}

impl Alternatives {
    /// Whether one of the other sides stands in: whether all is there that it reads. Of a selector that concerns nobody `is_there`
    /// says `None`.
    pub(crate) fn stand_in(&self, is_there: &dyn Fn(usize) -> Option<bool>) -> bool {
        let mut sides = self.sides.iter();
        sides.any(|side| side.is_there(is_there) == Some(true))
    }

    fn add(&mut self, side: &Side) {
        match side.reads_nothing() {
            true => self.has_constant = true,
            false => self.sides.push(side.clone()),
        }
    }
}

impl Side {
    fn is_there(&self, is_there: &dyn Fn(usize) -> Option<bool>) -> Option<bool> {
        match self {
            Side::Selector(index) => is_there(*index),
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

    fn reads_nothing(&self) -> bool {
        match self {
            Side::Selector(_) => false,
            Side::All(sides) | Side::Any(sides) => sides.iter().all(Side::reads_nothing),
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
        ExprKind::Call { args, .. } => {
            Side::All(args.iter().map(|arg| collect(arg, found)).collect())
        }
        ExprKind::Aggregate(aggregate) => {
            let read = aggregate.param.iter().chain([&aggregate.expr]);
            Side::All(read.map(|one| collect(one, found)).collect())
        }
        ExprKind::Binary(binary) => {
            let start = found.len();
            let left = collect(&binary.lhs, found);
            let middle = found.len();
            let right = collect(&binary.rhs, found);
            match binary.op {
                BinaryOp::Or => {
                    let of_left = found[start..middle].iter_mut();
                    of_left.for_each(|one| one.add(&right));
                    let of_right = found[middle..].iter_mut();
                    of_right.for_each(|one| one.add(&left));
                    Side::Any(vec![left, right])
                }
                // It is there without what it excludes.
                BinaryOp::Unless => left,
                _ => Side::All(vec![left, right]),
            }
        }
    }
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
                &[("c", false), ("c", false), ("a", false)],
            ),
            ("vector(0) or sum(a)", &[("", true)]),
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
}

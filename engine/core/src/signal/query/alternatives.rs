//! What may stand in for a selector: the other sides of each `or` within which it stands, and a constant there (`or vector(0)`).
//! An `or` elsewhere in the query says nothing of it.

use std::sync::Arc;

use crate::limits::ALTERNATIVE_SELECTORS_MAX;
use crate::promql::FunctionId;
use crate::promql::plan::{Binary, BinaryOp, Expr, ExprKind, Matching, ValueType};

/// What may stand in for one selector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alternatives {
    /// The innermost `or` within which it stands. Selectors below the same one share it, so that a query of a thousand of them
    /// takes memory in proportion.
    or: Option<Arc<Or>>,
    /// Whether the other side of one of them is a constant: the query says what an absence means.
    pub(crate) has_constant: bool,
}

/// An `or`, seen from one of its sides.
#[derive(Debug)]
struct Or {
    /// The other side, which may stand in.
    other: Arc<Side>,
    /// It takes series one by one. Between aggregates one side is read only where the other is empty for all targets.
    is_by_series: bool,
    has_constant: bool,
    /// The next one within which this stands.
    above: Option<Arc<Or>>,
}

/// What one side of an `or` reads; selectors are numbered in the order of the text.
#[derive(Debug)]
enum Side {
    Selector(usize),
    /// It is there where all of these are. Of none it is a constant.
    All(Vec<Arc<Side>>),
    /// It is there where one of these is.
    Any(Vec<Arc<Side>>),
    /// It may be empty where what it reads is there: a comparison, a match with something else, or the right side of an `or` whose
    /// left side ends with a constant, which has its place.
    Filtered(Arc<Side>),
    /// The same, whatever it reads.
    Unsure,
}

impl Alternatives {
    /// Whether one of the other sides stands in: whether all is there that it reads. Of a selector that concerns nobody `is_there`
    /// says `None`.
    pub(crate) fn stand_in(&self, is_there: &dyn Fn(usize) -> Option<bool>) -> bool {
        let is_told = false;
        self.any(&Read { is_there, is_told }, |_| true)
    }

    /// Whether one of them is told in the place of a selector that nobody has anything of: a comparison may leave nothing. A side
    /// that reads what is lost, too, does not count: what it yields lacks the same.
    pub(crate) fn is_told_instead(
        &self,
        is_there: &dyn Fn(usize) -> Option<bool>,
        is_lost: &dyn Fn(usize) -> bool,
    ) -> bool {
        let is_told = true;
        self.any(&Read { is_there, is_told }, |or| !or.other.reads(is_lost))
    }

    /// The same of a target's series, where others may have some of what the selector reads.
    pub(crate) fn is_told_beside_others(
        &self,
        is_there: &dyn Fn(usize) -> Option<bool>,
        is_lost: &dyn Fn(usize) -> bool,
    ) -> bool {
        let is_told = true;
        self.any(&Read { is_there, is_told }, |or| {
            or.is_by_series && !or.other.reads(is_lost)
        })
    }

    fn any(&self, read: &Read<'_>, concerns: impl Fn(&Or) -> bool) -> bool {
        let mut ors = self.ors().filter(|or| concerns(or));
        ors.any(|or| or.other.is_there(read) == Some(true))
    }

    /// From the innermost on.
    fn ors(&self) -> impl Iterator<Item = &Or> {
        std::iter::successors(self.or.as_deref(), |or| or.above.as_deref())
    }
}

/// What is asked of a side.
struct Read<'a> {
    is_there: &'a dyn Fn(usize) -> Option<bool>,
    /// Whether it yields something, not only whether all is there that it reads.
    is_told: bool,
}

impl Side {
    fn is_there(&self, read: &Read<'_>) -> Option<bool> {
        match self {
            Side::Selector(index) => (read.is_there)(*index),
            Side::Unsure => Some(false),
            Side::Filtered(_) if read.is_told => Some(false),
            Side::Filtered(of) => of.is_there(read),
            Side::All(all) => {
                let all = all.iter().filter_map(|one| one.is_there(read));
                all.reduce(|one, other| one && other)
            }
            Side::Any(any) => {
                let any = any.iter().filter_map(|one| one.is_there(read));
                any.reduce(|one, other| one || other)
            }
        }
    }

    /// Whether one of its selectors is such a one, those aside of which it is not known what they leave.
    fn reads(&self, is_such: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Side::Selector(index) => is_such(*index),
            Side::Unsure => false,
            Side::Filtered(of) => of.reads(is_such),
            Side::All(sides) | Side::Any(sides) => sides.iter().any(|one| one.reads(is_such)),
        }
    }

    /// Whether it yields something whatever pages show: a constant, or what ends with `or` one.
    fn is_never_empty(&self) -> bool {
        match self {
            Side::Selector(_) | Side::Filtered(_) | Side::Unsure => false,
            Side::All(sides) => sides.iter().all(|one| one.is_never_empty()),
            Side::Any(sides) => sides.iter().any(|one| one.is_never_empty()),
        }
    }

    fn all(sides: impl IntoIterator<Item = Arc<Side>>) -> Arc<Side> {
        let is_constant = |side: &Side| matches!(side, Side::All(sides) if sides.is_empty());
        let sides = sides.into_iter().filter(|one| !is_constant(one));
        Arc::new(Side::All(sides.collect()))
    }

    /// What is left of it by a filter.
    fn filtered(self: Arc<Side>) -> Arc<Side> {
        Arc::new(match self.is_never_empty() {
            true => Side::Unsure,
            false => Side::Filtered(self),
        })
    }
}

/// Those of each selector of an expression, in the order of the text. Of more than [`ALTERNATIVE_SELECTORS_MAX`] none stands in for
/// another: who is asked for each would be asked for all.
pub(super) fn of_selectors(expr: &Expr) -> Vec<Alternatives> {
    let mut sides = Sides::default();
    sides.collect(expr);
    let mut found = Vec::new();
    let mut ors = sides.ors.into_iter().flatten();
    assign(expr, None, &mut ors, &mut found);
    if found.len() > ALTERNATIVE_SELECTORS_MAX {
        found.iter_mut().for_each(|one| one.or = None);
    }
    found
}

/// The sides of each `or`, in the order in which they begin.
#[derive(Default)]
struct Sides {
    selectors: usize,
    ors: Vec<Option<[Arc<Side>; 2]>>,
}

impl Sides {
    fn collect(&mut self, expr: &Expr) -> Arc<Side> {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) => Side::all([]),
            ExprKind::Selector(_) | ExprKind::Range { .. } => {
                self.selectors += 1;
                Arc::new(Side::Selector(self.selectors - 1))
            }
            ExprKind::Subquery(subquery) => self.collect(&subquery.expr),
            ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
                self.collect(inner)
            }
            ExprKind::Call { function, args } => {
                let read: Vec<_> = args.iter().map(|arg| self.collect(arg)).collect();
                match function.id {
                    FunctionId::Absent | FunctionId::AbsentOverTime => Arc::new(Side::Unsure),
                    _ => Side::all(read),
                }
            }
            ExprKind::Aggregate(aggregate) => {
                let read = aggregate.param.iter().chain([&aggregate.expr]);
                let read: Vec<_> = read.map(|one| self.collect(one)).collect();
                Side::all(read)
            }
            ExprKind::Binary(binary) => self.collect_binary(binary),
        }
    }

    fn collect_binary(&mut self, binary: &Binary) -> Arc<Side> {
        let or = (binary.op == BinaryOp::Or).then(|| {
            self.ors.push(None);
            self.ors.len() - 1
        });
        let [left, right] = [&binary.lhs, &binary.rhs].map(|side| self.collect(side));
        if let Some(or) = or {
            let right = match left.is_never_empty() {
                true => Arc::new(Side::Filtered(right)),
                false => right,
            };
            self.ors[or] = Some([Arc::clone(&left), Arc::clone(&right)]);
            return Arc::new(Side::Any(vec![left, right]));
        }
        match binary.op {
            // It is there without what it excludes.
            BinaryOp::Unless => left.filtered(),
            op if op.is_comparison() && !binary.return_bool => Side::all([left, right]).filtered(),
            _ if may_match_nothing(binary) => Side::all([left, right]).filtered(),
            _ => Side::all([left, right]),
        }
    }
}

/// Whether elements of the two sides of an operator may have other labels than those of the other.
fn may_match_nothing(binary: &Binary) -> bool {
    let sides = [&binary.lhs, &binary.rhs];
    let has_scalar = sides
        .iter()
        .any(|one| one.value_type() == ValueType::Scalar);
    !has_scalar && !sides.into_iter().all(has_no_labels)
}

/// Whether an expression yields one element without labels, or nothing.
fn has_no_labels(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::Selector(_) | ExprKind::Range { .. } => false,
        ExprKind::Subquery(subquery) => has_no_labels(&subquery.expr),
        ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
            has_no_labels(inner)
        }
        ExprKind::Call { args, .. } => !expr.writes_labels() && args.iter().all(has_no_labels),
        ExprKind::Aggregate(aggregate) => aggregate.is_one_number(),
        ExprKind::Binary(binary) => [&binary.lhs, &binary.rhs].into_iter().all(has_no_labels),
    }
}

/// Gives each selector the `or` within which it stands. `ors` come in the order of [`Sides::ors`].
fn assign(
    expr: &Expr,
    above: Option<&Arc<Or>>,
    ors: &mut dyn Iterator<Item = [Arc<Side>; 2]>,
    found: &mut Vec<Alternatives>,
) {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Selector(_) | ExprKind::Range { .. } => found.push(Alternatives {
            or: above.cloned(),
            has_constant: above.is_some_and(|or| or.has_constant),
        }),
        ExprKind::Subquery(subquery) => assign(&subquery.expr, above, ors, found),
        ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
            assign(inner, above, ors, found);
        }
        ExprKind::Call { args, .. } => {
            args.iter().for_each(|arg| assign(arg, above, ors, found));
        }
        ExprKind::Aggregate(aggregate) => {
            let read = aggregate.param.iter().chain([&aggregate.expr]);
            read.for_each(|one| assign(one, above, ors, found));
        }
        ExprKind::Binary(binary) => {
            let (of_left, of_right) = match binary.op {
                BinaryOp::Or => of_sides(binary, above, ors),
                // What stands beside what is left of it says nothing of what it excludes.
                BinaryOp::Unless => (above.cloned(), None),
                _ => (above.cloned(), above.cloned()),
            };
            assign(&binary.lhs, of_left.as_ref(), ors, found);
            assign(&binary.rhs, of_right.as_ref(), ors, found);
        }
    }
}

/// The next `or` as its left side sees it, and as its right one does.
fn of_sides(
    binary: &Binary,
    above: Option<&Arc<Or>>,
    ors: &mut dyn Iterator<Item = [Arc<Side>; 2]>,
) -> (Option<Arc<Or>>, Option<Arc<Or>>) {
    let is_by_series = is_by_all_labels(&binary.matching)
        && [&binary.lhs, &binary.rhs].into_iter().all(keeps_series);
    let seen = |other: Arc<Side>| {
        Arc::new(Or {
            has_constant: other.is_never_empty() || above.is_some_and(|or| or.has_constant),
            other,
            is_by_series,
            above: above.cloned(),
        })
    };
    match ors.next() {
        Some([left, right]) => (Some(seen(right)), Some(seen(left))),
        None => (None, None), // each was collected
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
            ("sum(rate(a[1m]) * 2 or b * 2)", true),
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
                    one.is_told_beside_others(&|_| Some(true), &|_| false),
                    expected,
                    "{text}"
                );
            }
        }
    }

    /// A page had lost `a` and showed `b` as 0, of which `b > 0` left nothing: what another page showed was told for both.
    #[test]
    fn a_side_that_may_yield_nothing_is_not_told_for_what_is_lost() {
        for (text, is_told) in [
            ("sum(a) or sum(b)", true),
            ("sum(a) or sum(b) + sum(c)", true),
            ("sum(a) or sum(b) * 2 + 1", true),
            ("sum(a) or sum(b) > bool 0", true),
            ("sum(a) or sum(b) > 0", false),
            ("sum(a) or sum(b > 0)", false),
            ("sum(a or b > 0)", false),
            ("sum(a or (b and on (x) c))", false),
            ("sum(a or (b unless c))", false),
            ("sum(a or b * on (x) c)", false),
            ("sum(a) or sum(b) / on (x) sum by (x) (c)", false),
            ("(sum(a) or vector(0)) or sum(b)", false),
            ("sum(a) or (vector(0) or sum(b))", false),
            ("sum(a) or (sum(b) or vector(0))", true),
            ("sum(a) or (sum(b) or vector(0) or sum(c))", true),
        ] {
            let query = Query::parse(text, &Features::all()).expect(text);
            let of_a = &of_selectors(query.plan())[0];
            let all = |_| Some(true);
            assert!(of_a.stand_in(&all), "{text}");
            let none = |_| false;
            assert_eq!(of_a.is_told_instead(&all, &none), is_told, "{text}");
            assert!(
                !of_a.is_told_beside_others(&all, &none) || is_told,
                "{text}"
            );
        }
    }

    /// Of `(sum(a or b) or vector(0)) or sum(b)` with `b` lost, `sum(a)` was told, as if `a` stood in for both.
    #[test]
    fn a_side_that_reads_what_is_lost_is_not_told_for_it() {
        for (text, is_told) in [
            ("sum(b) or sum(a)", true),
            ("sum(b) or sum(a or b)", false),
            ("sum(b) or (sum(a or b) or vector(0))", false),
            ("sum(b) or sum(a) or sum(a or b)", true),
            ("b or (a or b)", false),
        ] {
            let query = Query::parse(text, &Features::all()).expect(text);
            let names: Vec<_> = query
                .selectors()
                .map(|one| one.matchers[0].value())
                .collect();
            let of_b = &of_selectors(query.plan())[0];
            let shows = |at: usize| Some(names[at] == "a");
            let lost = |at: usize| names[at] == "b";
            assert_eq!(of_b.is_told_instead(&shows, &lost), is_told, "{text}");
            assert!(
                !of_b.is_told_beside_others(&shows, &lost) || is_told,
                "{text}"
            );
        }
    }

    /// A query of 7 kB, each of whose thousand selectors had a copy of all others, took 80 MB.
    #[test]
    fn of_a_thousand_selectors_none_is_copied() {
        let mut text = "a".to_owned();
        for _ in 0..9 {
            text = format!("({text} or {text})");
        }
        let query = Query::parse(&text, &Features::all()).expect("it parses");
        let many = of_selectors(query.plan());
        assert_eq!(many.len(), 512);
        assert!(many.iter().all(|one| !one.stand_in(&|_| Some(true))));
        let mut sides = Sides::default();
        sides.collect(query.plan());
        assert_eq!((sides.selectors, sides.ors.len()), (512, 511));
        let few = format!("sum({})", vec!["a"; ALTERNATIVE_SELECTORS_MAX].join(" or "));
        let query = Query::parse(&few, &Features::all()).expect("it parses");
        let few = of_selectors(query.plan());
        assert!(few.iter().all(|one| one.stand_in(&|_| Some(true))));
        // What stands above is shared.
        let outermost = few.iter().map(|one| one.ors().last().expect("one"));
        let mut outermost: Vec<*const Or> = outermost.map(std::ptr::from_ref).collect();
        outermost.sort_unstable();
        outermost.dedup();
        assert_eq!(outermost.len(), 2, "as its two sides see it");
    }
}

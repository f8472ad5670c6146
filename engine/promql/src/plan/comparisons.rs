//! Queries in which comparisons, `and` or `unless` leave elements out: what they compare and combine, and the same query where all
//! of them hold. Whoever reads an empty result can tell by them whether something was left out or nothing was there.

use super::expr::{Binary, Cardinality, Expr, ExprKind, Matching};
use super::function::FunctionId;
use super::operators::BinaryOp;
use super::types::ValueType;

impl Expr {
    /// Whether some comparison without `bool`, `and` or `unless` leaves elements out.
    pub(crate) fn leaves_out(&self) -> bool {
        let mut found = false;
        self.walk(&mut |expr| found |= is_condition(expr));
        found
    }

    /// What is compared and combined. `None`: nothing is left out, or an empty result says nothing of that (below a subquery,
    /// `absent` or `scalar`, and where missing sides are filled in).
    pub(crate) fn operands(&self) -> Option<Vec<&Expr>> {
        let mut operands = Vec::new();
        let is_told = self.leaves_out() && collect(self, &mut operands);
        (is_told && !operands.is_empty()).then_some(operands)
    }

    /// Whether an empty result says of each element that a comparison has left it out: no value can be NaN, which no comparison lets
    /// through, and wherever two vectors meet each is one number. Of pods that are compared with what others say of them some may
    /// find nothing to be compared with.
    pub(crate) fn compares_each_element(&self) -> bool {
        let mut each = true;
        self.walk(&mut |expr| {
            each &= match &expr.kind {
                ExprKind::Binary(binary) => {
                    let is_vector = |side: &Expr| side.value_type() == ValueType::Vector;
                    let meet = is_vector(&binary.lhs) && is_vector(&binary.rhs);
                    !may_divide_by_zero(binary)
                        && (!meet || (is_one_number(&binary.lhs) && is_one_number(&binary.rhs)))
                }
                ExprKind::Call { function, .. } => is_never_nan(function.id),
                _ => true,
            };
        });
        each
    }

    /// The same where every comparison holds and nothing is excluded: it yields something where the operands have elements that
    /// find one another.
    pub(crate) fn where_all_hold(&self) -> Expr {
        self.replaced(&|expr| {
            let ExprKind::Binary(binary) = &expr.kind else {
                return None;
            };
            if !is_condition(expr) {
                return None;
            }
            let is_vector = |side: &Expr| side.value_type() == ValueType::Vector;
            Some(match (is_vector(&binary.lhs), is_vector(&binary.rhs)) {
                (true, true) if binary.op != BinaryOp::Unless => and(expr, binary),
                (false, true) => binary.rhs.where_all_hold(),
                _ => binary.lhs.where_all_hold(),
            })
        })
    }
}

/// `lhs and rhs`, by the labels by which they are compared.
fn and(expr: &Expr, binary: &Binary) -> Expr {
    Expr {
        kind: ExprKind::Binary(Box::new(Binary {
            op: BinaryOp::And,
            lhs: binary.lhs.where_all_hold(),
            rhs: binary.rhs.where_all_hold(),
            return_bool: false,
            matching: Matching {
                cardinality: Cardinality::ManyToMany,
                on: binary.matching.on,
                labels: binary.matching.labels.clone(),
                ..Matching::default()
            },
        })),
        span: expr.span,
    }
}

fn may_divide_by_zero(binary: &Binary) -> bool {
    let divisor = match &binary.rhs.bare().kind {
        ExprKind::Number(divisor) => Some(*divisor),
        _ => None,
    };
    match binary.op {
        BinaryOp::Div | BinaryOp::Mod => divisor.is_none_or(|divisor| divisor == 0.0),
        BinaryOp::Pow => true,
        _ => false,
    }
}

/// Whether it yields one number without labels, or nothing.
fn is_one_number(expr: &Expr) -> bool {
    match &expr.bare().kind {
        ExprKind::Number(_) => true,
        ExprKind::Negate(inner) => is_one_number(inner),
        ExprKind::Aggregate(aggregate) => aggregate.is_one_number(),
        ExprKind::Binary(binary) => is_one_number(&binary.lhs) && is_one_number(&binary.rhs),
        ExprKind::Call { function, args } => match function.id {
            FunctionId::Vector => true,
            FunctionId::LabelReplace | FunctionId::LabelJoin => false,
            _ => args.iter().all(is_one_number),
        },
        _ => false,
    }
}

/// Whether a function of numbers yields a number.
fn is_never_nan(function: FunctionId) -> bool {
    use FunctionId::{
        Abs, AvgOverTime, Ceil, Clamp, ClampMax, ClampMin, CountOverTime, Delta, Floor, Idelta,
        Increase, Irate, LabelJoin, LabelReplace, LastOverTime, MaxOverTime, MinOverTime, Rate,
        Round, Sgn, Sort, SortDesc, SumOverTime, Time, Vector,
    };
    matches!(
        function,
        Abs | AvgOverTime
            | Ceil
            | Clamp
            | ClampMax
            | ClampMin
            | CountOverTime
            | Delta
            | Floor
            | Idelta
            | Increase
            | Irate
            | LabelJoin
            | LabelReplace
            | LastOverTime
            | MaxOverTime
            | MinOverTime
            | Rate
            | Round
            | Sgn
            | Sort
            | SortDesc
            | SumOverTime
            | Time
            | Vector
    )
}

fn is_condition(expr: &Expr) -> bool {
    let ExprKind::Binary(binary) = &expr.kind else {
        return false;
    };
    let compares = binary.op.is_comparison() && !binary.return_bool;
    compares || matches!(binary.op, BinaryOp::And | BinaryOp::Unless)
}

fn collect<'e>(expr: &'e Expr, operands: &mut Vec<&'e Expr>) -> bool {
    let expr = expr.bare();
    if !expr.leaves_out() {
        let mut reads = false;
        expr.walk(&mut |inner| {
            reads |= matches!(inner.kind, ExprKind::Selector(_) | ExprKind::Range { .. });
        });
        if reads {
            operands.push(expr);
        }
        return true;
    }
    match &expr.kind {
        ExprKind::Negate(inner) => collect(inner, operands),
        ExprKind::Aggregate(aggregate) => {
            let is_plain = aggregate
                .param
                .as_ref()
                .is_none_or(|param| !param.leaves_out());
            is_plain && collect(&aggregate.expr, operands)
        }
        ExprKind::Binary(binary) => {
            let matching = &binary.matching;
            matching.fill_left.is_none()
                && matching.fill_right.is_none()
                && collect(&binary.lhs, operands)
                && collect(&binary.rhs, operands)
        }
        ExprKind::Call { function, args } => {
            let makes_something_of_nothing = matches!(
                function.id,
                FunctionId::Absent
                    | FunctionId::AbsentOverTime
                    | FunctionId::Info
                    | FunctionId::Scalar
            );
            !makes_something_of_nothing && args.iter().all(|arg| collect(arg, operands))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Features, Query};

    #[test]
    fn an_empty_result_speaks_of_each_element_where_all_are_compared_with_numbers() {
        for (text, each) in [
            ("(sum(q) > 100) * 2", true),
            ("count(q > 100) / 5", true),
            ("sum(a) > sum(b)", true),
            ("sum(rate(a[1m])) > 1 and sum(p) > 5", true),
            ("sum(q) unless max(p) > 1", true),
            ("sum(q) > scalar(limit)", false),
            ("(sum(a) / sum(b) > 0.8) * 2", false),
            ("sum by (pod) (q) > 5 and on (pod) ready == 1", false),
            ("sum by (model) (q) > on (model) limit", false),
            ("q > 1 and sum(p) > 5", false),
            ("(histogram_quantile(0.9, sum by (le) (b)) > 5) * 2", false),
            ("sum(q) > sum(topk(1, p))", true),
            ("sum(q) > topk(1, p)", false),
        ] {
            let query = Query::parse(text, &Features::all()).expect(text);
            assert_eq!(query.plan().compares_each_element(), each, "{text}");
        }
    }

    #[test]
    fn operands_are_what_is_compared_and_combined() {
        for (text, operands) in [
            ("sum(q) > 1", Some(&["sum(q)"][..])),
            ("(sum(q) > 100) * 2", Some(&["sum(q)"])),
            ("sum(a) > sum(b)", Some(&["sum(a)", "sum(b)"])),
            ("count(q > 100)", Some(&["q"])),
            ("q > 1 and sum(p) > 5", Some(&["q", "sum(p)"])),
            ("sum(q) unless sum(p) > 1", Some(&["sum(q)", "sum(p)"])),
            (
                "ceil((rate(a[5m]) > 1) / 5) + sum(b)",
                Some(&["rate(a[5m])", "sum(b)"]),
            ),
            ("q and on() vector(1)", Some(&["q"])),
            ("sum(q) > bool 1", None),
            ("sum(q)", None),
            ("max_over_time((q > 1)[5m:])", None),
            ("absent(q > 1)", None),
            ("scalar(q > 1) + 1", None),
            ("vector(1) > 2", None),
            ("topk(scalar(q > 1), p)", None),
        ] {
            let query = Query::parse(text, &Features::all()).expect(text);
            let found = query.plan().operands();
            let found = found.map(|all| {
                let text =
                    |expr: &crate::plan::Expr| text[expr.span.start..expr.span.end].to_owned();
                all.into_iter().map(text).collect::<Vec<String>>()
            });
            let expected = operands.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
            assert_eq!(found, expected, "{text}");
        }
    }
}

//! Which labels of a result are those of the series that a selector reads.
//!
//! A group of a result, and a caller who asks for one, say by their labels which targets they concern (S3b). A label that
//! the query writes (`label_replace`), or takes from the other side of a join, says nothing of a selector's targets: an
//! exporter whose pod is another than the one that its series tell of is not out of scope.

use crate::labels::Matcher;
use crate::promql::FunctionId;
use crate::promql::plan::{AggregateOp, Binary, BinaryOp, Cardinality, Expr, ExprKind, ValueType};

/// Labels: all but some, or only some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    AllBut(Vec<String>),
    Only(Vec<String>),
}

impl Default for Carried {
    fn default() -> Carried {
        Carried::AllBut(Vec::new())
    }
}

impl Carried {
    pub(crate) fn has(&self, label: &str) -> bool {
        match self {
            Carried::AllBut(labels) => !labels.iter().any(|one| one == label),
            Carried::Only(labels) => labels.iter().any(|one| one == label),
        }
    }

    fn none() -> Carried {
        Carried::Only(Vec::new())
    }

    fn without<'l>(&self, labels: impl IntoIterator<Item = &'l str>) -> Carried {
        let labels: Vec<&str> = labels.into_iter().collect();
        match self {
            Carried::AllBut(but) => {
                let labels = labels.into_iter().map(str::to_owned);
                Carried::AllBut(but.iter().cloned().chain(labels).collect())
            }
            Carried::Only(only) => {
                let left = only.iter().filter(|one| !labels.contains(&one.as_str()));
                Carried::Only(left.cloned().collect())
            }
        }
    }

    fn among<'l>(&self, labels: impl IntoIterator<Item = &'l str>) -> Carried {
        let labels = labels.into_iter().filter(|label| self.has(label));
        Carried::Only(labels.map(str::to_owned).collect())
    }
}

/// Of each selector of an expression, in the order of the text, the labels that the result has from its series.
pub(crate) fn of_selectors(expr: &Expr) -> Vec<Carried> {
    let mut found = Vec::new();
    collect(expr, Carried::default(), &mut found);
    found
}

fn collect(expr: &Expr, carried: Carried, found: &mut Vec<Carried>) {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Selector(_) | ExprKind::Range { .. } => found.push(carried),
        ExprKind::Subquery(subquery) => collect(&subquery.expr, carried, found),
        ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
            collect(inner, carried, found);
        }
        ExprKind::Call { function, args } => {
            let carried = match function.id {
                FunctionId::LabelReplace | FunctionId::LabelJoin => {
                    carried.without(args.get(1).and_then(text))
                }
                FunctionId::HistogramQuantiles => carried.without(args.get(1).and_then(text)),
                FunctionId::Scalar | FunctionId::Vector => Carried::none(),
                _ => carried,
            };
            for arg in args {
                let is_parameter = arg.value_type() == ValueType::Scalar;
                let of_arg = if is_parameter {
                    Carried::none()
                } else {
                    carried.clone()
                };
                collect(arg, of_arg, found);
            }
        }
        ExprKind::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                collect(param, Carried::none(), found);
            }
            // Labels that it drops are in no group, and a caller who asks for one means the series. Which samples `topk` keeps
            // is decided by all of their group, whosesoever they are.
            let labels = aggregate.grouping.iter().map(|label| &**label);
            let carried = match (aggregate.op.keeps_samples(), aggregate.without) {
                (false, _) => carried,
                (true, true) => carried.without(labels),
                (true, false) => carried.among(labels),
            };
            let written = match aggregate.op {
                AggregateOp::CountValues => aggregate.param.as_ref().and_then(text),
                _ => None,
            };
            collect(&aggregate.expr, carried.without(written), found);
        }
        ExprKind::Binary(binary) => {
            let (left, right) = of_sides(binary, carried);
            collect(&binary.lhs, left, found);
            collect(&binary.rhs, right, found);
        }
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match &expr.bare().kind {
        ExprKind::String(text) => Some(text),
        _ => None,
    }
}

fn of_sides(binary: &Binary, carried: Carried) -> (Carried, Carried) {
    let is_vector = |expr: &Expr| expr.value_type() == ValueType::Vector;
    match (is_vector(&binary.lhs), is_vector(&binary.rhs)) {
        (true, true) => {}
        (true, false) => return (carried, Carried::none()),
        (false, true) => return (Carried::none(), carried),
        (false, false) => return (Carried::none(), Carried::none()),
    }
    let matching = &binary.matching;
    let labels = || matching.labels.iter().map(|label| &**label);
    let shared = match matching.on {
        true => carried.among(labels()),
        false => carried.without(labels()),
    };
    let included = || matching.include.iter().map(|label| &**label);
    let many = carried.without(included());
    // The one side gives what it is asked for, beside the labels that both have.
    let one = match matching.on {
        true => carried.among(labels().chain(included())),
        false => carried.without(labels().filter(|label| included().all(|one| one != *label))),
    };
    match (binary.op, matching.cardinality) {
        // An element may be of either side.
        (BinaryOp::Or, _) => (carried.clone(), carried),
        (BinaryOp::And | BinaryOp::Unless, _) => (carried, shared),
        (_, Cardinality::ManyToOne) => (many, one),
        (_, Cardinality::OneToMany) => (one, many),
        _ => (shared.clone(), shared),
    }
}

/// Pins of those labels.
pub(crate) fn pinned<'p>(
    carried: &'p Carried,
    pins: &'p [(String, String)],
) -> impl Iterator<Item = &'p (String, String)> {
    pins.iter().filter(|(label, _)| carried.has(label))
}

/// The conditions that pins of those labels are.
pub(crate) fn conditions(carried: &Carried, pins: &[(String, String)]) -> Vec<Matcher> {
    let pinned = pinned(carried, pins).filter(|(_, value)| !value.is_empty());
    pinned
        .map(|(label, value)| Matcher::equal(label, value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{Features, Query};

    #[test]
    fn labels_that_a_query_writes_or_takes_from_elsewhere_are_not_carried() {
        for (text, label, expected) in [
            ("q", "pod", &[true][..]),
            ("sum by (pod) (q)", "pod", &[true]),
            ("sum by (pod) (q)", "job", &[true]),
            ("sum without (pod) (q)", "pod", &[true]),
            ("topk(1, q)", "pod", &[false]),
            ("topk by (job) (1, q)", "job", &[true]),
            ("bottomk without (job) (1, q)", "job", &[false]),
            (
                "label_replace(q, \"pod\", \"$1\", \"p\", \"(.+)\")",
                "pod",
                &[false],
            ),
            (
                "label_replace(q, \"pod\", \"$1\", \"p\", \"(.+)\")",
                "p",
                &[true],
            ),
            ("count_values(\"pod\", q)", "pod", &[false]),
            ("q * on (pod) group_left (owner) k", "pod", &[true, true]),
            ("q * on (pod) group_left (owner) k", "owner", &[false, true]),
            (
                "q * on (pod) group_left (owner) k",
                "instance",
                &[true, false],
            ),
            ("k * on (pod) group_right () q", "instance", &[false, true]),
            ("q / ignoring (le) k", "le", &[false, false]),
            ("q / k", "pod", &[true, true]),
            ("q and on (pod) k", "instance", &[true, false]),
            ("q or k", "instance", &[true, true]),
            ("q / scalar(k)", "instance", &[true, false]),
            ("sum by (pod) (max_over_time(q[1m:5s]))", "pod", &[true]),
        ] {
            let query = Query::parse(text, &Features::all()).expect(text);
            let carried = of_selectors(query.plan());
            assert_eq!(carried.len(), query.selectors().count(), "{text}");
            let has: Vec<bool> = carried.iter().map(|one| one.has(label)).collect();
            assert_eq!(has, expected, "{label} of {text}");
        }
    }
}

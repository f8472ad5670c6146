//! An expression whose result is filtered by labels, which PromQL has no operator for: the conditions move to the selectors
//! of the expression. Where that would change what the remaining series say, or no series can meet a condition, it is an
//! error.

use stillwell_model::labels::Matcher;

use super::expr::{Aggregate, Binary, Cardinality, Expr, ExprKind, Selector, Subquery};
use super::function::FunctionId;
use super::operators::{AggregateOp, BinaryOp};
use super::types::{Span, ValueType};

/// Why an expression cannot be filtered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotNarrowed {
    /// No series of the result has the label, so that the condition selects nothing.
    NoSuchLabel(String),
    /// A filter on the label before this operator or function is not one after it.
    Changes {
        /// The label.
        label: String,
        /// The operator or function.
        by: &'static str,
    },
}

/// The expression of which only the series are left that meet all conditions. None of them may be on the metric name.
pub(crate) fn narrowed(expr: &Expr, conditions: &[Matcher]) -> Result<Expr, NotNarrowed> {
    if conditions.is_empty() {
        return Ok(expr.clone());
    }
    let boxed = |inner: &Expr| narrowed(inner, conditions).map(Box::new);
    let kind = match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {
            without_labels(conditions)?;
            expr.kind.clone()
        }
        ExprKind::Selector(selector) => ExprKind::Selector(with_conditions(selector, conditions)),
        ExprKind::Range {
            selector,
            range,
            edges,
        } => ExprKind::Range {
            selector: with_conditions(selector, conditions),
            range: range.clone(),
            edges: *edges,
        },
        ExprKind::Subquery(subquery) => ExprKind::Subquery(Box::new(Subquery {
            expr: narrowed(&subquery.expr, conditions)?,
            ..(**subquery).clone()
        })),
        ExprKind::Call { function, args } => ExprKind::Call {
            function,
            args: arguments(function.id, function.name, args, conditions)?,
        },
        ExprKind::Aggregate(aggregate) => {
            ExprKind::Aggregate(Box::new(aggregated(aggregate, conditions)?))
        }
        ExprKind::Binary(binary) if binary.op == BinaryOp::Or => {
            return either(binary, conditions, expr.span);
        }
        ExprKind::Binary(binary) => ExprKind::Binary(Box::new(combined(binary, conditions)?)),
        ExprKind::Negate(inner) => ExprKind::Negate(boxed(inner)?),
        ExprKind::Paren(inner) => ExprKind::Paren(boxed(inner)?),
        ExprKind::StepInvariant(inner) => ExprKind::StepInvariant(boxed(inner)?),
    };
    Ok(Expr {
        kind,
        span: expr.span,
    })
}

fn with_conditions(selector: &Selector, conditions: &[Matcher]) -> Box<Selector> {
    let matchers = selector.matchers.iter().chain(conditions);
    Box::new(Selector {
        matchers: matchers.cloned().collect(),
        ..selector.clone()
    })
}

/// Checks conditions on series without labels.
fn without_labels(conditions: &[Matcher]) -> Result<(), NotNarrowed> {
    kept(conditions, |_| false).map(|_| ())
}

/// The conditions on labels that the series of the result have. One on another label has to allow that it is missing.
fn kept(conditions: &[Matcher], has: impl Fn(&str) -> bool) -> Result<Vec<Matcher>, NotNarrowed> {
    let mut kept = Vec::new();
    for condition in conditions {
        if has(condition.name()) {
            kept.push(condition.clone());
        } else if !condition.matches("") {
            return Err(NotNarrowed::NoSuchLabel(condition.name().to_owned()));
        }
    }
    Ok(kept)
}

/// Fails if one of the conditions is on such a label.
fn refuse(
    conditions: &[Matcher],
    by: &'static str,
    is_changed: impl Fn(&str) -> bool,
) -> Result<(), NotNarrowed> {
    let mut labels = conditions.iter().map(Matcher::name);
    match labels.find(|label| is_changed(label)) {
        Some(label) => Err(NotNarrowed::Changes {
            label: label.to_owned(),
            by,
        }),
        None => Ok(()),
    }
}

fn aggregated(aggregate: &Aggregate, conditions: &[Matcher]) -> Result<Aggregate, NotNarrowed> {
    let name = aggregate.op.as_str();
    // They compare with series that the filter would have taken away.
    refuse(conditions, name, |_| aggregate.op.keeps_samples())?;
    let written = match (aggregate.op, aggregate.param.as_ref().map(Expr::bare)) {
        (AggregateOp::CountValues, Some(param)) => text(param),
        _ => None,
    };
    refuse(conditions, name, |label| written == Some(label))?;
    let is_listed = |label: &str| aggregate.grouping.iter().any(|one| &**one == label);
    let conditions = kept(conditions, |label| is_listed(label) != aggregate.without)?;
    Ok(Aggregate {
        expr: narrowed(&aggregate.expr, &conditions)?,
        ..aggregate.clone()
    })
}

fn text(expr: &Expr) -> Option<&str> {
    match &expr.bare().kind {
        ExprKind::String(text) => Some(text),
        _ => None,
    }
}

fn arguments(
    id: FunctionId,
    name: &'static str,
    args: &[Expr],
    conditions: &[Matcher],
) -> Result<Vec<Expr>, NotNarrowed> {
    use FunctionId as F;
    let conditions = match id {
        F::Absent | F::AbsentOverTime | F::Info => {
            refuse(conditions, name, |_| true)?;
            Vec::new()
        }
        F::LabelReplace | F::LabelJoin => {
            let written = args.get(1).and_then(text);
            refuse(conditions, name, |label| written == Some(label))?;
            conditions.to_vec()
        }
        F::HistogramQuantile | F::HistogramFraction => kept(conditions, |label| label != "le")?,
        F::HistogramQuantiles => {
            let written = args.get(1).and_then(text);
            refuse(conditions, name, |label| written == Some(label))?;
            kept(conditions, |label| label != "le")?
        }
        F::Vector => kept(conditions, |_| false)?,
        _ => conditions.to_vec(),
    };
    let has_labels = |arg: &Expr| matches!(arg.value_type(), ValueType::Vector | ValueType::Matrix);
    // A number made of series (`scalar`), and one that is a function's parameter, is what it is.
    let are_filtered = id != F::Scalar;
    if !args.iter().any(has_labels) || !are_filtered {
        without_labels(&conditions)?;
        return Ok(args.to_vec());
    }
    let of = |arg: &Expr| match has_labels(arg) {
        true => narrowed(arg, &conditions),
        false => Ok(arg.clone()),
    };
    args.iter().map(of).collect()
}

fn combined(binary: &Binary, conditions: &[Matcher]) -> Result<Binary, NotNarrowed> {
    let is_vector = |expr: &Expr| expr.value_type() == ValueType::Vector;
    let (left, right) = match (is_vector(&binary.lhs), is_vector(&binary.rhs)) {
        (true, true) => conditions_of_sides(binary, conditions)?,
        (true, false) => (conditions.to_vec(), Vec::new()),
        (false, true) => (Vec::new(), conditions.to_vec()),
        (false, false) => {
            without_labels(conditions)?;
            (Vec::new(), Vec::new())
        }
    };
    Ok(Binary {
        lhs: narrowed(&binary.lhs, &left)?,
        rhs: narrowed(&binary.rhs, &right)?,
        ..binary.clone()
    })
}

/// `left or right`, of which a side that has no such label has no part: `or vector(0)` in a rule stands for what no condition
/// selects.
fn either(binary: &Binary, conditions: &[Matcher], span: Span) -> Result<Expr, NotNarrowed> {
    let of_side = |side: &Expr| match narrowed(side, conditions) {
        Ok(expr) => Ok(Some(expr)),
        Err(NotNarrowed::NoSuchLabel(_)) => Ok(None),
        Err(why) => Err(why),
    };
    let matching = &binary.matching;
    let kind = match (of_side(&binary.lhs)?, of_side(&binary.rhs)?) {
        (Some(left), None) => return Ok(left),
        (None, None) => return narrowed(&binary.lhs, conditions),
        // What the left has still hides what the right has.
        (None, Some(right)) => ExprKind::Binary(Box::new(Binary {
            op: BinaryOp::Unless,
            lhs: right,
            rhs: binary.lhs.clone(),
            ..binary.clone()
        })),
        (Some(left), Some(right)) => {
            // Whatever the labels are that are not compared.
            let is_listed = |label: &str| matching.labels.iter().any(|one| &**one == label);
            refuse(conditions, binary.op.as_str(), |label| {
                is_listed(label) != matching.on
            })?;
            ExprKind::Binary(Box::new(Binary {
                lhs: left,
                rhs: right,
                ..binary.clone()
            }))
        }
    };
    Ok(Expr { kind, span })
}

/// The conditions that the left and the right of two vectors have to meet.
fn conditions_of_sides(
    binary: &Binary,
    conditions: &[Matcher],
) -> Result<(Vec<Matcher>, Vec<Matcher>), NotNarrowed> {
    let (matching, name) = (&binary.matching, binary.op.as_str());
    let is_listed = |label: &str| matching.labels.iter().any(|one| &**one == label);
    let is_shared = |label: &str| is_listed(label) == matching.on;
    let is_filled = matching.fill_left.is_some() || matching.fill_right.is_some();
    refuse(conditions, name, |_| is_filled)?;
    match (binary.op, matching.cardinality) {
        (BinaryOp::And | BinaryOp::Unless, _) => Ok((conditions.to_vec(), Vec::new())),
        (_, Cardinality::ManyToOne | Cardinality::OneToMany) => {
            let (mut many, mut one) = (Vec::new(), Vec::new());
            for condition in conditions {
                let label = condition.name();
                let is_included = matching.include.iter().any(|one| &**one == label);
                if !is_included {
                    many.push(condition.clone());
                }
                if is_included || is_shared(label) {
                    one.push(condition.clone());
                }
            }
            Ok(match matching.cardinality {
                Cardinality::OneToMany => (one, many),
                _ => (many, one),
            })
        }
        _ => {
            let shared = kept(conditions, is_shared)?;
            Ok((shared.clone(), shared))
        }
    }
}

//! What becomes of a query that yields several numbers where a scaler reads one: `multi: error|sum|max`.
//!
//! A bare selector yields one number as long as one replica runs, and two as soon as scaling begins. With `sum` or `max` the
//! query is evaluated inside of that aggregation, so that it is judged as a sum or maximum is: an idle pool is 0 where that
//! is proven.

use std::fmt;

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::plan::{BinaryOp, Expr, ExprKind, ValueType};
use stillwell_engine::promql::{Features, FunctionId, Query, QueryError};

use crate::single::is_single;

/// What becomes of several numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Multi {
    /// An error that says what to write.
    #[default]
    Error,
    /// Their sum.
    Sum,
    /// The highest.
    Max,
}

impl Multi {
    /// Reads it; an empty text is the default.
    pub fn parse(text: &str) -> Result<Multi, String> {
        match text.trim() {
            "" | "error" => Ok(Multi::Error),
            "sum" => Ok(Multi::Sum),
            "max" => Ok(Multi::Max),
            other => {
                let end = other.floor_char_boundary(100);
                Err(format!("{:?} is not error, sum or max", &other[..end]))
            }
        }
    }

    /// The query that yields one number at most; `text` as it is where it does so already. Error: it is no PromQL.
    pub fn query(self, text: &str, features: &Features) -> Result<String, QueryError> {
        let operator = match self {
            Multi::Error => return Ok(text.to_owned()),
            Multi::Sum => "sum",
            Multi::Max => "max",
        };
        let query = Query::parse(text, features)?;
        if query.plan().value_type() != ValueType::Vector || is_single(query.plan()) {
            return Ok(text.to_owned());
        }
        // Lines of their own: a query may end in a comment. A constant for what is absent stays outside, where it is known
        // as one.
        Ok(match with_constant(query.plan()) {
            Some((left, right)) => {
                let part = |expr: &Expr| &text[expr.span.start..expr.span.end];
                format!("{operator}(\n{}\n) or {}", part(left), part(right))
            }
            None => format!("{operator}(\n{text}\n)"),
        })
    }
}

/// The parts of `A or vector(c)`.
fn with_constant(expr: &Expr) -> Option<(&Expr, &Expr)> {
    let ExprKind::Binary(binary) = &expr.bare().kind else {
        return None;
    };
    let is_constant = matches!(
        &binary.rhs.bare().kind,
        ExprKind::Call { function, .. } if function.id == FunctionId::Vector
    );
    (binary.op == BinaryOp::Or && is_constant).then_some((&binary.lhs, &binary.rhs))
}

/// Several elements where one is read: how many, what they differ in, and what to write.
pub struct Several<'a> {
    /// Their labels.
    pub labels: Vec<&'a Labels>,
    /// Where to ask for another treatment, for example "give the trigger `multi: sum`".
    pub remedy: &'static str,
}

/// Elements that are compared with the first one for the reason, labels that are compared, and labels that it names: a
/// query may yield 100,000 elements, and an element have as many labels.
const COMPARED_MAX: usize = 20;
const LOOKED_AT_MAX: usize = 1_000;
const NAMED_MAX: usize = 10;

impl fmt::Display for Several<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the query yields {} elements", self.labels.len())?;
        let mut differing: Vec<&str> = Vec::new();
        if let [first, rest @ ..] = self.labels.as_slice() {
            let rest = &rest[..rest.len().min(COMPARED_MAX)];
            let names = rest.iter().flat_map(|labels| labels.iter());
            let names = names.chain(first.iter()).map(|(name, _)| name);
            for name in names.take(LOOKED_AT_MAX) {
                if differing.len() == NAMED_MAX {
                    break;
                }
                let differs = || rest.iter().any(|other| other.get(name) != first.get(name));
                if !differing.contains(&name) && differs() {
                    differing.push(name);
                }
            }
        }
        if !differing.is_empty() {
            write!(f, ", which differ in {}", differing.join(", "))?;
        }
        write!(
            f,
            "; a scaler reads one: aggregate them, for example with sum(), or {}",
            self.remedy
        )
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;

    use super::*;

    #[test]
    fn a_query_is_put_inside_of_the_aggregation_that_is_asked_for() {
        let features = Features::default();
        for (multi, text, expected) in [
            (Multi::Error, "x", "x"),
            (Multi::Sum, "x", "sum(\nx\n)"),
            (
                Multi::Max,
                "x{a=\"b\"} / 2 # half",
                "max(\nx{a=\"b\"} / 2 # half\n)",
            ),
            (Multi::Sum, "sum(x)", "sum(x)"),
            (Multi::Sum, "(avg(x))", "(avg(x))"),
            (Multi::Sum, "sum by (a) (x)", "sum(\nsum by (a) (x)\n)"),
            (
                Multi::Sum,
                "sum(x) without (a)",
                "sum(\nsum(x) without (a)\n)",
            ),
            (Multi::Max, "topk(3, x)", "max(\ntopk(3, x)\n)"),
            (Multi::Sum, "x or vector(0)", "sum(\nx\n) or vector(0)"),
            (Multi::Sum, "sum(x) or vector(0)", "sum(x) or vector(0)"),
            (Multi::Sum, "1 + 1", "1 + 1"),
        ] {
            assert_eq!(
                multi.query(text, &features).as_deref(),
                Ok(expected),
                "{text}"
            );
            assert!(Query::parse(expected, &features).is_ok(), "{expected}");
        }
        assert!(Multi::Sum.query("sum(", &features).is_err());
        assert_eq!(Multi::parse(" max"), Ok(Multi::Max));
        assert_eq!(Multi::parse(""), Ok(Multi::Error));
        let why = Multi::parse("avg").expect_err("it is none");
        assert_eq!(why, "\"avg\" is not error, sum or max");
    }

    #[test]
    fn what_elements_differ_in_is_named() {
        let (a, b) = (
            labels! { "job" => "vllm", "pod" => "a" },
            labels! { "job" => "vllm", "pod" => "b", "engine" => "0" },
        );
        let several = Several {
            labels: vec![&a, &b],
            remedy: "ask for `multi=sum`",
        };
        assert_eq!(
            several.to_string(),
            "the query yields 2 elements, which differ in engine, pod; a scaler reads one: aggregate them, for example \
             with sum(), or ask for `multi=sum`"
        );
    }
}

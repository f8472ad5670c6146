//! The nodes of a plan.

use std::sync::Arc;

use stillwell_model::labels::Matcher;

use super::duration::Duration;
use super::function::{Function, FunctionId};
use super::operators::{AggregateOp, BinaryOp};
use super::types::{Span, ValueType};

/// One node with the text it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it was written.
    pub span: Span,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number; durations written as numbers are in seconds.
    Number(f64),
    /// A text.
    String(Arc<str>),
    /// An instant vector selector.
    Selector(Box<Selector>),
    /// A range vector selector.
    Range {
        /// The series.
        selector: Box<Selector>,
        /// How far back.
        range: Duration,
        /// How samples at the edges of the range are treated (`anchored`, `smoothed`).
        edges: Edges,
    },
    /// `expr[range:step]`.
    Subquery(Box<Subquery>),
    /// A function call.
    Call {
        /// Which function.
        function: &'static Function,
        /// Its arguments, as many as written.
        args: Vec<Expr>,
    },
    /// An aggregation.
    Aggregate(Box<Aggregate>),
    /// An operator between two expressions.
    Binary(Box<Binary>),
    /// `-expr`; a unary plus leaves no node.
    Negate(Box<Expr>),
    /// `(expr)`.
    Paren(Box<Expr>),
    /// An expression that has the same value in each step; marked on the outermost such node only.
    StepInvariant(Box<Expr>),
}

/// Which series, and as of when.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// All must fit.
    pub matchers: Vec<Matcher>,
    /// `offset`.
    pub offset: Duration,
    /// `@`.
    pub at: Option<At>,
    /// The part of the text without range, offset and `@`.
    pub span: Span,
    /// Whether histograms of unknown origin are compared with the one before them when they are read. Prometheus
    /// does so where only their count or sum is asked for.
    pub detect_resets: bool,
    /// Whether a metric name was written by itself, not as a matcher.
    pub named: bool,
    /// Instant selectors only: `smoothed` interpolates a sample at the evaluation time.
    pub edges: Edges,
}

impl Selector {
    /// The metric name, where an equality fixes it.
    pub fn metric_name(&self) -> Option<&str> {
        self.matchers
            .iter()
            .find(|m| {
                m.name() == stillwell_model::labels::METRIC_NAME
                    && m.op() == stillwell_model::labels::MatchOp::Equal
            })
            .map(Matcher::value)
            .filter(|name| !name.is_empty())
    }
}

/// How a range selector treats its two edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edges {
    /// Only the samples in the range.
    #[default]
    Plain,
    /// `anchored`: the sample before the range stands in at its start.
    Anchored,
    /// `smoothed`: values at both edges are interpolated.
    Smoothed,
}

/// `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A fixed time, in milliseconds.
    Time(i64),
    /// `@ start()`.
    Start,
    /// `@ end()`.
    End,
}

/// `expr[range:step] offset .. @ ..`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// How far back.
    pub range: Duration,
    /// The distance of its steps; the default step where absent.
    pub step: Option<Duration>,
    /// `offset`.
    pub offset: Duration,
    /// `@`.
    pub at: Option<At>,
}

/// `op by|without (labels) (param, expr)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which one.
    pub op: AggregateOp,
    /// The parameter of those that have one.
    pub param: Option<Expr>,
    /// What is aggregated.
    pub expr: Expr,
    /// The labels, as written.
    pub grouping: Vec<Arc<str>>,
    /// Whether the labels are those that go, not those that stay.
    pub without: bool,
}

impl Aggregate {
    /// Whether it yields one element without labels, or nothing.
    pub fn is_one_number(&self) -> bool {
        let keeps_labels = matches!(
            self.op,
            AggregateOp::Topk
                | AggregateOp::Bottomk
                | AggregateOp::Limitk
                | AggregateOp::LimitRatio
                | AggregateOp::CountValues
        );
        self.grouping.is_empty() && !self.without && !keeps_labels
    }
}

/// How many samples of one side may meet one of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    /// One and one.
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How the samples of two vectors find each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// One or many.
    pub cardinality: Cardinality,
    /// `on`, not `ignoring`.
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<Arc<str>>,
    /// The labels of `group_left` or `group_right`.
    pub include: Vec<Arc<str>>,
    /// Stands in where the left side has no sample.
    pub fill_left: Option<f64>,
    /// Stands in where the right side has no sample.
    pub fill_right: Option<f64>,
}

/// `lhs op modifiers rhs`.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left side.
    pub lhs: Expr,
    /// Right side.
    pub rhs: Expr,
    /// `bool`.
    pub return_bool: bool,
    /// How vectors match; meaningless where a side is a scalar.
    pub matching: Matching,
}

impl Expr {
    /// The type of its value.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Selector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Range { .. } | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Call { function, .. } => function.returns,
            ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
                inner.value_type()
            }
            ExprKind::Binary(binary) => {
                // A left spine may be long; only its leaves decide, so walk it without recursion.
                let mut node = binary;
                loop {
                    if node.rhs.value_type() == ValueType::Vector {
                        return ValueType::Vector;
                    }
                    match &node.lhs.kind {
                        ExprKind::Binary(next) => node = next,
                        _ => return node.lhs.value_type(),
                    }
                }
            }
        }
    }

    /// Without parentheses and step-invariance marks around it.
    pub fn bare(&self) -> &Expr {
        let mut expr = self;
        while let ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }

    /// Whether it gives its result labels that its series may not have.
    pub fn writes_labels(&self) -> bool {
        let mut writes = false;
        self.walk(&mut |expr| {
            writes |= match &expr.kind {
                ExprKind::Call { function, .. } => matches!(
                    function.id,
                    FunctionId::LabelReplace | FunctionId::LabelJoin | FunctionId::Info
                ),
                ExprKind::Aggregate(aggregate) => aggregate.op == AggregateOp::CountValues,
                _ => false,
            };
        });
        writes
    }

    /// How many nodes are within one another at most.
    pub(crate) fn depth(&self) -> usize {
        let deepest = |exprs: &[&Expr]| exprs.iter().map(|expr| expr.depth()).max().unwrap_or(0);
        1 + match &self.kind {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Selector(_)
            | ExprKind::Range { .. } => 0,
            ExprKind::Subquery(subquery) => subquery.expr.depth(),
            ExprKind::Call { args, .. } => args.iter().map(Expr::depth).max().unwrap_or(0),
            ExprKind::Aggregate(aggregate) => {
                let param = aggregate.param.as_ref().map_or(0, Expr::depth);
                aggregate.expr.depth().max(param)
            }
            ExprKind::Binary(binary) => deepest(&[&binary.lhs, &binary.rhs]),
            ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
                inner.depth()
            }
        }
    }

    /// Calls `visit` for this node and all below it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit(self);
        match &self.kind {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Selector(_)
            | ExprKind::Range { .. } => {}
            ExprKind::Subquery(subquery) => subquery.expr.walk(visit),
            ExprKind::Call { args, .. } => args.iter().for_each(|arg| arg.walk(visit)),
            ExprKind::Aggregate(aggregate) => {
                if let Some(param) = &aggregate.param {
                    param.walk(visit);
                }
                aggregate.expr.walk(visit);
            }
            ExprKind::Binary(binary) => {
                binary.lhs.walk(visit);
                binary.rhs.walk(visit);
            }
            ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
                inner.walk(visit)
            }
        }
    }
}

//! What the scanner makes of the tokens: the operands, operators and brackets of a query, each complete with its
//! modifiers. What is left open between them is only which operator binds which operands.

use std::sync::Arc;

use crate::plan::Function;
use crate::plan::{AggregateOp, At, BinaryOp, Duration, Edges, Matching, Selector, Span};

/// One piece and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Atom {
    pub(crate) kind: AtomKind,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) enum AtomKind {
    Number(f64),
    String(Arc<str>),
    Selector {
        selector: Box<Selector>,
        range: Option<Duration>,
        edges: Edges,
    },
    /// `[range:step] offset .. @ ..` behind any expression.
    Subquery(Box<SubqueryAtom>),
    Binary(Box<BinaryAtom>),
    /// A unary sign; true for minus.
    Sign(bool),
    /// `(` of a parenthesised expression.
    Open,
    /// The name and `(` of a call.
    Call(&'static Function),
    /// The name and `(` of an aggregation, with its grouping wherever that was written.
    Aggregate(AggregateOp, Option<Grouping>),
    Comma,
    /// `)`; the span of an aggregation's includes a grouping behind it.
    Close,
}

#[derive(Clone, Debug)]
pub(crate) struct SubqueryAtom {
    pub(crate) range: Duration,
    pub(crate) step: Option<Duration>,
    pub(crate) offset: Option<Duration>,
    pub(crate) at: Option<At>,
}

#[derive(Clone, Debug)]
pub(crate) struct BinaryAtom {
    pub(crate) op: BinaryOp,
    pub(crate) return_bool: bool,
    pub(crate) matching: Matching,
}

#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    pub(crate) without: bool,
    pub(crate) labels: Vec<Arc<str>>,
}

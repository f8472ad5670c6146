//! The ops of a program. Operands are slots: the numbers of earlier ops.

use std::fmt;
use std::sync::Arc;

use crate::labels::Labels;
use crate::promql::incremental::LabelChange;
use crate::promql::plan::{AggregateOp, BinaryOp, Matching};
use crate::promql::{FunctionId, QueryError};

use super::fold::Step;
use super::members::Grouping;

/// A scalar operand: a constant, or the result of an op.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar {
    Constant(f64),
    Slot(usize),
}

impl PartialEq for Scalar {
    /// By bits: ops with equal operands are computed once, and 0 and -0 divide differently.
    fn eq(&self, other: &Scalar) -> bool {
        match (self, other) {
            (Scalar::Constant(one), Scalar::Constant(other)) => one.to_bits() == other.to_bits(),
            (Scalar::Slot(one), Scalar::Slot(other)) => one == other,
            _ => false,
        }
    }
}

/// One step of a program. Operands are slots: the numbers of earlier ops.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Op {
    /// The series of a leaf, folded by group.
    Leaf {
        leaf: usize,
        step: Step,
    },
    /// A function of the results of a subquery, by its number.
    Subquery {
        at: usize,
    },
    /// The elements of a vector, folded by group.
    Regroup {
        input: usize,
        step: Step,
        grouping: Grouping,
    },
    /// A vector with a number.
    WithScalar {
        input: usize,
        op: BinaryOp,
        scalar: Scalar,
        vector_left: bool,
        return_bool: bool,
    },
    /// Two vectors by their labels.
    Match {
        left: usize,
        right: usize,
        op: BinaryOp,
        return_bool: bool,
        matching: Matching,
    },
    /// `and`, `or`, `unless`.
    Set {
        left: usize,
        right: usize,
        op: BinaryOp,
        matching: Matching,
    },
    Negate {
        input: usize,
    },
    Pointwise {
        input: usize,
        function: FunctionId,
        args: [Option<Scalar>; 2],
    },
    /// A part of the date that each element is, in seconds.
    CalendarOf {
        input: usize,
        function: FunctionId,
    },
    /// `label_replace`, `label_join`.
    Relabel {
        input: usize,
        relabel: Relabel,
    },
    /// An aggregation that ranks the values of a group.
    Rank {
        input: usize,
        op: AggregateOp,
        param: Scalar,
        grouping: Grouping,
    },
    /// The order of the result.
    Sort {
        input: usize,
        descending: bool,
    },
    /// `histogram_quantile`.
    Quantile {
        q: Scalar,
        input: usize,
    },
    /// 1 with these labels while the input is empty.
    Absent {
        input: usize,
        labels: Labels,
    },
    /// `vector(s)`.
    VectorOf {
        scalar: Scalar,
    },
    /// `scalar(v)`.
    ScalarOf {
        input: usize,
    },
    /// `time()`.
    Time,
    /// Two numbers.
    Scalars {
        op: BinaryOp,
        left: Scalar,
        right: Scalar,
    },
    NegateScalar {
        scalar: Scalar,
    },
}

/// `label_replace` or `label_join`, with the texts of their arguments behind the first.
#[derive(Clone)]
pub(super) struct Relabel {
    is_join: bool,
    texts: Vec<Arc<str>>,
    /// What it does to labels: its pattern is compiled once.
    pub(super) change: Arc<LabelChange>,
}

impl Relabel {
    /// Error: evaluation refuses its arguments.
    pub(super) fn new(is_join: bool, texts: Vec<Arc<str>>) -> Result<Relabel, QueryError> {
        let text = |at: usize| texts.get(at).map_or("", |text| &**text);
        let change = match is_join {
            true => {
                let sources: Vec<&str> = texts.iter().skip(2).map(|text| &**text).collect();
                LabelChange::join(text(0), text(1), &sources)
            }
            false => LabelChange::replace([text(0), text(1), text(2), text(3)]),
        };
        Ok(Relabel {
            is_join,
            change: Arc::new(change?),
            texts,
        })
    }
}

impl PartialEq for Relabel {
    fn eq(&self, other: &Relabel) -> bool {
        self.is_join == other.is_join && self.texts == other.texts
    }
}

impl fmt::Debug for Relabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.is_join { "Join" } else { "Replace" };
        f.debug_tuple(name).field(&self.texts).finish()
    }
}

/// The result of a program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Root {
    Vector(usize),
    Scalar(Scalar),
}

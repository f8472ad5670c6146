//! The ops of a program. Operands are slots: the numbers of earlier ops.

use std::sync::Arc;

use crate::labels::Labels;
use crate::promql::incremental::LabelChange;
use crate::promql::plan::{AggregateOp, BinaryOp, Matching};
use crate::promql::{FunctionId, QueryError};

use super::fold::Step;
use super::members::Grouping;

/// A scalar operand: a constant, or the result of an op.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar {
    Constant(f64),
    Slot(usize),
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
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Relabel {
    pub(super) is_join: bool,
    pub(super) texts: Vec<Arc<str>>,
}

impl Relabel {
    /// What it does to labels. Error: evaluation refuses its arguments.
    pub(super) fn change(&self) -> Result<LabelChange, QueryError> {
        let text = |at: usize| self.texts.get(at).map_or("", |text| &**text);
        match self.is_join {
            true => {
                let sources: Vec<&str> = self.texts.iter().skip(2).map(|text| &**text).collect();
                LabelChange::join(text(0), text(1), &sources)
            }
            false => LabelChange::replace([text(0), text(1), text(2), text(3)]),
        }
    }
}

/// The result of a program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Root {
    Vector(usize),
    Scalar(Scalar),
}

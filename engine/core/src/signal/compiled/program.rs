//! The program: ops in topological order, a slot for each, no recursion and no boxes when it runs.

use crate::labels::Labels;
use crate::promql::FunctionId;
use crate::promql::incremental::{ABSENT, is_absent, pointwise, scalar_op};
use crate::promql::plan::{BinaryOp, Matching};

use super::fold::{Folds, Step};
use super::instant::Instant;
use super::links::Links;
use super::members::{Grouping, Source};
use super::range::Function;
use super::ticks::Unbound;
use super::vector::Vector;
use super::visibility::EvalSnapshot;
use super::window::Window;

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
    /// Two vectors, one to one.
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
    Quantile {
        q: Scalar,
        input: usize,
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

/// The result of a program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Root {
    Vector(usize),
    Scalar(Scalar),
}

/// A selector, and how its series are read.
pub(super) struct Leaf {
    pub(super) source: Source,
    pub(super) function: Option<Function>,
    pub(super) reads: Reads,
    pub(super) folds: Folds,
}

/// How a leaf reads.
pub(super) enum Reads {
    Instant(Instant),
    Window(Box<Window>),
}

/// A compiled query.
pub(super) struct Program {
    pub(super) leaves: Vec<Leaf>,
    pub(super) ops: Vec<Op>,
    pub(super) root: Root,
    /// Slots of the parts whose emptiness matters, by part.
    pub(super) parts: Vec<usize>,
    /// By op; empty where it yields a number.
    pub(super) vectors: Vec<Vector>,
    /// By op; NaN where it yields a vector.
    pub(super) scalars: Vec<f64>,
    /// By op.
    pub(super) links: Vec<Links>,
}

impl Program {
    /// Runs all ops.
    pub(super) fn run(&mut self, snapshot: &EvalSnapshot<'_>) -> Result<(), Unbound> {
        for at in 0..self.ops.len() {
            let (before, rest) = self.vectors.split_at_mut(at);
            let out = &mut rest[0];
            out.clear();
            let links = &mut self.links[at];
            let scalars = &self.scalars;
            let number = |scalar: Scalar| match scalar {
                Scalar::Constant(value) => value,
                Scalar::Slot(slot) => scalars[slot],
            };
            match &self.ops[at] {
                Op::Leaf { leaf, step } => self.leaves[*leaf].run(snapshot, *step, out)?,
                Op::Regroup { input, step, .. } => links.regroup(&before[*input], *step, out),
                Op::WithScalar {
                    input,
                    op,
                    scalar,
                    vector_left,
                    return_bool,
                } => {
                    let scalar = number(*scalar);
                    map(&before[*input], out, |value| match vector_left {
                        true => operate(*op, *return_bool, value, scalar, value),
                        false => operate(*op, *return_bool, scalar, value, value),
                    });
                }
                Op::Match {
                    left,
                    right,
                    op,
                    return_bool,
                    ..
                } => links.pair(&before[*left], &before[*right], out, |left, right| {
                    operate(*op, *return_bool, left, right, left)
                }),
                Op::Set {
                    left, right, op, ..
                } => links.set(&before[*left], &before[*right], *op, out),
                Op::Negate { input } => map(&before[*input], out, |value| -value),
                Op::Pointwise {
                    input,
                    function,
                    args,
                } => {
                    let [first, second] = args.map(|arg| arg.map(number));
                    map(&before[*input], out, |value| {
                        pointwise(*function, value, first, second)
                    });
                }
                Op::Quantile { q, input } => links.quantile(number(*q), &before[*input], out),
                Op::VectorOf { scalar } => out.push(0, number(*scalar)),
                Op::ScalarOf { input } => self.scalars[at] = scalar_of(&before[*input]),
                Op::Time => {
                    let wall_ms = snapshot.at_ms + snapshot.facts.wall_offset_ms;
                    self.scalars[at] = wall_ms as f64 / 1000.0;
                }
                Op::Scalars { op, left, right } => {
                    self.scalars[at] = scalar_op(*op, number(*left), number(*right));
                }
                Op::NegateScalar { scalar } => self.scalars[at] = -number(*scalar),
            }
        }
        Ok(())
    }

    /// The result of the last run, and the indices of the empty parts.
    pub(super) fn result(&self, values: &mut Vec<(Labels, f64)>, empty_parts: &mut Vec<usize>) {
        values.clear();
        match self.root {
            Root::Vector(slot) => {
                let vector = &self.vectors[slot];
                let elements = vector.iter();
                values.extend(
                    elements.map(|(at, value)| (vector.labels[at as usize].clone(), value)),
                );
            }
            Root::Scalar(Scalar::Constant(value)) => values.push((Labels::empty(), value)),
            Root::Scalar(Scalar::Slot(slot)) => {
                values.push((Labels::empty(), self.scalars[slot]));
            }
        }
        empty_parts.clear();
        let empty = |slot: &usize| self.vectors[*slot].order.is_empty();
        empty_parts.extend((0..self.parts.len()).filter(|&part| empty(&self.parts[part])));
    }

    pub(super) fn has_windows(&self) -> bool {
        self.leaves
            .iter()
            .any(|leaf| matches!(leaf.reads, Reads::Window(_)))
    }

    pub(super) fn forget_windows(&mut self) {
        for leaf in &mut self.leaves {
            if let Reads::Window(window) = &mut leaf.reads {
                window.forget();
            }
        }
    }

    pub(super) fn series(&self) -> usize {
        let series = self.leaves.iter().map(|leaf| match &leaf.reads {
            Reads::Instant(instant) => instant.series(),
            Reads::Window(window) => window.series(),
        });
        series.sum()
    }

    pub(super) fn window_bytes(&self) -> usize {
        let bytes = self.leaves.iter().map(|leaf| match &leaf.reads {
            Reads::Instant(_) => 0,
            Reads::Window(window) => window.bytes(),
        });
        bytes.sum()
    }
}

impl Leaf {
    fn run(
        &mut self,
        snapshot: &EvalSnapshot<'_>,
        step: Step,
        out: &mut Vector,
    ) -> Result<(), Unbound> {
        self.folds.clear();
        match &mut self.reads {
            Reads::Instant(instant) => instant.fold(snapshot, step, &mut self.folds),
            Reads::Window(window) => window.fold(snapshot, step, &mut self.folds)?,
        }
        self.folds.finish(step, out);
        Ok(())
    }
}

/// The value of the only element; NaN if there is none, or more than one.
fn scalar_of(input: &Vector) -> f64 {
    let mut values = input.iter();
    match (values.next(), values.next()) {
        (Some((_, value)), None) => value,
        _ => f64::NAN,
    }
}

/// Element by element; what becomes absent is left out.
fn map(input: &Vector, out: &mut Vector, function: impl Fn(f64) -> f64) {
    for (at, value) in input.iter() {
        let result = function(value);
        if !is_absent(result) {
            out.push(at, result);
        }
    }
}

/// An operator on two floats. A comparison without `bool` keeps `kept` where it holds.
fn operate(op: BinaryOp, return_bool: bool, left: f64, right: f64, kept: f64) -> f64 {
    let result = scalar_op(op, left, right);
    if !op.is_comparison() || return_bool {
        result
    } else if result != 0.0 {
        kept
    } else {
        ABSENT
    }
}

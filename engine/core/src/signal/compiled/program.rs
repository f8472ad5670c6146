//! The program: ops in topological order, a slot for each, no recursion and no boxes when it runs.

use std::sync::Arc;

use crate::labels::Labels;
use crate::promql::incremental::{ABSENT, LabelChange, calendar_part, pointwise, scalar_op};
use crate::promql::plan::{AggregateOp, BinaryOp, Matching};
use crate::promql::{FunctionId, QueryError};

use super::fold::{Folds, Step};
use super::halt::Halt;
use super::instant::Instant;
use super::links::Links;
use super::members::{Grouping, Source};
use super::range::Function;
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
    pub(super) fn run(&mut self, snapshot: &EvalSnapshot<'_>) -> Result<(), Halt> {
        for at in 0..self.ops.len() {
            let (before, rest) = self.vectors.split_at_mut(at);
            let slots = Slots {
                vectors: before,
                scalars: &self.scalars,
            };
            let (op, out) = (&self.ops[at], &mut rest[0]);
            out.clear();
            if let Op::Leaf { leaf, step } = op {
                self.leaves[*leaf].run(snapshot, *step, out)?;
            } else if let Some(number) = slots.scalar_op(op, snapshot) {
                self.scalars[at] = number;
            } else {
                slots.vector_op(op, &mut self.links[at], out)?;
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

/// The results of earlier ops.
struct Slots<'p> {
    vectors: &'p [Vector],
    scalars: &'p [f64],
}

impl Slots<'_> {
    fn number(&self, scalar: Scalar) -> f64 {
        match scalar {
            Scalar::Constant(value) => value,
            Scalar::Slot(slot) => self.scalars[slot],
        }
    }

    /// The number of an op that yields one.
    fn scalar_op(&self, op: &Op, snapshot: &EvalSnapshot<'_>) -> Option<f64> {
        Some(match op {
            Op::ScalarOf { input } => scalar_of(&self.vectors[*input]),
            Op::Time => {
                let wall_ms = snapshot.at_ms + snapshot.facts.wall_offset_ms;
                wall_ms as f64 / 1000.0
            }
            Op::Scalars { op, left, right } => {
                scalar_op(*op, self.number(*left), self.number(*right))
            }
            Op::NegateScalar { scalar } => -self.number(*scalar),
            _ => return None,
        })
    }

    fn vector_op(&self, op: &Op, links: &mut Links, out: &mut Vector) -> Result<(), Halt> {
        let of = |slot: usize| &self.vectors[slot];
        match op {
            Op::WithScalar {
                input,
                op,
                scalar,
                vector_left,
                return_bool,
            } => {
                let scalar = self.number(*scalar);
                return links.map(of(*input), out, |value| match vector_left {
                    true => operate(*op, *return_bool, value, scalar, value),
                    false => operate(*op, *return_bool, scalar, value, value),
                });
            }
            Op::Negate { input } => return links.map(of(*input), out, |value| -value),
            Op::Relabel { input, .. } => return links.map(of(*input), out, |value| value),
            Op::CalendarOf { input, function } => {
                return links.map(of(*input), out, |value| calendar_part(*function, value));
            }
            Op::Pointwise {
                input,
                function,
                args,
            } => {
                let [first, second] = args.map(|arg| arg.map(|arg| self.number(arg)));
                return links.map(of(*input), out, |value| {
                    pointwise(*function, value, first, second)
                });
            }
            Op::Set {
                left, right, op, ..
            } => return links.set(of(*left), of(*right), *op, out),
            Op::VectorOf { scalar } => out.push(0, self.number(*scalar)),
            Op::Absent { input, .. } if of(*input).order.is_empty() => out.push(0, 1.0),
            _ => return self.linked_op(op, links, out),
        }
        Ok(())
    }

    /// An op whose work is that of its links.
    fn linked_op(&self, op: &Op, links: &mut Links, out: &mut Vector) -> Result<(), Halt> {
        let of = |slot: usize| &self.vectors[slot];
        match (op, links) {
            (Op::Regroup { input, step, .. }, links) => links.regroup(of(*input), *step, out),
            (
                Op::Match {
                    left,
                    right,
                    op,
                    return_bool,
                    ..
                },
                Links::Join(join),
            ) => {
                return join.run(of(*left), of(*right), out, |left, right| {
                    operate(*op, *return_bool, left, right, left)
                });
            }
            (
                Op::Rank {
                    input, op, param, ..
                },
                Links::Rank(rank),
            ) => return rank.run(*op, self.number(*param), of(*input), out),
            (Op::Sort { input, descending }, Links::Sorted(sorted)) => {
                sorted.run(*descending, of(*input), out)
            }
            (Op::Quantile { q, input }, Links::Quantile(quantile)) => {
                quantile.run(self.number(*q), of(*input), out);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Leaf {
    fn run(
        &mut self,
        snapshot: &EvalSnapshot<'_>,
        step: Step,
        out: &mut Vector,
    ) -> Result<(), Halt> {
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

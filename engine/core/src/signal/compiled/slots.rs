//! The results of earlier ops, and what a later one makes of them.

use crate::promql::incremental::{ABSENT, calendar_part, pointwise, scalar_op};
use crate::promql::plan::BinaryOp;

use super::halt::Halt;
use super::links::Links;
use super::op::{Op, Scalar};
use super::vector::Vector;
use super::visibility::EvalSnapshot;

/// The results of earlier ops.
pub(super) struct Slots<'p> {
    pub(super) vectors: &'p [Vector],
    pub(super) scalars: &'p [f64],
}

impl Slots<'_> {
    fn number(&self, scalar: Scalar) -> f64 {
        match scalar {
            Scalar::Constant(value) => value,
            Scalar::Slot(slot) => self.scalars[slot],
        }
    }

    /// The number of an op that yields one.
    pub(super) fn scalar_op(&self, op: &Op, snapshot: &EvalSnapshot<'_>) -> Option<f64> {
        Some(match op {
            Op::ScalarOf { input } => scalar_of(&self.vectors[*input]),
            Op::Time => {
                let wall_ms = snapshot.at_ms - snapshot.back_ms + snapshot.facts.wall_offset_ms;
                wall_ms as f64 / 1000.0
            }
            Op::Scalars { op, left, right } => {
                scalar_op(*op, self.number(*left), self.number(*right))
            }
            Op::NegateScalar { scalar } => -self.number(*scalar),
            _ => return None,
        })
    }

    pub(super) fn vector_op(
        &self,
        op: &Op,
        links: &mut Links,
        out: &mut Vector,
    ) -> Result<(), Halt> {
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

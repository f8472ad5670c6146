//! An operator on two samples, either of which may be a histogram.

use std::sync::Arc;

use crate::plan::{Binary, BinaryOp, Span};
use stillwell_model::histogram::{Incompatible, Merged, ResetHint};

use super::super::Eval;
use super::super::column::Point;
use crate::arithmetic::scalar_op;

/// What an operator makes of two samples.
pub(super) struct PointResult {
    pub(super) point: Point,
    /// Whether a comparison holds; true for other operators.
    pub(super) keep: bool,
}

impl Eval<'_> {
    /// `left op right`. A comparison yields its left side. `None` where the operator does not take these types.
    pub(super) fn element(
        &self,
        span: Span,
        binary: &Binary,
        left: &Point,
        right: &Point,
    ) -> Option<PointResult> {
        let op = binary.op;
        let kept = |point: Point| Some(PointResult { point, keep: true });
        let histogram = |mut histogram: stillwell_model::histogram::FloatHistogram| {
            histogram.compact();
            kept(Point::Histogram(Arc::new(histogram)))
        };
        match (left, right) {
            (Point::Float(l), Point::Float(r)) => match op {
                BinaryOp::TrimUpper | BinaryOp::TrimLower => {
                    self.refuse(span, "float", op, "float")
                }
                _ if op.is_comparison() => Some(PointResult {
                    point: Point::Float(*l),
                    keep: scalar_op(op, *l, *r) != 0.0,
                }),
                _ => kept(Point::Float(scalar_op(op, *l, *r))),
            },
            (Point::Float(l), Point::Histogram(r)) => match op {
                BinaryOp::Mul => histogram(r.scaled(*l)),
                _ => self.refuse(span, "float", op, "histogram"),
            },
            (Point::Histogram(l), Point::Float(r)) => match op {
                BinaryOp::Mul => histogram(l.scaled(*r)),
                BinaryOp::Div => {
                    let mut quotient = (**l).clone();
                    quotient.divide(*r);
                    histogram(quotient)
                }
                BinaryOp::TrimUpper | BinaryOp::TrimLower => kept(Point::Histogram(Arc::new(
                    l.trimmed(*r, op == BinaryOp::TrimUpper),
                ))),
                _ => self.refuse(span, "histogram", op, "float"),
            },
            (Point::Histogram(l), Point::Histogram(r)) => match op {
                BinaryOp::Add => {
                    let mut sum = (**l).clone();
                    let merged = sum.add(r);
                    self.annotate_merge(span, op, merged)?;
                    histogram(sum)
                }
                BinaryOp::Sub => {
                    let mut difference = (**l).clone();
                    let merged = difference.subtract(r);
                    self.annotate_merge(span, op, merged)?;
                    difference.hint = ResetHint::Gauge;
                    histogram(difference)
                }
                BinaryOp::Eql => Some(PointResult {
                    point: left.clone(),
                    keep: l == r,
                }),
                BinaryOp::Neq => Some(PointResult {
                    point: left.clone(),
                    keep: l != r,
                }),
                _ => self.refuse(span, "histogram", op, "histogram"),
            },
            _ => None,
        }
    }

    fn refuse(&self, span: Span, left: &str, op: BinaryOp, right: &str) -> Option<PointResult> {
        let op = op.as_str();
        self.info(
            span,
            format!("incompatible sample types encountered for binary operator {op:?}: {left} {op} {right}"),
        );
        None
    }

    fn annotate_merge(
        &self,
        span: Span,
        op: BinaryOp,
        merged: Result<Merged, Incompatible>,
    ) -> Option<()> {
        let operation = if op == BinaryOp::Add {
            "addition"
        } else {
            "subtraction"
        };
        let Ok(merged) = merged else {
            let op = op.as_str();
            self.warn(
                span,
                format!("incompatible bucket layout encountered for binary operator {op}"),
            );
            return None;
        };
        if merged.reset_collision {
            self.warn(
                span,
                format!("conflicting counter resets during histogram {operation}"),
            );
        }
        if merged.bounds_reconciled {
            self.info(
                span,
                format!("mismatched custom buckets were reconciled during {operation}"),
            );
        }
        Some(())
    }
}

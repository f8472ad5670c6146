//! Operators between a vector and a scalar.

use crate::QueryError;
use crate::arithmetic::scalar_op;
use crate::plan::{Binary, BinaryOp, Expr};
use crate::select::Projection;

use super::super::column::{ABSENT, Column, Point, is_absent};
use super::super::vector::unique_without_name;
use super::super::{Eval, Grid, Sink};
use super::drops_name;

impl Eval<'_> {
    pub(super) fn stream_with_scalar(
        &self,
        expr: &Expr,
        binary: &Binary,
        vector_left: bool,
        grid: Grid,
        need: Projection<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let (vector, scalar) = if vector_left {
            (&binary.lhs, &binary.rhs)
        } else {
            (&binary.rhs, &binary.lhs)
        };
        let scalars = self.scalar(scalar, grid)?;
        if drops_name(binary) {
            return self.stream_mapped(vector, grid, need, sink, &mut |column| {
                self.apply(expr, binary, vector_left, column, &scalars)
            });
        }
        let need = if unique_without_name(vector) {
            need
        } else {
            Projection::All
        };
        self.stream(vector, grid, need, &mut |labels, drop, column| {
            self.apply(expr, binary, vector_left, column, &scalars)?;
            if column.is_empty() {
                Ok(())
            } else {
                sink(labels, drop, column)
            }
        })
    }

    fn apply(
        &self,
        expr: &Expr,
        binary: &Binary,
        vector_left: bool,
        column: &mut Column,
        scalars: &[f64],
    ) -> Result<(), QueryError> {
        let filter = binary.op.is_comparison() && !binary.return_bool;
        let trim = matches!(binary.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        for (value, scalar) in column.floats.iter_mut().zip(scalars) {
            if is_absent(*value) || trim {
                continue;
            }
            let (left, right) = if vector_left {
                (*value, *scalar)
            } else {
                (*scalar, *value)
            };
            let result = scalar_op(binary.op, left, right);
            if !filter {
                *value = result;
            } else if result == 0.0 {
                *value = ABSENT;
            }
        }
        if trim || !column.histograms.is_empty() {
            self.apply_slowly(expr, binary, vector_left, column, scalars);
        }
        Ok(())
    }

    /// Histograms, and operators on them that refuse floats.
    fn apply_slowly(
        &self,
        expr: &Expr,
        binary: &Binary,
        vector_left: bool,
        column: &mut Column,
        scalars: &[f64],
    ) {
        let trim = matches!(binary.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        for (step, scalar) in scalars.iter().enumerate() {
            let point = column.get(step);
            let touched = match point {
                Point::None => false,
                Point::Float(_) => trim,
                Point::Histogram(_) => true,
            };
            if !touched {
                continue;
            }
            let scalar = Point::Float(*scalar);
            let (left, right) = if vector_left {
                (&point, &scalar)
            } else {
                (&scalar, &point)
            };
            let result = match self.element(expr.span, binary, left, right) {
                None => Point::None,
                Some(outcome) if binary.return_bool => {
                    Point::Float(if outcome.keep { 1.0 } else { 0.0 })
                }
                Some(outcome) if !outcome.keep => Point::None,
                Some(_) if binary.op.is_comparison() => point,
                Some(outcome) => outcome.point,
            };
            column.set(step, result);
        }
    }
}

//! Binary operators: vector with scalar, vector with vector, sets.

mod element;
mod scalar;
mod sets;
mod vectors;

use crate::QueryError;
use crate::plan::{Binary, BinaryOp, Expr, ValueType};
use crate::select::Projection;

use super::{Eval, Grid, Sink};

pub use vectors::{result_labels, signature_rule};

impl Eval<'_> {
    pub(super) fn stream_binary(
        &self,
        expr: &Expr,
        binary: &Binary,
        grid: Grid,
        need: Projection<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let vector = |side: &Expr| side.value_type() == ValueType::Vector;
        match (vector(&binary.lhs), vector(&binary.rhs)) {
            (true, true) if binary.op.is_set() => self.stream_set(binary, grid, sink),
            (true, true) => self.stream_matched(expr, binary, grid, sink),
            (true, false) => self.stream_with_scalar(expr, binary, true, grid, need, sink),
            (false, true) => self.stream_with_scalar(expr, binary, false, grid, need, sink),
            (false, false) => Err(QueryError::Internal(
                "an instant vector was expected".to_owned(),
            )),
        }
    }
}

/// Whether the result is another quantity than the operands, so that it loses the metric name.
pub(crate) fn drops_name(binary: &Binary) -> bool {
    binary.return_bool || changes_schema(binary.op)
}

/// Arithmetic makes another quantity.
pub fn changes_schema(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Pow
            | BinaryOp::Mod
            | BinaryOp::Atan2
    )
}

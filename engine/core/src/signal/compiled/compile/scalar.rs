//! Expressions that yield numbers.

use crate::promql::FunctionId;
use crate::promql::incremental::scalar_op;
use crate::promql::plan::{Expr, ExprKind};

use super::super::halt::Unsupported;
use super::super::op::{Op, Scalar};
use super::{Compiled, Compiler};

impl Compiler {
    pub(super) fn scalar(&mut self, expr: &Expr, depth: usize) -> Compiled<Scalar> {
        self.check_depth(depth)?;
        let slot = |at: usize| Ok(Scalar::Slot(at));
        match &expr.bare().kind {
            ExprKind::Number(number) => Ok(Scalar::Constant(*number)),
            ExprKind::Negate(inner) => match self.scalar(inner, depth + 1)? {
                Scalar::Constant(number) => Ok(Scalar::Constant(-number)),
                scalar => slot(self.emit(Op::NegateScalar { scalar })?),
            },
            ExprKind::Binary(binary) => {
                let op = binary.op;
                if op.is_trim() || op.is_set() {
                    return Err(Unsupported::Operator(op.as_str()));
                }
                let left = self.scalar(&binary.lhs, depth + 1)?;
                let right = self.scalar(&binary.rhs, depth + 1)?;
                match (left, right) {
                    (Scalar::Constant(left), Scalar::Constant(right)) => {
                        Ok(Scalar::Constant(scalar_op(op, left, right)))
                    }
                    _ => slot(self.emit(Op::Scalars { op, left, right })?),
                }
            }
            ExprKind::Call { function, args } => match function.id {
                FunctionId::Time => slot(self.emit(Op::Time)?),
                FunctionId::Pi => Ok(Scalar::Constant(std::f64::consts::PI)),
                FunctionId::Scalar => {
                    let input =
                        self.vector(args.first().ok_or(Unsupported::NoVector)?, depth + 1)?;
                    slot(self.emit(Op::ScalarOf { input })?)
                }
                _ => Err(Unsupported::Function(function.name)),
            },
            _ => Err(Unsupported::NoVector),
        }
    }
}

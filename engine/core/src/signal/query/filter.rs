//! A comparison with a number at the top of a query, which leaves elements out (S5).

use crate::promql::plan::{BinaryOp, Expr, ExprKind};

use super::expr::{number, peel};

/// A comparison with a number that leaves elements out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    op: BinaryOp,
    /// The number on the right, with the operator as if it stood there.
    limit: f64,
}

impl Filter {
    /// Whether an element of this value stays.
    pub(crate) fn keeps(self, value: f64) -> bool {
        match self.op {
            BinaryOp::Gtr => value > self.limit,
            BinaryOp::Gte => value >= self.limit,
            BinaryOp::Lss => value < self.limit,
            BinaryOp::Lte => value <= self.limit,
            BinaryOp::Neq => value != self.limit,
            _ => value == self.limit,
        }
    }
}

/// What is compared with a number at the top of a query, so that elements are left out.
pub(super) fn filtered(expr: &Expr) -> Option<(&Expr, Filter)> {
    let ExprKind::Binary(binary) = &peel(expr).kind else {
        return None;
    };
    let mirrored = match binary.op {
        _ if binary.return_bool => return None,
        BinaryOp::Gtr => BinaryOp::Lss,
        BinaryOp::Gte => BinaryOp::Lte,
        BinaryOp::Lss => BinaryOp::Gtr,
        BinaryOp::Lte => BinaryOp::Gte,
        op @ (BinaryOp::Eql | BinaryOp::Neq) => op,
        _ => return None,
    };
    match (number(&binary.lhs), number(&binary.rhs)) {
        (None, Some(limit)) => Some((
            &binary.lhs,
            Filter {
                op: binary.op,
                limit,
            },
        )),
        (Some(limit), None) => Some((
            &binary.rhs,
            Filter {
                op: mirrored,
                limit,
            },
        )),
        _ => None,
    }
}

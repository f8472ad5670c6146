//! Binary operators on two floats.

use crate::plan::BinaryOp;
use stillwell_model::arithmetic::go_math;

/// `left op right`; comparisons yield 1 or 0.
#[inline]
pub fn scalar_op(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |truth: bool| if truth { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => go_math::pow(left, right),
        BinaryOp::Atan2 => left.atan2(right),
        BinaryOp::Eql => truth(left == right),
        BinaryOp::Neq => truth(left != right),
        BinaryOp::Gtr => truth(left > right),
        BinaryOp::Lss => truth(left < right),
        BinaryOp::Gte => truth(left >= right),
        BinaryOp::Lte => truth(left <= right),
        BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Unless
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => f64::NAN,
    }
}

//! Tokens to atoms. One loop without recursion that knows whether an operand or an operator comes next; it refuses
//! what is too deep or too long before promql-parser sees it (its checks are quadratic in operators and nesting).

mod behind;
mod brackets;
mod modifiers;
mod operand;
mod operators;
mod scanner;

pub(super) use scanner::{Failed, scan};

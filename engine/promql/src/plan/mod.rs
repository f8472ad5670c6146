//! The plan of a query: what the text means, checked, with positions, and nothing of how it was written.
//!
//! Read-only for other rooms: the compiler of standing plans walks it.

mod duration;
mod expr;
mod function;
mod operators;
mod resolve;
mod types;

pub use duration::{Duration, DurationExpr, DurationKind, DurationOp, DurationPurpose};
pub use expr::*;
pub use function::{Function, FunctionId};
pub use operators::{AggregateOp, BinaryOp};
pub use types::{Span, ValueType};

//! The plan of a query: what the text means, checked, with positions, and nothing of how it was written.
//!
//! Read-only for other rooms: the compiler of standing plans walks it.

mod duration;
mod expr;
mod operators;

pub use duration::{Duration, DurationExpr, DurationKind, DurationOp, DurationPurpose};
pub use expr::*;
pub use operators::{AggregateOp, BinaryOp};

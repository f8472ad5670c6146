//! The plan of a query: a checked expression tree with positions in the text. It has no public constructor beside
//! [`Query::parse`](crate::Query::parse), and is read-only for other crates.

mod comparisons;
mod duration;
mod expr;
mod function;
mod narrow;
mod operators;
mod resolve;
mod rewrite;
mod types;

pub use duration::{Duration, DurationExpr, DurationKind, DurationOp, DurationPurpose};
pub use expr::*;
pub use function::{Function, FunctionId};
pub(crate) use narrow::{NotNarrowed, narrowed};
pub use operators::{AggregateOp, BinaryOp};
pub use types::{Span, ValueType};

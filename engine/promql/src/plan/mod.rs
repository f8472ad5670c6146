//! The plan of a query: a checked expression tree with positions in the text. It has no public constructor beside
//! [`Query::parse`](crate::Query::parse), and is read-only for other crates.

mod duration;
mod expr;
mod function;
mod narrow;
mod operators;
mod recorded;
mod resolve;
mod rewrite;
mod types;

pub use duration::{Duration, DurationExpr, DurationKind, DurationOp, DurationPurpose};
pub use expr::*;
pub use function::{Function, FunctionId};
pub use operators::{AggregateOp, BinaryOp};
pub(crate) use recorded::Expansion;
pub use recorded::{RecordedRule, RecordedRules};
pub use types::{Span, ValueType};

//! Evaluation, column by column.
//!
//! A vector expression is a stream of series; each carries its values for *all* steps of the query. A selector decodes
//! one series at a time into a buffer that is reused, functions change the column in place, an aggregation adds
//! it to its group's columns: a query of many series holds its groups, not its series. An instant query is a
//! grid of one step.

mod aggregate;
mod annotations;
mod binary;
mod budget;
mod column;
mod grid;
mod group;
pub(crate) mod order;
mod output;
mod parts;
mod range;
mod seek;
mod select;
mod smoothed;
mod state;
mod vector;

use stillwell_model::labels::Labels;

use super::QueryError;
use super::plan::{Duration, Expr};

pub use aggregate::{Heap, int_param};
pub use binary::{changes_schema, result_labels, signature_rule};
pub(crate) use budget::{SAMPLE_BYTES, Selected};
pub use column::{ABSENT, is_absent};
pub(crate) use column::{Column, Point, Series};
pub(crate) use grid::{Grid, Windows};
pub use group::{KeyRule, Keys};
pub use order::by_value;
pub(crate) use output::{instant, range};
pub(crate) use parts::{Columns, Worker};
pub(crate) use range::{RangeInput, RangeReader, RangeSamples};
pub(crate) use seek::Seek;
pub(crate) use state::{Calls, Eval};
pub(crate) use vector::{Merger, unique_without_name};
pub use vector::{is_reserved, without_reserved};

/// Receives the series of a vector: its labels, whether its name is removed at the end of the query, and its values, which
/// the receiver may change.
pub(crate) type Sink<'s> = dyn FnMut(&Labels, bool, &mut Column) -> Result<(), QueryError> + 's;

/// The input of an evaluation: a plan with resolved durations, and the text of the query for positions.
pub(crate) struct ResolvedPlan<'a> {
    pub(crate) expr: &'a Expr,
    pub(crate) text: &'a str,
}

/// Milliseconds of a duration that `resolve` has made known.
pub(crate) fn known_ms(duration: &Duration) -> i64 {
    duration.fixed_ms().unwrap_or(0)
}

pub(crate) fn execution(message: impl Into<String>) -> QueryError {
    QueryError::Execution(message.into())
}

pub(crate) fn not_implemented(expr: &Expr, what: &str) -> QueryError {
    execution(format!(
        "{what} is not built yet (at byte {})",
        expr.span.start
    ))
}

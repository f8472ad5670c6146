//! Building blocks for evaluating a [`plan`](crate::plan) incrementally, as samples arrive, with results equal to
//! those of this crate's evaluator bit for bit: label sets as grouping keys, aggregation steps, operators, range
//! functions over one window, quantiles of classic buckets.
//!
//! The compiled signals of `stillwell-engine` are built on it.

pub use super::arithmetic::{
    Bucket, Monotonicity, aggregation, bucket_quantile, parse_bound, quantile, scalar_op,
};
pub use super::eval::{
    ABSENT, Heap, KeyRule, Keys, by_value, changes_schema, int_param, is_absent, is_reserved,
    result_labels, signature_rule, without_reserved,
};
pub use super::functions::float_windows;
pub use super::functions::{
    LabelChange, absent_labels, calendar_part, is_calendar, is_pointwise, pointwise,
};
pub use stillwell_model::arithmetic::{kahan_inc, kahan_inc_finite};

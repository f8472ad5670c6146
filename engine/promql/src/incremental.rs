//! What compiled queries share with the evaluator, so that both get the same bits: label sets as keys, the steps of
//! aggregations, operators, range functions of floats, quantiles of classic buckets.

pub use super::arithmetic::{
    Bucket, Monotonicity, aggregation, bucket_quantile, parse_bound, scalar_op,
};
pub use super::eval::{
    ABSENT, KeyRule, Keys, changes_schema, is_absent, is_reserved, result_labels, signature_rule,
    without_reserved,
};
pub use super::functions::float_windows;
pub use super::functions::{is_pointwise, pointwise};
pub use stillwell_model::arithmetic::kahan_inc;

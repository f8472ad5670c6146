//! What standing programs share with the evaluator, so that both get the same bits: label sets as keys, the steps of
//! aggregations, operators, range functions of floats, quantiles of classic buckets.

pub(crate) use super::eval::steps;
pub(crate) use super::eval::{
    ABSENT, KeyRule, Keys, changes_schema, is_absent, is_reserved, result_labels, scalar_op,
    signature_rule, without_reserved,
};
pub(crate) use super::functions::floats;
pub(crate) use super::functions::{
    Bucket, bucket_quantile, is_pointwise, kahan_inc, parse_bound, pointwise,
};

//! Arithmetic on sample values: what aggregations, operators and functions do with numbers once they have them.
//!
//! It knows no series and no evaluation, so the evaluator, the functions and compiled signals share it and get
//! the same bits.

pub mod aggregation;
mod buckets;
pub(crate) mod floats;
mod interpolation;
mod operators;

pub use buckets::{Bucket, Monotonicity, bucket_quantile, parse_bound};
pub(crate) use buckets::{almost_equal, bucket_fraction};
pub use floats::quantile;
pub(crate) use interpolation::{interpolate, interpolate_histograms};
pub use operators::scalar_op;

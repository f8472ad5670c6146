//! PromQL: source text, plan, evaluation.
//!
//! `source` caps and normalises the text, promql-parser reads it, `lower` checks it and makes our own plan,
//! `select` reads a store through a View, `eval` computes.

mod answer;
pub mod select;

pub use answer::{Annotations, Answer, QueryError, RangeSeries, Value, VectorSample};

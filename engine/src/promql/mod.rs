//! PromQL: source text, plan, evaluation.
//!
//! `source` caps and normalises the text, promql-parser reads it, `lower` checks it and makes our own plan,
//! `select` reads a store through a View, `eval` computes.

mod answer;
pub mod differential;
mod eval;
mod functions;
mod lower;
mod options;
pub mod plan;
mod query;
pub mod script;
pub mod select;
mod source;
pub(crate) mod standing;

pub use answer::{Annotations, Answer, QueryError, RangeSeries, Value, VectorSample};
pub use functions::{Function, FunctionId};
pub(crate) use functions::{go_float, go_math, kahan_inc};
pub use options::{EvalOptions, Features, Stop};
pub use query::{Query, SelectorUse, parse_duration_ms, parse_metric_selector};

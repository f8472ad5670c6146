//! PromQL: source text, plan, evaluation.
//!
//! ```text
//!  text --source--> atoms and promql-parser's tree --lower--> plan --eval--> columns --> Answer
//!                                                                |             ^
//!                                            selectors: View ----+-- samples --'
//! ```
//!
//! * [`Query`] is the door: parse once, evaluate as often as wanted, on any thread.
//! * `source` reads the text under limits, `lower` checks it and makes our own [`plan`].
//! * [`select`] is how evaluation sees a store. `eval` computes column by column, `functions` has one file per family.
//! * [`script`] runs Prometheus' test scripts, [`differential`] asks two engines the same random questions.
//!
//! The measure is Prometheus 3.14: its own test scripts pass without exception, and more than 100,000 random queries
//! agreed with a real 3.5 in every bit, except where
//! * Prometheus' own answer depends on the order of a Go map (sums over the results of operators and functions in range
//!   queries; which of several equal values an unstable sort puts first);
//! * 3.5 is older than what we follow: filtered comparisons count as matches (`multiple matches for labels`),
//!   `label_replace` and `label_join` merge series whose points do not overlap, and a malformed `le` is reported
//!   without an empty metric name;
//! * a selector with `@` stands in a subquery with `@` that stands in a subquery: Prometheus reads it at another time
//!   than the query names (by as much as the outer subquery begins before the query), we read it where it says.

#![forbid(unsafe_code)]

mod answer;
mod arithmetic;
mod eval;
mod functions;
pub mod incremental;
mod lower;
mod options;
pub mod plan;
mod query;
pub mod script;
pub mod select;
mod source;

pub use answer::{Annotations, Answer, QueryError, RangeSeries, Value, VectorSample};
pub use options::{EvalOptions, Features, Stop};
pub use plan::{Function, FunctionId};
pub use query::{Query, SelectorUse, parse_duration_ms, parse_metric_selector};
pub use stillwell_model as model;

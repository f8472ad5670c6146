//! PromQL as Prometheus 3.14 evaluates it, over any store that implements one trait.
//!
//! ```text
//!  text --source--> atoms and promql-parser's tree --lower--> plan --eval--> columns --> Answer
//!                                                                |             ^
//!                                            selectors: View ----+-- samples --'
//! ```
//!
//! * [`Query`] parses a text once and evaluates it any number of times, on any thread.
//! * [`select`] is how the evaluator reads a store: implement [`select::View`] and [`select::Selection`].
//! * [`plan`] is the checked expression tree, and [`incremental`] what an evaluator of your own can share with this
//!   one.
//! * [`script`] runs Prometheus' test scripts.
//! * Inside: `source` reads the text under limits, `lower` checks it and builds the plan, `eval` computes column by
//!   column, `functions` has one file per family, `arithmetic` works on single values.
//!
//! # A store of your own
//!
//! ```
//! use stillwell_promql::model::labels::Labels;
//! use stillwell_promql::model::time::Timestamp;
//! use stillwell_promql::select::{Samples, SelectRequest, Selection, View};
//! use stillwell_promql::{EvalOptions, Features, Query, QueryError, Value};
//!
//! /// Each series is a label set and its samples: time in milliseconds and value, ascending.
//! struct Store(Vec<(Labels, Vec<(i64, f64)>)>);
//!
//! impl View for Store {
//!     fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn Selection>, QueryError> {
//!         let matching = self.0.iter().filter(|(labels, _)| {
//!             request.matchers.iter().all(|matcher| matcher.matches_labels(labels))
//!         });
//!         let in_range = |time_ms: i64| request.after_ms < time_ms && time_ms <= request.until_ms;
//!         let copy = |(labels, samples): &(Labels, Vec<(i64, f64)>)| {
//!             let samples = samples.iter().copied().filter(|(time_ms, _)| in_range(*time_ms));
//!             (labels.clone(), samples.collect())
//!         };
//!         Ok(Box::new(Selected(matching.map(copy).collect())))
//!     }
//! }
//!
//! struct Selected(Vec<(Labels, Vec<(i64, f64)>)>);
//!
//! impl Selection for Selected {
//!     fn len(&self) -> usize {
//!         self.0.len()
//!     }
//!
//!     fn labels(&self, index: usize) -> &Labels {
//!         &self.0[index].0
//!     }
//!
//!     fn read(&self, index: usize, samples: &mut Samples) {
//!         samples.clear();
//!         for &(time_ms, value) in &self.0[index].1 {
//!             samples.times_ms.push(time_ms);
//!             samples.values.push(value);
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), QueryError> {
//! let series = |pool: &str, values: [f64; 3]| {
//!     let labels = Labels::from_pairs([("__name__", "requests_total"), ("pool", pool)]);
//!     (labels, vec![(0, values[0]), (30_000, values[1]), (60_000, values[2])])
//! };
//! let store = Store(vec![series("a", [0.0, 30.0, 60.0]), series("b", [5.0, 5.0, 5.0])]);
//!
//! let query = Query::parse("sum(rate(requests_total[1m]))", &Features::default())?;
//! let answer = query.instant(&store, Timestamp::from_ms(60_000), &EvalOptions::default())?;
//! let Value::Vector(vector) = answer.value else { panic!("a sum is a vector") };
//! assert_eq!(vector[0].value, 1.0);
//! # Ok(())
//! # }
//! ```
//!
//! # How far it is Prometheus
//!
//! Prometheus' own test scripts pass without exception. More than 100,000 random queries were compared with a running
//! Prometheus 3.5 and agreed in every bit (bench `differential`), except where
//!
//! * Prometheus' own answer depends on the iteration order of a Go map: sums over the results of operators and
//!   functions in range queries, and which of several equal values an unstable sort puts first;
//! * 3.14 differs from 3.5: filtered comparisons count as matches (`multiple matches for labels`), `label_replace`
//!   and `label_join` merge series whose points do not overlap, and a malformed `le` is reported without an empty
//!   metric name;
//! * a selector with `@` stands in a subquery with `@` inside another subquery: Prometheus reads it at another time
//!   than the query names, this crate at the time it names;
//! * trigonometric and hyperbolic functions differ from Go's in the last bits.

#![forbid(unsafe_code)]

mod answer;
mod arithmetic;
mod eval;
mod functions;
pub mod incremental;
mod lower;
mod memory;
mod options;
pub mod plan;
mod query;
mod recorded;
pub mod script;
pub mod select;
mod source;
mod tally;

pub use answer::{Annotations, Answer, QueryError, RangeSeries, Value, VectorSample};
pub use memory::{MemoryLease, QueryMemory};
pub use options::{EvalOptions, Features, Helpers, Stop};
pub use plan::{Function, FunctionId};
pub use query::{Query, SelectorUse, parse_duration_ms, parse_metric_selector};
pub use recorded::{RecordedRule, RecordedRules};
pub use stillwell_model as model;
pub use tally::SampleTally;

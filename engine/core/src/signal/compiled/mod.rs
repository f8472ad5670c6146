//! Incremental evaluation: queries compiled to flat programs that work on the newest values of their series.
//!
//! ```text
//!  plan --compile--> ops in topological order      once per query
//!       --bind-----> members, groups, links        when series appear or disappear (may allocate)
//!       --run------> slots, result                 at each page (allocates nothing)
//! ```
//!
//! * `query` is one query: when its program is bound and run. `compile` makes the [`program::Program`] of `op`s, or says what in the query no program has (`halt`): that query is
//!   evaluated from its plan, and `/signals` shows why.
//! * `members` selects the series of a leaf and their groups; `bind` gives every slot its elements, and every op its
//!   `links` to those of its operands: `join`, `rank`, `sort`, `quantile` and the sets have tables of their own
//!   (`buckets`).
//! * `instant` aggregates current values, sums of several groups at the same time (`lanes`); `window` keeps the samples of
//!   ranges (`ticks`, `rings`, `bits`; `summed`: of families under other names), and `range` has their functions, over times
//!   that are numbered (`scale`); `visibility` says which samples of a target are visible, `fold` has the aggregations.
//! * `steps` keeps what the inner query of a subquery yielded at each step, and `order` says in which order its elements come.
//!
//! The result is that of evaluation from the plan in the signal view, bit for bit: the same additions in the same order
//! (ascending series id), by the same code (`promql::incremental`). Where that is not possible (series with explicit
//! timestamps or native histograms, histories that span two targets), the program is blocked and the query is evaluated from
//! the plan, until series appear or disappear or `RETRY_MS` have passed. Elements with equal labels share a place: a run
//! that would put two of them there stops, and evaluation from the plan says whether that is an error.
//!
//! Budget: 1 us per 1,000 series of a `sum by`, no allocation (`tests/zero_alloc`, bench `query`, group `compiled`).

mod bind;
mod bits;
mod buckets;
mod compile;
mod fold;
mod halt;
mod instant;
mod join;
mod lanes;
mod links;
mod members;
mod op;
mod order;
mod program;
mod quantile;
mod query;
mod range;
mod rank;
mod rings;
mod scale;
mod slots;
mod sort;
mod steps;
mod summed;
mod ticks;
mod vector;
mod visibility;
mod window;

use parking_lot::RwLock;

use crate::store::Store;

use super::facts::Facts;
use super::names::Names;
use super::scope::Scope;

pub(crate) use halt::Unsupported;
pub(crate) use query::CompiledQuery;

/// The context of one evaluation.
#[derive(Clone, Copy)]
pub(crate) struct EvalContext<'a> {
    pub(crate) store: &'a RwLock<Store>,
    pub(crate) facts: &'a Facts,
    pub(crate) names: &'a Names,
    pub(crate) scope: &'a Scope,
    pub(crate) at_ms: i64,
    pub(crate) lookback_ms: i64,
    /// Bytes that the program's windows may hold.
    pub(crate) window_bytes_max: usize,
}

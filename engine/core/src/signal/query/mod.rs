//! The query of a signal: what the rules have to know of it, found once when it is registered.

mod alternatives;
mod comparison;
mod expr;
mod filter;
mod kind;
mod parse;
mod reads;
mod selector;
mod sums;
mod window;

use std::sync::Arc;

use crate::promql::{EvalOptions, Features, Query, RecordedRules};

use super::demand::Demand;

pub(crate) use comparison::Comparison;
pub(crate) use filter::Filter;
pub(crate) use kind::Kind;
pub(crate) use selector::Selector;

/// A parsed query with the properties that the rules depend on.
#[derive(Clone, Debug)]
pub(crate) struct SignalQuery {
    /// The query without a trailing `or vector(c)`.
    pub(crate) query: Query,
    /// The `c` of that `or vector(c)`.
    pub(crate) fallback: Option<f64>,
    pub(crate) selectors: Vec<Selector>,
    pub(crate) kind: Kind,
    pub(crate) demand: Demand,
    /// Queries for samples that are no finite number, of the selectors of which the result would not show it.
    pub(crate) not_finite: Vec<Query>,
    /// Whether it writes labels that its series may not have (`label_replace`).
    pub(crate) writes_labels: bool,
    /// The labels by which the result is grouped; `*` if they are not known beforehand.
    pub(crate) grouping: Vec<String>,
    /// Whether a comparison somewhere in it may leave out a part of what it reads.
    pub(crate) leaves_out: bool,
    /// The sums of which a larger query consists, if one may be empty and mean 0 while the others are not.
    pub(crate) parts: Vec<SignalQuery>,
    /// A combination whose parts cannot be distinguished: its empty result proves nothing.
    pub(crate) is_opaque: bool,
    /// The comparison with a number that decides which elements of its only part stay, if that is what the query is.
    pub(crate) filter: Option<Filter>,
    /// What it compares and combines, where it leaves elements out in any other way.
    pub(crate) comparison: Option<Comparison>,
    /// Whether it is `absent(...)` or `absent_over_time(...)`, which is empty while its series exist.
    pub(crate) is_absent: bool,
    /// Whether it reads a time before its own (`offset`, `@`).
    pub(crate) has_offset: bool,
    /// Why the series of a recording rule that it reads cannot be read as the rule's expression.
    pub(crate) unreadable: Option<String>,
}

/// How queries of signals are read.
#[derive(Clone, Debug)]
pub(crate) struct ParseOptions {
    pub(crate) features: Features,
    /// Rules whose series are read as their expressions.
    pub(crate) recorded: Arc<RecordedRules>,
    /// The step of a subquery that names none, in milliseconds.
    pub(crate) subquery_step_ms: i64,
}

impl Default for ParseOptions {
    fn default() -> ParseOptions {
        ParseOptions {
            features: Features::default(),
            recorded: Arc::default(),
            subquery_step_ms: EvalOptions::default().subquery_step_ms,
        }
    }
}

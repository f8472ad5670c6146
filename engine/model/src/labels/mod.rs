//! Label sets, the matchers that select them, and the rules that rewrite them.
//!
//! A label set outside of the store is a [`Labels`]: one packed, shared string that is cheap to clone, compare and
//! hash. Inside the store a label is a pair of symbols.

mod hash;
mod matcher;
mod re2;
mod relabel;
mod set;

pub use hash::labels_hash;
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use re2::{Captures, Re2, Re2Error, expand, quote_regex};
pub use relabel::{RelabelAction, RelabelError, RelabelRule, RelabelSpec, relabel};
pub use set::{Labels, LabelsBuilder, METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};

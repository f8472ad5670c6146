//! Likely mistakes in the query of a signal, found before it is used: from the names table and the query alone, without
//! targets.

mod bound;
mod expression;
mod mistakes;

pub use bound::{Bound, bound, window_ms};
pub(super) use mistakes::foreign_labels;
pub use mistakes::lint;

//! The plan of a query: what the text means, checked, with positions, and nothing of how it was written.
//!
//! Read-only for other rooms: the compiler of standing plans walks it.

mod duration;
mod expr;

pub use expr::*;

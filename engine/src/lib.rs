//! The embeddable engine of Stillwell.

#![forbid(unsafe_code)]

pub mod histogram;
pub mod labels;
pub mod promql;
pub mod time;

pub use time::Timestamp;

//! The data model of Prometheus, shared by the PromQL evaluator and the engine.
//!
//! * [`labels`]: label sets, matchers, RE2 regular expressions, relabelling.
//! * [`histogram`]: native histograms and their arithmetic.
//! * [`arithmetic`]: floating-point functions whose results equal Go's to the last bit.
//! * [`number_text`]: floats as Go prints them.
//! * [`time`]: timestamps in milliseconds since the Unix epoch.
//! * [`ids`]: the small integers by which a store names series, targets and clocks.
//! * [`metadata`]: type and help text of metric families.
//! * [`nearest`]: the known word that a mistyped one was probably meant to be.
//!
//! Nothing here does I/O, reads a clock or holds a lock.

#![forbid(unsafe_code)]

pub mod arithmetic;
pub mod histogram;
pub mod ids;
pub mod labels;
pub mod metadata;
pub mod nearest;
pub mod number_text;
pub mod time;

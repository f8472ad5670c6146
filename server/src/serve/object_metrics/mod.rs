//! Metrics of objects: which there are, and what they say of one object or of many.
//!
//! A metric comes from one of prometheus-adapter's rules, or from a signal of the configuration that is grouped by the label
//! of a kind. One object is read through a query of its own, which is the adapter's. Many are read through one query for all
//! of them, which is evaluated once however many HPAs read it, and each object is judged by its own targets.

mod asked;
mod lists;
mod questions;

pub(super) use asked::Asked;
pub(super) use questions::ObjectMetrics;

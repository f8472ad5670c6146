//! Checks a page against OpenMetrics 1.0, stricter than a scrape does (`stillwell check metrics --openmetrics`).
//!
//! A scrape takes what Prometheus takes, which tolerates much that the specification forbids; an exporter that is
//! checked in its build wants the rules themselves. Source: the OpenMetrics specification 1.0 (RFC draft
//! draft-richih-opsawg-openmetrics-00), "Data Model" and "ABNF". Where the text leaves a choice, the project's own cases
//! decide (tests/openmetrics).
//!
//! * `line`: the grammar of one line.
//! * `family`: what the type of a family says of its samples: suffixes, labels, values, exemplars.
//! * `order`: which samples belong together, in which order, and with which timestamps.
//! * `histogram`: buckets, sum and count of one point of a histogram.
//! * `page`: the families of a page: names, metadata, the end.

mod family;
mod histogram;
mod line;
mod order;
mod page;

pub use page::check;

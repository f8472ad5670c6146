//! The names of metric families from release to release, their labels, and what they measure, as a table: of gateways
//! (`gateways`) and of model servers (`engines`).
//!
//! A row is one family under all its names, newest first, with the labels that its series have in addition to those of the
//! target. Users add demand families and witnesses by configuration.

mod engines;
mod family;
mod gateways;
mod lookup;
mod releases;
mod sources;
mod table;
mod table_metrics;
mod well_known;
mod witnesses;

pub use family::{Class, Engine, Family, Measure, Name};
pub use lookup::Names;
pub(crate) use releases::{expected_name, release};
pub(crate) use sources::names_source;
pub use table::FAMILIES;
pub(crate) use table::NameIndex;
pub(crate) use table_metrics::{TableMetric, TableMetrics};
pub(crate) use well_known::{INFO, LEADER, POOL_LABELS, REQUEST_LABELS, START_TIME, UP};
pub(crate) use witnesses::is_class_witness;

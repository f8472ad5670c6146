//! An alert as others are told of it.

use std::sync::Arc;

use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;

/// One alert that fires or is over, at the wall clock's times.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// By which an Alertmanager knows it again.
    pub labels: Labels,
    /// For people.
    pub annotations: Labels,
    /// Since when it fires.
    pub starts_at: Timestamp,
    /// When it is over: in the past where it is, and else when it is to be taken as over unless it is sent again.
    pub ends_at: Timestamp,
    /// Where its query can be looked at.
    pub generator_url: Arc<str>,
}

//! What the faces need from the process that carries them.

use std::sync::Arc;

use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;

/// The process behind the faces. Every call answers from memory at once.
pub trait Host: Send + Sync + 'static {
    /// The process' clock.
    fn now(&self) -> Timestamp;

    /// Runs what takes longer than a lookup.
    fn queries(&self) -> &crate::pool::QueryPool;

    /// What scalers may ask for by name.
    fn signals(&self) -> Arc<dyn Signals>;
}

/// Signals, by name.
pub trait Signals: Send + Sync {
    /// The configured names, sorted.
    fn names(&self) -> Vec<String>;

    /// The signal of this name, in any case; `None` where none is configured. May evaluate: call it on the pool.
    fn read(&self, name: &str, namespace: &str, now: Timestamp) -> Option<Reading>;
}

/// What a signal says now.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Numbers, one per group.
    Values(Vec<Element>),
    /// No number, and why.
    Unknown(String),
    /// This namespace may not read it.
    Forbidden,
}

/// One number of a signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// The group's labels.
    pub labels: Labels,
    /// The number; the face checks that it can be told.
    pub value: f64,
    /// When it was measured.
    pub at: Timestamp,
}

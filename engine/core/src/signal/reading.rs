//! What a signal says, as callers get it.

use crate::labels::Labels;
use crate::time::Timestamp;

/// A standing signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalId(pub(crate) u32);

impl SignalId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a signal may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Measured now.
    Value,
    /// Not quite: some target is frozen for less than the hold, or a process has just changed.
    Held {
        /// How old the oldest part is.
        age_ms: i64,
        /// Who is not fresh.
        why: String,
    },
    /// No number may be told.
    Unknown {
        /// Who, since when, and what to change.
        why: String,
    },
}

/// A number with its group's labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// The group.
    pub labels: Labels,
    /// The number.
    pub value: f64,
    /// When it was measured; for a held one, when its oldest part was.
    pub time: Timestamp,
}

/// What a signal says now.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Whether its numbers may be told.
    pub state: State,
    /// Empty where the state is unknown; else at least one.
    pub elements: Vec<Element>,
}

/// A change of what a signal says.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// When it was noticed.
    pub time: Timestamp,
    /// What it said from then on.
    pub state: State,
    /// Its first number, if it had any.
    pub value: Option<f64>,
}

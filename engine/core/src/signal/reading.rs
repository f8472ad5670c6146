//! The reading of a signal: its state and its numbers, as callers get them.

use crate::labels::Labels;
use crate::time::Timestamp;

/// A registered signal. Ids of removed signals are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalId(pub(crate) u32);

impl SignalId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The state of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Every target that counts is fresh: the numbers are those of the newest pages.
    Value,
    /// Some target has been frozen for less than its hold (S5), or a process has changed within the grace (S6).
    Held {
        /// Age of the oldest part, in milliseconds.
        age_ms: i64,
        /// Which target is not fresh, or which process changed.
        why: String,
    },
    /// A number that the configuration asks for and nobody measured: the fallback of a signal that stays unknown, or its
    /// floor where less was measured.
    Configured {
        /// Which of them, and what was measured or why nothing was.
        why: String,
    },
    /// No number may be reported.
    Unknown {
        /// Which target or part of the query, since when, and what to change.
        why: String,
    },
}

/// One element of the result: a number with the labels of its group.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// The labels by which the query groups; empty where it does not.
    pub labels: Labels,
    /// Finite, and at most 9.2e15 in size, which is what a Kubernetes quantity can carry.
    pub value: f64,
    /// When it was measured; for a held number, when its oldest part was.
    pub time: Timestamp,
}

/// The reading of a signal at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Whether its numbers may be reported.
    pub state: State,
    /// Empty where the state is unknown, otherwise at least one.
    pub elements: Vec<Element>,
}

/// A change of a signal's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// When it was noticed.
    pub time: Timestamp,
    /// The state from then on.
    pub state: State,
    /// Its first number, if it had any.
    pub value: Option<f64>,
}

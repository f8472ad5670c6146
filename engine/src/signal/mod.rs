//! Signals: numbers that may be told to a scaler, each with the answer to "how do you know".
//!
//! `facts` gathers what targets have shown, `scope` says which of them count, `judge` what may be told, `room` keeps
//! it together; `view` shows the store to a signal's query, `needed` says what must be kept of a page for all of that,
//! `names` and `policy` are what can be said beforehand.

mod explain;
mod facts;
mod judge;
mod lint;
mod names;
mod needed;
mod policy;
mod query;
mod room;
mod scope;
mod standing;
mod view;

pub(crate) use facts::{ChangeKind, START_TIME};
pub(crate) use needed::{Board, Needed};
pub(crate) use room::{Room, evaluate};
pub(crate) use view::SignalView;

pub use explain::{Explanation, TargetState};
pub use lint::lint;
pub use names::{Class, FAMILIES, Family, Name, Names};
pub use policy::{Absent, Nan, Policy};
pub use room::{Element, Reading, SignalId, State, Transition};

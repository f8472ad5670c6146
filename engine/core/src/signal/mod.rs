//! Signals: numbers that may be told to a scaler, each with the answer to "how do you know".
//!
//! `facts` gathers what targets have shown, `scope` says which of them count, `judge` what may be told, `watched` is one
//! signal, `tell` what it says, `room` keeps all; `standing` evaluates page by page what can be compiled, `ordinary` the
//! rest in the `view` of the store; `needed` says what must be kept of a page for all of that; `names` and `policy` are what can be said beforehand.

mod absence;
mod assessment;
mod explain;
mod facts;
mod grace;
mod judge;
mod lint;
mod names;
mod needed;
mod ordinary;
mod policy;
mod query;
mod reading;
mod refresh;
mod room;
mod scope;
mod standing;
mod tell;
mod view;
mod watch;
mod watched;

pub(crate) use facts::{ChangeKind, START_TIME};
pub(crate) use needed::{RetainHandle, RetainSet};
pub(crate) use ordinary::evaluate;
#[doc(hidden)]
pub use ordinary::{Evaluated, Outcome};
pub(crate) use refresh::refresh;
pub(crate) use room::Room;
pub(crate) use view::SignalView;
pub(crate) use watch::watch;

pub use explain::{Explanation, TargetState};
pub use lint::lint;
pub use names::{Class, FAMILIES, Family, Name, Names};
pub use policy::{Absent, Nan, Policy};
pub use reading::{Element, Reading, SignalId, State, Transition};

//! Signals: numbers that may be told to a scaler, each with the answer to "how do you know".
//!
//! `facts` gathers what targets have shown, `scope` says which of them count, `judge` what may be told, `watched` is one
//! signal, `tell` what it says, `registry` keeps all; `compiled` evaluates page by page what can be compiled, `ordinary` the
//! rest in the `view` of the store; `needed` says what must be kept of a page for all of that; `names` and `policy` are what can be said beforehand.

mod absence;
mod assess;
mod assessment;
mod compiled;
mod evaluate;
mod explain;
mod facts;
mod grace;
mod judge;
mod lint;
mod names;
mod policy;
mod query;
mod reading;
mod refresh;
mod register;
mod registry;
mod retain_set;
mod scope;
mod signal;
mod view;

pub(crate) use evaluate::evaluate;
#[doc(hidden)]
pub use evaluate::{Evaluated, Evaluation};
pub(crate) use facts::ChangeKind;
pub(crate) use names::START_TIME;
pub(crate) use refresh::refresh;
pub(crate) use register::register;
pub(crate) use registry::SignalRegistry;
pub(crate) use retain_set::{RetainHandle, RetainSet};
pub(crate) use view::SignalView;

pub use explain::{Explanation, TargetState};
pub use lint::lint;
pub use names::{Class, FAMILIES, Family, Name, Names};
pub use policy::{Absent, Nan, Policy};
pub use reading::{Element, Reading, SignalId, State, Transition};

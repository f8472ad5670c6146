//! Signals: queries whose results are kept up to date and judged by the rules of `RULES.md` before they are reported.
//!
//! * What is known: `facts` (what each target's pages have shown), `names` (the metric names of gateways, a table),
//!   `policy` (what a user configures for one signal).
//! * What follows for a query: `query` (its selectors and its kind), `scope` (which targets count; `carried`: which labels of a
//!   result say so; `scopes`: those of one answer, `lacking`: whether a part of it lacks a label), `judge` (whether their
//!   pages are new enough), `absence` (whether an empty result means 0; `known_labels`: what
//!   the labels of a family say of that; `shown`: what is on a page), `losses` (what a result lacks), `compared` (whether it is empty because comparisons leave out what was measured), `windows` (whether good pages cover what a query looks back to), `grace` (what holds after a restart), `lint`.
//! * How it is evaluated: `compiled` (incrementally, at each page), `evaluate` and `refresh` (from the plan, without a
//!   lock), `view` (the store as signals see it; `form`: families under other names), `retain_set` (which metrics are kept).
//! * `signal` is one signal, `assess` yields its `reading` (`configured`: what a user wants told instead), `objects` that of each object it tells of, `unanswered` whether what has no number may be there, `unlisted` whether all targets are known, `explain` the reasons;
//!   `registry` holds all signals, and `register` adds one; `persist` is what a snapshot keeps of them, `remembered` of one.

mod absence;
mod assess;
mod assessment;
mod candidates;
mod carried;
mod compared;
mod compiled;
mod configured;
mod demand;
mod evaluate;
mod explain;
mod facts;
mod form;
mod grace;
mod judge;
mod known_labels;
mod lacking;
mod lint;
mod looks;
mod losses;
mod names;
mod nan_as_zero;
mod not_finite;
mod objects;
mod persist;
mod policy;
mod query;
mod reading;
mod refresh;
mod register;
mod registry;
mod remembered;
mod rescope;
mod retain_set;
mod scope;
mod scopes;
mod seen;
mod shown;
#[expect(
    clippy::module_inception,
    reason = "it is the file of the type `Signal`"
)]
mod signal;
mod unanswered;
mod unlisted;
mod view;
mod windows;

pub(crate) use evaluate::evaluate;
#[doc(hidden)]
pub use evaluate::{Compared, Evaluated, Evaluation};
pub(crate) use facts::{
    ChangeKind, CounterMoves, Facts, Gatherer, LeftOut, PageFacts, ProcessFacts, ProcessGatherer,
    RememberedLabels, RestoredTarget, WhyLeftOut,
};
pub(crate) use names::START_TIME;
pub(crate) use refresh::refresh;
pub(crate) use register::{register, set_recorded};
pub(crate) use registry::SignalRegistry;
pub(crate) use retain_set::{RetainHandle, RetainSet};
pub(crate) use view::SignalView;

pub use explain::{Explanation, Outline, TargetState};
pub use facts::{Namespaces, Partial, Unlisted, Unseen};
pub use lint::{Bound, bound, lint, window_ms};
pub use names::{Class, Engine, FAMILIES, Family, Measure, Name, Names};
pub use objects::{ObjectReading, ObjectValue};
pub use policy::{Absent, Fallback, FallbackNumber, Nan, Policy};
pub use reading::{Element, Reading, SignalId, State, Transition};

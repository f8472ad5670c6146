//! Signals: queries whose results are kept up to date and judged by the rules of `RULES.md` before they are reported.
//!
//! `signal` is one signal, `registry` holds all of them with the facts about their targets, and a `reading` is what callers get.
//! In the order in which one comes about:
//!
//! * What is asked: `query` (its selectors and its kind), `demand` (how it depends on demand), `policy` (what a user configures
//!   for one signal), `names` (the metric names of gateways and model servers, a table).
//! * What is known: `facts` (what the pages of each target have shown).
//! * Which targets count: `scope`, found again by `rescope` (`looks`: when that is due); `scopes` and `candidates` for callers and
//!   groups (`lacking`: whether a part of the result lacks a label); `carried` (which labels of a result are those of the series).
//! * How it is evaluated: `compiled` (incrementally, at each page), `evaluate` and `refresh` (from the plan, without a lock), in
//!   the `view` (the store as signals see it; `form`: families under other names). `retain_set` says which metrics are stored.
//! * How it is judged: `assess` goes through the result, with an `assessment` as context, and asks `judge` (whether pages are new
//!   enough), `not_finite` and `nan_as_zero` (whether samples are numbers), `absence` (whether an empty result means 0;
//!   `known_labels`: what labels say of that), `shown` and `losses` (what a page has, and what a result lacks), `compared`
//!   (what comparisons leave out), `windows` (whether good pages cover what a query looks back to), `grace` (what holds after a
//!   restart), `unlisted` (whether all targets are known) and `configured` (what a user wants told instead). `objects` asks the
//!   same for each of many objects, `unanswered` whether what has no number may be there.
//! * What is said beside: `explain`, `seen` (what is there instead of what a query names), `lint`.
//! * `register` adds a signal; `persist` is what a snapshot keeps of all, `remembered` of one.

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
mod registered_late;
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
    ChangeKind, CounterMoves, Facts, Gatherer, Learns, LeftOut, PageFacts, ProcessFacts,
    ProcessGatherer, RememberedLabels, RestoredTarget, WhyLeftOut,
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

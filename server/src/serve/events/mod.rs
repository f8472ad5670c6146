//! `events`: an Event on each HorizontalPodAutoscaler and ScaledObject that reads a signal, when that becomes unknown, is
//! told with a configured number, or has a number again.
//!
//! ```text
//!  API server --list, watch--> scaler (what each reads) --every 2 s--> state (what that says) --> ledger (what is news) --> event
//! ```
//!
//! What was told is compared with what is, so nothing waits in a queue: while the API server is away the news are kept as
//! the difference, and a change that has gone back by then is never told. It is a task beside the APIs; every request has a
//! deadline, and reads are those of an HPA.

mod event;
mod followed;
mod ledger;
mod said;
mod scaler;
mod state;
mod tell;

pub(super) use tell::run;

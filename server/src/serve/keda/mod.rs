//! KEDA's API: what ScaledObjects ask for over gRPC, kept like signals for as long as they ask.
//!
//! `resolve` says what they read, `triggers` keeps them, each an `entry` with its `latch` (`latches` takes them over a restart); `looks` tells them what their sources say, and `poller` looks
//! after every scrape, on a thread of its own; `shares` says how much one address holds, and `state` who ends where there is no room; `scale_from_zero` watches pools at zero; `listener` is the port.
//!
//! A namespace in a request is a claim that anybody can make who reaches the port. So `namespaces` of a signal is
//! enforced only where the peer showed a client certificate that was verified, and then only as far as that peer (KEDA's
//! operator) can be trusted to say for whom it asks. A `query` reads whatever was scraped.
//!
//! Descriptors: one per connection. KEDA multiplexes all its streams over one; 10,000 clients with a connection each
//! need as many, and some 100 beside (`ulimit -n`).

mod calls;
mod cost;
mod entry;
mod latch;
mod latches;
mod listener;
mod looks;
mod poller;
mod resolve;
mod scale_from_zero;
mod shares;
mod state;
mod throttle;
mod triggers;

pub use listener::KedaListener;
pub use triggers::{EVALUATED_AT_ONCE_MAX, Triggers};

pub(super) use poller::start;

//! KEDA's API: what ScaledObjects ask for over gRPC, kept like signals for as long as they ask.
//!
//! | file | what is in it |
//! |---|---|
//! | `listener`, `calls` | the port; calls under way by address, and whose end where there are too many |
//! | `triggers`, `entry`, `state` | what ScaledObjects ask for: who asks for what, one trigger of one object, and who ends where there is no room |
//! | `resolve` | from a trigger to the query or the signal that it reads |
//! | `looks`, `poller` | what sources say, told to their triggers: at a call, and after every scrape on a thread of its own |
//! | `cost`, `throttle` | queries that cost much take turns, and rest |
//! | `latch`, `latches` | a trigger that was active stays so for a while, over a restart as well |
//! | `shares` | how much one address holds |
//! | `scale_from_zero` | pools at zero |
//! | `refusals`, `missing_names` | calls that were refused, for people; what names that are not there may cost |
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
mod missing_names;
mod poller;
mod refusals;
mod resolve;
mod scale_from_zero;
mod shares;
#[cfg(test)]
mod shipped_tests;
mod state;
mod throttle;
mod triggers;

pub use listener::KedaListener;
pub use triggers::{EVALUATED_AT_ONCE_MAX, Triggers};

pub(super) use poller::start;

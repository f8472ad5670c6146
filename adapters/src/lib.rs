//! The APIs of Stillwell: one thin translation per protocol between the engine and a wire format.
//!
//! What an API needs from the process is the [`host::Host`] trait.
//!
//! * Protocols: [`prometheus`] (with [`remote_read`], [`remote_write`] and [`otlp`] beside it), [`kubernetes`], [`keda`], and the
//!   pages [`console`] and [`signals`].
//! * What they have in common: [`form`], [`json`], [`time`], [`reply`], `api_error`, [`objects`], [`notifications`].
//! * Queries: [`pool`] and `turns` (how many run, and compute), `helping`, [`query_cache`]; [`single`] and [`multi`] (how many
//!   numbers a scaler gets).
//! * Bodies: `written` (how many are held and decoded), `fair_room` and [`waiting`] (who gets a place), `client` (whose it is).

#![forbid(unsafe_code)]

mod api_error;
mod client;
pub mod console;
mod fair_room;
pub mod form;
mod helping;
pub mod host;
pub mod json;
pub mod keda;
pub mod kubernetes;
pub mod multi;
pub mod notifications;
pub mod objects;
pub mod otlp;
pub mod pool;
pub mod prometheus;
pub mod query_cache;
pub mod remote_read;
pub mod remote_write;
pub mod reply;
pub mod signals;
pub mod single;
pub mod time;
mod turns;
pub mod waiting;
mod worker_threads;
mod written;

pub use client::ClientAddress;

#[cfg(test)]
mod test_host;

/// What an answer takes is measured.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: stillwell_testing::counting::Counting = stillwell_testing::counting::Counting;

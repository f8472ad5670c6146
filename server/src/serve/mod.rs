//! The running server: scraping on a thread of its own, APIs on others, until a signal ends it.
//!
//! * `run` brings the parts up and takes them down, on `threads`; `app` is what they share, with reloads (`auto_reload`) and
//!   `snapshots`.
//! * Listeners: `bound` (what can fail before anything starts), `listen`, `listen_address`, `descriptors`; `web` (plain),
//!   `secure` (TLS, for API servers) and `keda` (gRPC).
//! * Their connections and bounds: `places`, `request_heads`, `unread_answers`, `write_deadline`, `fair_reads`, `http2`, `host`,
//!   `raw_target`.
//! * What scalers ask for: `signals` (of the configuration), `adhoc_signals` (of `/guarded` and of rules), `rules` and `askers`
//!   (queries that depend on who asks), `object_metrics` and `usage` (numbers of objects), with `objects`, `for_each`,
//!   `sanitized`, `not_there`, `guarded_refusals` and `removed_signals`.
//! * What it tells by itself: `events` (to HPAs), `signal_states` (to the log), `signal_series` (to receivers),
//!   `own_metrics` and `shared_page` (`/metrics`), `pprof`.

mod adhoc_signals;
pub mod app;
mod askers;
pub mod auto_reload;
mod bound;
pub mod descriptors;
mod events;
mod fair_reads;
mod for_each;
mod guarded_refusals;
mod host;
mod http2;
pub mod keda;
mod listen;
mod listen_address;
mod not_there;
mod object_metrics;
mod objects;
mod own_metrics;
mod places;
mod pprof;
mod raw_target;
mod removed_signals;
mod request_heads;
mod rules;
mod run;
mod sanitized;
pub mod secure;
mod shared_page;
mod signal_series;
mod signal_states;
pub mod signals;
pub mod snapshots;
mod threads;
mod unread_answers;
mod usage;
pub mod web;
mod write_deadline;

pub use app::{AlertSettings, App, OtlpReceiver, Settings};
pub use bound::{ApiOptions, KedaOptions};
pub use run::{Running, start};

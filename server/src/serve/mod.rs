//! The running server: scraping on a thread of its own, APIs on others, until a signal ends it.

mod adhoc_signals;
pub mod app;
mod askers;
pub mod auto_reload;
mod bound;
pub mod descriptors;
mod events;
mod for_each;
mod guarded_refusals;
mod host;
mod http2;
pub mod keda;
mod listen;
mod not_there;
mod object_metrics;
mod objects;
mod own_metrics;
mod places;
mod pprof;
mod raw_target;
mod rules;
mod run;
mod sanitized;
pub mod secure;
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

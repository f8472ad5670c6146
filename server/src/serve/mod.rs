//! The running server: scraping on a thread of its own, faces on others, until a signal ends it.

pub mod app;
mod asked;
pub mod keda;
mod listen;
mod objects;
mod own_metrics;
mod raw_target;
mod rules;
mod run;
pub mod secure;
pub mod signals;
pub mod web;

pub use app::{App, Settings};
pub use run::{Faces, KedaOptions, Running, start};

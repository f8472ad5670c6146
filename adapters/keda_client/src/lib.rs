//! Calls KEDA's external scaler over HTTP/2, as KEDA's operator does: for tests, benches and probes.

mod client;
mod transport;

pub use client::Client;
pub use transport::{Transport, connect, over};

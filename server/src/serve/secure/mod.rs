//! The secure listener: the Kubernetes metrics APIs as the API server's aggregation layer calls them, over TLS.
//!
//! Identities come from client certificates (the front proxy's, which speaks for others, and those of the client CA) and
//! from bearer tokens; the API server is asked who holds a token and who may do what. Health is open to everybody.

mod access;
mod announce;
mod attributes;
mod cache;
mod connection;
mod files;
mod identity;
mod listener;
mod options;
#[cfg(feature = "fuzzing")]
pub mod outside;
mod self_made;
mod subject;
mod trust;

pub use cache::Lifetimes;
pub use identity::Headers;
pub use listener::Secure;
pub use options::SecureOptions;

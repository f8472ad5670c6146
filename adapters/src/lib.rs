//! The faces of Stillwell: one thin translation per protocol between the engine and a wire format.
//!
//! What a face needs from the process is the [`host::Host`] trait.

#![forbid(unsafe_code)]

pub mod form;
pub mod host;
pub mod json;
pub mod keda;
pub mod kubernetes;
pub mod parsed;
pub mod pool;
pub mod prometheus;
pub mod remote_write;
pub mod reply;
pub mod signals;
pub mod time;

#[cfg(test)]
mod test_host;

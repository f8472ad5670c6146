//! A fleet of gateways whose targets many processes share: one of them real, the others played.

mod gateways;
mod senders;
mod trial;

pub use gateways::{Fleet, Gateways};
pub use senders::Senders;
pub use trial::{Measured, Trial, run};

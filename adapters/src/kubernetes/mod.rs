//! The external and custom metrics APIs, as the HPA reads them through the API server's aggregation layer.
//!
//! Never a redirect, never `Retry-After`, an answer within a deadline: a worker of the HPA that waits here serves nobody.

mod accept;
mod api;
mod custom;
mod discovery;
mod etag;
mod external;
mod groups;
pub mod hpa;
mod list;
mod openapi;
mod quantity;
mod read;
mod selected;
mod status;
#[cfg(test)]
mod tests;
mod usage;
mod wire;

pub use api::router;
pub use groups::{CUSTOM, EXTERNAL, Groups, RESOURCE};
pub use quantity::{QuantityError, quantity};
pub use status::Status;

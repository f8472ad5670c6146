//! What the benches and side-by-side programs share.

pub mod adapter;
pub mod answers;
pub mod broken;
mod client;
pub mod contender;
pub mod first_page;
pub mod fleet;
pub mod guide;
pub mod keda;
pub mod load;
pub mod remote_write;
pub mod siege;
pub mod soak;
pub mod traffic;
pub mod version_differences;
pub mod write_losses;
pub mod write_proxy;

pub use stillwell_instructions::pages;

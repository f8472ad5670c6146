//! Requests to receivers: remote write 1.0 and 2.0, written straight into the bytes that are packed.
//!
//! The samples of one series stand together, so its labels are written once for all of them. A series with floats and
//! histograms becomes several entries, in the order of the samples: 2.0 allows one kind per entry. What is hot (labels and
//! floats) is written by hand, the rest by the messages that the receiver reads. Budget: 0.3 us for a series with ten labels,
//! 15 ns per float. Bench: `remote_write`.

mod histogram;
mod labels;
mod packed;
mod request;
mod symbols;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use histogram::histogram;
pub use labels::with_external;
pub use packed::{Counts, Packed, Packer};
pub use request::{Described, Outgoing};

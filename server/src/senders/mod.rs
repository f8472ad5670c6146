//! Senders of samples as targets (rule S2b): `senders` of the configuration.
//!
//! ```text
//!  shard --remote write--> Senders: series with the label --newest of each--> a page per sender --scraper--> store, signals
//!                                   \--all others--> store, with timestamps of their own
//! ```
//!
//! Samples that somebody sends have timestamps of their own, of which nobody knows when the next is due: a signal that reads
//! them is unknown. A sender that is configured is a target instead. Its page holds the newest sample of each of its series,
//! and is there while the newest of all is no older than two intervals; a sender that stops fails its scrapes, like a gateway
//! that does not answer, so signals that read it are held, then unknown, and no sum leaves its part out.
//!
//! What a sender says of its own signals is taken at its word: the numbers of a signal that is unknown there are NaN here, so
//! that a sum over senders is unknown too (S5).

mod before;
mod known;
mod memory;
mod registry;
mod sample;
mod sender;
mod unknown;

pub use before::Before;
pub use registry::{Senders, Taken};

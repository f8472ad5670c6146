//! Sending samples on by remote write 1.0 and 2.0 (storage/remote/queue_manager.go; the two specifications).
//!
//! ```text
//!  store --Feed: windows--> Round: relabel, thin out, encode --requests--> Shards: one after another each --POST--> receiver
//!                 ^                                                                   |
//!                 '------------ the cursor moves once all of them are dealt with -----'
//! ```
//!
//! Nothing is copied when samples are committed, and nothing waits for a receiver but the task that sends to it: what is
//! not sent lies in history, where it is until the retention or the memory limit takes it. Once every `batch_send_deadline` a
//! round takes everything that is new. The samples of a series stand together in a request, so that labels are written once
//! for all of them: a longer deadline costs less.
//!
//! A series belongs to one shard, and a shard sends one request at a time until it is taken or refused, so the order of its
//! samples is kept. A round is over when all its requests are; then the cursor is written to `--storage.path`, where a restart
//! goes on. What was under way when the process was killed is sent again: at least once, in order.
//!
//! Held at most for each receiver: [`shards::HELD_BYTES_MAX`] of requests, one being put together per shard, and times of the
//! window. Bench: `remote_write`.

mod counts;
mod cursors;
mod delivery;
mod families;
mod receivers;
mod remote;
mod round;
mod shards;
mod thin;

pub use counts::{Counts, Kinds, Shown};
pub use receivers::RemoteWrites;

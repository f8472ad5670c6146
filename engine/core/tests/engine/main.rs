//! Tests of the engine from outside: formats, storing, feeds, snapshots, memory, `retain: signals`, and the store against a simple model.

mod add_series;
mod append;
mod between_steps;
mod commit_in_steps;
#[path = "../common/commits.rs"]
mod commits;
mod feed;
mod formats;
mod memory_limit;
mod own_timestamps;
mod removal;
mod retain;
mod sample_order;
mod snapshot;
mod snapshot_parts;
mod store_model;

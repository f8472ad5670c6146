//! Tests of the PromQL crate from outside: Prometheus' scripts, properties of random queries, recorded series, hostile text.

mod errors;
mod helpers;
mod hostile;
mod properties;
mod recorded;
mod scripts;

use stillwell_testing::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

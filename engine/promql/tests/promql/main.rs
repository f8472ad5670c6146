//! Tests of the PromQL crate from outside: Prometheus' scripts, properties of random queries, hostile text.

mod helpers;
mod hostile;
mod properties;
mod scripts;

use stillwell_testing::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

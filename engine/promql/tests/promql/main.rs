//! Tests of the PromQL crate from outside: Prometheus' scripts, properties of random queries, hostile text, complexity.

mod hostile;
mod properties;
mod scripts;
mod speed;

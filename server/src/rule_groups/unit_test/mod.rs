//! `stillwell test rules`: unit tests of rule files in promtool's format. Series are given, the rules are evaluated over
//! them step by step, and what fires and what queries yield is compared with what the file expects.

mod alerts;
mod file;
mod queries;
mod run;

pub use run::{TestReport, run};

#[cfg(test)]
mod tests;

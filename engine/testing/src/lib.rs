//! What tests, benches and fuzzers of several crates share. No shipping crate depends on it.
//!
//! * [`differential`]: random data and random valid queries, for asking two engines the same question.
//! * [`cases`]: how many cases a property test tries, and where it keeps those that failed.
//! * [`outside`]: material that a clone does not contain, and what its absence means.
//! * [`name_server`]: DNS by a test's own records.
//! * [`reading`]: bytes of a snapshot as what reads them asks for them.
//! * [`metrics_proto`]: the messages of pages in protobuf.
//! * [`counting`]: an allocator that counts its calls, for tests that nothing is allocated.

pub mod cases;
pub mod counting;
pub mod differential;
pub mod metrics_proto;
pub mod name_server;
pub mod outside;
pub mod reading;

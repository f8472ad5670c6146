//! How many cases a property test tries.

pub(crate) use stillwell_testing::cases::cases;

//! How many cases a property test tries, and where it keeps those that failed.

use std::num::NonZeroU32;

use proptest::test_runner::{Config, FileFailurePersistence};

/// `count` cases, times `STILLWELL_CASES` where that is set. Seeds of those that fail are kept beside the test's file,
/// in whatever folder that is.
pub fn cases(count: u32) -> Config {
    let factor = std::env::var_os("STILLWELL_CASES").map_or(1, |text| {
        let factor = text.to_str().and_then(|text| text.parse().ok());
        factor.map_or_else(
            || panic!("STILLWELL_CASES is {text:?}, which is no whole number from 1 on"),
            NonZeroU32::get,
        )
    });
    let beside = FileFailurePersistence::WithSource("proptest-regressions");
    Config {
        cases: count.saturating_mul(factor),
        failure_persistence: Some(Box::new(beside)),
        ..Config::default()
    }
}

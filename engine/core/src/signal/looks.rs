//! The looks at the scopes of all signals (`rescope`): when the last was, and what waits for the next.

use crate::store::TargetId;

/// When scopes are looked at again after a change that has no effect at once; shorter than any time that is waited for.
pub(super) const RESCOPE_SOON_MS: i64 = 100;

/// What there is to know about the last look, and the next.
#[derive(Default)]
pub(super) struct Looks {
    /// The facts' epoch of the last one.
    pub(super) epoch: u64,
    /// When it was.
    pub(super) at_ms: Option<i64>,
    /// Targets whose pages have come since, and were not seen by signals whose scopes may have to show them.
    pub(super) late: Vec<TargetId>,
    /// How many there were.
    #[cfg(test)]
    pub(super) count: usize,
}

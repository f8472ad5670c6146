//! What looking at one source costs, so that expensive ones take turns.

use std::time::Duration;

use tokio::time::Instant;

/// What looking at one source costs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) last: Duration,
    /// Not before.
    pub(super) due: Option<Instant>,
}

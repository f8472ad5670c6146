//! Selections, which are what queries read: the series of one selector are copied out of the store in batches under the lock, still
//! compressed, and decoded after the lock is released, series by series.
//!
//! A query sees one moment of the store: the end of every clock is recorded when it starts, and nothing later is
//! read.

mod copy;
mod plain_view;
mod snapshot;

use super::visible_ticks::ClockVisibility;
use crate::ids::ClockId;

pub use plain_view::PlainView;
pub(crate) use snapshot::SelectionSnapshot;

/// How a view presents clocks and values.
pub(crate) trait Visibility {
    /// How the series of a clock are presented.
    fn clock_visibility(&self, clock: ClockId) -> ClockVisibility;
    /// Whether negative samples of this metric are read as 0.
    fn clamps_negative(&self, metric: &str) -> bool;
}

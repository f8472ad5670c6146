//! Counts those that wait for a place, so that whoever has one knows that others want it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// One that waits. Dropped when it has its place or gives up: whoever asked may end while it waits.
pub struct Waiting<'w>(&'w AtomicUsize);

impl Waiting<'_> {
    /// Counts one more among `waiting`.
    pub fn begin(waiting: &AtomicUsize) -> Waiting<'_> {
        waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

//! How work that takes several holds shares the writer with others.

use parking_lot::{Mutex, MutexGuard};

use super::Writer;

/// Has the writer once, and lets whoever waits for it be next.
pub(super) fn in_turn<T>(writer: &Mutex<Writer>, work: impl FnOnce(&mut Writer) -> T) -> T {
    let mut held = writer.lock();
    let done = work(&mut held);
    MutexGuard::unlock_fair(held);
    done
}

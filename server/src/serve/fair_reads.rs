//! A connection that always has something to read gives way to the others. A server of HTTP reads on for as long as there is
//! something, and a client may send small frames without end that nobody answers (HTTP/2's priorities, windows, unknown ones):
//! two such connections held both threads that answer autoscalers, for seconds.

use std::task::Context;

/// So much is read in a row: some hundred small frames, 0.1 ms. A scaler's request has less than a kilobyte.
const IN_A_ROW_BYTES_MAX: usize = 8 << 10;

/// Counts what one connection reads in a row.
#[derive(Default)]
pub(super) struct FairReads {
    bytes: usize,
}

impl FairReads {
    /// How much may be read now. `None`: the others come first, and whoever reads is woken after them.
    pub(super) fn allowance(&mut self, context: &Context<'_>) -> Option<usize> {
        let left = IN_A_ROW_BYTES_MAX.saturating_sub(self.bytes);
        if left > 0 {
            return Some(left);
        }
        self.bytes = 0;
        context.waker().wake_by_ref();
        None
    }

    /// So much was read; nothing where there was nothing to read, so that the task waits and the others run.
    pub(super) fn count(&mut self, bytes: usize) {
        self.bytes = if bytes == 0 { 0 } else { self.bytes + bytes };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_reads_without_end_gives_way_and_is_woken_again() {
        let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&wakes));
        let context = Context::from_waker(&waker);
        let mut reads = FairReads::default();
        let (mut read, mut gave_way) = (0, 0);
        while read < 10 * IN_A_ROW_BYTES_MAX {
            match reads.allowance(&context) {
                Some(allowance) => {
                    let bytes = allowance.min(1_000);
                    reads.count(bytes);
                    read += bytes;
                }
                None => gave_way += 1,
            }
        }
        assert_eq!((gave_way, wakes.0.load(Ordering::Relaxed)), (9, 9));
        // Whoever had to wait in between reads in a row no longer.
        for _ in 0..100 {
            reads.count(IN_A_ROW_BYTES_MAX / 2);
            reads.count(0);
            assert!(reads.allowance(&context).is_some());
        }
    }
}

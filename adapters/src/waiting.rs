//! Places that others wait for: how many wait, and how long whoever has one may take.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

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

/// How long something may take.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Where nobody else waits.
    pub alone: Duration,
    /// Where others wait for its place.
    pub beside_others: Duration,
}

impl Allowance {
    /// Waits for `work` as a part of what began then, and looks now and then whether others wait by now. Error: for how long it
    /// might take, which has passed.
    pub async fn wait<T>(
        self,
        began: Instant,
        others_wait: impl Fn() -> bool,
        work: impl Future<Output = T>,
    ) -> Result<T, Duration> {
        let mut work = pin!(work);
        loop {
            let wait = match others_wait() {
                true => self.beside_others.min(self.alone),
                false => self.alone,
            };
            let until = (began + wait).min(Instant::now() + self.beside_others);
            match timeout_at(until, work.as_mut()).await {
                Ok(done) => return Ok(done),
                Err(_) if began.elapsed() >= wait => return Err(wait),
                Err(_) => {} // others may wait by now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_has_a_place_may_take_long_until_others_come() {
        let allowance = Allowance {
            alone: Duration::from_secs(10),
            beside_others: Duration::from_secs(1),
        };
        let began = Instant::now();
        for (others_come_s, ends_s) in [(0, 1), (4, 4), (60, 10)] {
            let began = Instant::now();
            let others_wait = || began.elapsed() >= Duration::from_secs(others_come_s);
            let never = std::future::pending::<()>();
            let waited = allowance.wait(began, others_wait, never).await;
            assert!(waited.is_err(), "{others_come_s}");
            assert_eq!(began.elapsed(), Duration::from_secs(ends_s));
        }
        // What is done is done, however late.
        let late = allowance.wait(began, || true, async { 7 }).await;
        assert_eq!(late, Ok(7));
    }
}

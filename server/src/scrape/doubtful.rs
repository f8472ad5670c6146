//! Scrapes that are not known to lead anywhere take turns: of targets that are new or failed last, and what follows on a failure.
//!
//! All targets share a thread. 5,000 that refuse connections are due at a few moments of their interval, and each takes a tenth of a
//! millisecond to find that out: whoever stood behind them in line missed its scrapes. Here one of them at a time is in that
//! line, so that a target which answers waits for that one.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::sync::{Semaphore, SemaphorePermit};

/// At a time: the thread is one, so that more of them would only stand in line before others.
const PERMITS: usize = 1;

/// Who of them is in line.
pub struct Doubtful(Semaphore);

impl Default for Doubtful {
    fn default() -> Doubtful {
        Doubtful(Semaphore::new(PERMITS))
    }
}

/// A place in that line, until [`over`].
pub(super) type Permit<'a> = Option<SemaphorePermit<'a>>;

impl Doubtful {
    /// Waits for a permit. `None` never comes: nobody closes it.
    pub async fn permit(&self) -> Permit<'_> {
        self.0.acquire().await.ok()
    }
}

/// Begins something with its permit, if it needs one, which ends where it first has to wait. The work is borrowed, because a future
/// that is handed over stands in the caller's and in each of those that it passes through: a target's task had 10 kB for 3.4.
pub(super) async fn begin<F: Future>(permit: Permit<'_>, mut work: Pin<&mut F>) -> F::Output {
    if permit.is_none() {
        return work.await;
    }
    let begun = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
    over(permit).await;
    match begun {
        Poll::Ready(done) => done,
        Poll::Pending => work.await,
    }
}

/// Gives a permit back once others were in line: whoever gave it back at once would keep nobody from being next.
pub(super) async fn over(permit: Permit<'_>) {
    tokio::task::yield_now().await;
    drop(permit);
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// 5,000 targets that refused connections had others miss every fifth scrape.
    #[tokio::test]
    async fn whoever_is_not_doubtful_waits_for_few_of_those_who_are() {
        let (doubtful, done) = (Arc::new(Doubtful::default()), Arc::new(AtomicUsize::new(0)));
        let asked = Arc::new(AtomicUsize::new(0));
        for _ in 0..5_000 {
            let (doubtful, done, asked) = (doubtful.clone(), done.clone(), asked.clone());
            tokio::spawn(async move {
                asked.fetch_add(1, Ordering::Relaxed);
                begin(doubtful.permit().await, pin!(async {})).await;
                let permit = doubtful.permit().await;
                done.fetch_add(1, Ordering::Relaxed);
                over(permit).await;
            });
        }
        while asked.load(Ordering::Relaxed) < 5_000 {
            tokio::task::yield_now().await;
        }
        let before = done.load(Ordering::Relaxed);
        let healthy = tokio::spawn(async {});
        healthy.await.expect("no panic");
        let after = done.load(Ordering::Relaxed);
        assert!(after - before <= 100, "{before} {after}");
        while done.load(Ordering::Relaxed) < 5_000 {
            tokio::task::yield_now().await;
        }
    }
}

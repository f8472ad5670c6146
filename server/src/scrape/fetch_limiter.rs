//! Large pages are read one or two at a time: then their buffers are one or two, still warm from the page before, and
//! by the time a target's turn comes its page lies ready, to be read in a few large pieces.
//!
//! Nobody is made to wait for a target that dawdles: whoever stalls gives its permit back and asks for none in its next
//! scrape, and whoever waited too long goes on without a permit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::buffers::Buffers;
use super::page_memory::{PageMemory, page_share};

/// Pages read at one time. Two, so that one may wait for its server while the other is read.
const PLACES: usize = 2;
/// A smaller page is read at once, and its buffer is nobody's trouble.
const LARGE_BYTES_MIN: u64 = 128 << 10;
/// Longest wait for a place.
const WAIT_MS_MAX: u64 = 50;
/// A page of which nothing came for so long has stalled.
const STALL_MS: u64 = 20;

/// Permits for large pages, and the buffers of pages.
#[derive(Clone)]
pub struct FetchLimiter {
    places: Arc<Semaphore>,
    /// Empty buffers, shared by all targets.
    pub buffers: Arc<Buffers>,
    /// What pages under way hold.
    pub memory: Arc<PageMemory>,
}

impl Default for FetchLimiter {
    fn default() -> FetchLimiter {
        FetchLimiter::new(page_share(u64::MAX))
    }
}

/// Permission to read a large page, until it is dropped.
pub type Permit = OwnedSemaphorePermit;

impl FetchLimiter {
    /// Pages under way may hold so many bytes together.
    pub fn new(page_bytes_max: u64) -> FetchLimiter {
        FetchLimiter {
            places: Arc::new(Semaphore::new(PLACES)),
            buffers: Arc::default(),
            memory: PageMemory::new(page_bytes_max),
        }
    }

    /// A place for a page of about so many bytes, if it needs one and can have one in time.
    pub async fn enter(&self, page_bytes: u64) -> Option<Permit> {
        if page_bytes < LARGE_BYTES_MIN {
            return None;
        }
        let place = Arc::clone(&self.places).acquire_owned();
        let waited = tokio::time::timeout(Duration::from_millis(WAIT_MS_MAX), place).await;
        waited.ok().and_then(Result::ok)
    }

    /// Waits for a part of a page; `None` where it stalled. Give up and go on waiting as you like.
    pub async fn part<T>(read: impl Future<Output = T>) -> Option<T> {
        let waited = tokio::time::timeout(Duration::from_millis(STALL_MS), read).await;
        waited.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn places_are_few_and_nobody_waits_for_long() {
        let limiter = FetchLimiter::default();
        assert!(limiter.enter(LARGE_BYTES_MIN - 1).await.is_none());
        let first = limiter.enter(LARGE_BYTES_MIN).await.expect("free");
        let second = limiter.enter(LARGE_BYTES_MIN).await.expect("free");
        // The clock is paused: it jumps to the end of the wait.
        assert!(limiter.enter(LARGE_BYTES_MIN).await.is_none());
        drop(first);
        assert!(limiter.enter(LARGE_BYTES_MIN).await.is_some());
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_does_not_come_has_stalled() {
        assert_eq!(FetchLimiter::part(std::future::pending::<()>()).await, None);
        assert_eq!(FetchLimiter::part(std::future::ready(1)).await, Some(1));
    }
}

//! Where queries run: threads of their own, so many at a time, each with a deadline.
//!
//! The threads are tokio's blocking pool of the APIs' runtime; scraping has another runtime, so no query delays it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use stillwell_engine::promql::{QueryError, Stop};
use tokio::sync::Semaphore;

use crate::query_cache::QueryCache;

/// Runs queries.
pub struct QueryPool {
    slots: Arc<Semaphore>,
    timeout_ms: u64,
    /// Queries that were read before.
    pub cache: QueryCache,
}

impl QueryPool {
    /// At most `concurrency_max` at a time, each at most `timeout_ms`, waiting included.
    pub fn new(concurrency_max: usize, timeout_ms: u64) -> QueryPool {
        QueryPool {
            slots: Arc::new(Semaphore::new(concurrency_max.max(1))),
            timeout_ms,
            cache: QueryCache::default(),
        }
    }

    /// The deadline of a query that asks for none.
    pub fn timeout_ms(&self) -> u64 {
        self.timeout_ms
    }

    /// Runs `work`, which asks its argument now and then whether to stop. Dropping the future stops the work.
    pub async fn run<T: Send + 'static>(
        &self,
        timeout_ms: u64,
        work: impl FnOnce(&StopFlag) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let timeout_ms = timeout_ms.min(self.timeout_ms);
        let flag = StopFlag::default();
        let _canceled = CancelOnDrop(flag.clone());
        let running = async {
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return Err(QueryError::Canceled(
                    "the server is shutting down".to_owned(),
                ));
            };
            let flag = flag.clone();
            let task = tokio::task::spawn_blocking(move || {
                let _slot = slot; // freed when the work ends, not when its client goes
                work(&flag)
            });
            task.await.unwrap_or_else(|error| {
                Err(QueryError::Internal(format!("the query failed: {error}")))
            })
        };
        match tokio::time::timeout(Duration::from_millis(timeout_ms), running).await {
            Ok(result) => result,
            Err(_) => {
                flag.raise(Stop::Timeout);
                Err(QueryError::Timeout(
                    "query timed out in expression evaluation".to_owned(),
                ))
            }
        }
    }
}

/// Tells a running query to end.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicU8>);

const RUNNING: u8 = 0;
const TIMEOUT: u8 = 1;
const CANCELED: u8 = 2;

impl StopFlag {
    /// Why to stop, if so.
    pub fn get(&self) -> Option<Stop> {
        match self.0.load(Ordering::Relaxed) {
            RUNNING => None,
            TIMEOUT => Some(Stop::Timeout),
            _ => Some(Stop::Canceled),
        }
    }

    fn raise(&self, why: Stop) {
        let code = if why == Stop::Timeout {
            TIMEOUT
        } else {
            CANCELED
        };
        // The first reason stands.
        let _ = self
            .0
            .compare_exchange(RUNNING, code, Ordering::Relaxed, Ordering::Relaxed);
    }
}

struct CancelOnDrop(StopFlag);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.raise(Stop::Canceled);
    }
}

//! What the workers of all targets share.

use std::sync::Arc;

use parking_lot::Mutex;
use stillwell_engine::{Durations, Reader, Writer};
use tokio::sync::{Notify, Semaphore};

use super::doubtful::Doubtful;
use super::fetch_limiter::FetchLimiter;
use super::gzip::Gunzip;
use super::zstd::Unzstd;
use crate::clock::Clock;

/// One inflater for each encoding: making one costs more than inflating a page.
#[derive(Default)]
pub struct Inflaters {
    /// Of gzip.
    pub gunzip: Gunzip,
    /// Of zstd.
    pub unzstd: Unzstd,
}

/// What all workers share.
pub struct Shared {
    /// The one writer. Held for a commit, never across an await.
    pub writer: Mutex<Writer>,
    /// Of the same store.
    pub reader: Reader,
    /// The process' clock.
    pub clock: Arc<Clock>,
    /// Where large pages take turns, and the buffers of pages.
    pub limiter: FetchLimiter,
    /// Inflate the pages that the scraping thread reads itself, so nobody waits for them.
    pub inflaters: Mutex<Inflaters>,
    /// Inflate the pages that are read on a thread of their own, one at a time.
    pub slow_inflaters: Mutex<Inflaters>,
    /// Pages that take long are read one at a time on another thread, so that other targets are scraped meanwhile.
    pub slow_pages: Semaphore,
    /// Scrapes of targets that do not answer take turns.
    pub doubtful: Doubtful,
    /// Told after every scrape.
    pub scraped: Notify,
    /// How long commits took.
    pub commits: Durations,
    /// How long they waited for readers.
    pub commit_waits: Arc<Durations>,
}

impl Shared {
    /// Around an engine's writer. Pages under way may hold `page_bytes_max` bytes together.
    pub fn new(
        mut writer: Writer,
        reader: Reader,
        clock: Arc<Clock>,
        page_bytes_max: u64,
    ) -> Shared {
        let commit_waits = writer.time_waits(crate::clock::monotonic_ns);
        Shared {
            writer: Mutex::new(writer),
            reader,
            clock,
            limiter: FetchLimiter::new(page_bytes_max),
            inflaters: Mutex::default(),
            slow_inflaters: Mutex::default(),
            slow_pages: Semaphore::new(1),
            doubtful: Doubtful::default(),
            scraped: Notify::new(),
            commits: Durations::default(),
            commit_waits,
        }
    }
}

//! Scrapes one target whenever the scheduler says so: fetch, parse, commit; whatever fails, fails this scrape only.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use stillwell_engine::{Format, ScrapeFacts, Stage, Timestamp, Writer};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::buffers::Buffers;
use super::client::Client;
use super::error::ScrapeError;
use super::gzip::Gunzip;
use super::state::TargetState;
use crate::clock::Clock;

/// A scrape that begins this late still counts as begun on its tick, as in Prometheus: even times are small history.
const TICK_TOLERANCE_MS: i64 = 2;

const FAULT: &str =
    "a fault of this program in reading the page, not of the page; the log has the place";

/// What all workers share.
pub struct Shared {
    /// The one writer. Held for a commit, never across an await.
    pub writer: Mutex<Writer>,
    /// The process' clock.
    pub clock: Arc<Clock>,
    /// Page buffers.
    pub buffers: Buffers,
    /// Inflates one page at a time; scraping has one thread, so nobody waits for it.
    pub gunzip: Mutex<Gunzip>,
    /// Told after every scrape.
    pub scraped: Notify,
}

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) state: Arc<TargetState>,
    pub(super) stage: Stage,
    pub(super) client: Client,
}

impl Worker {
    /// Runs until the scheduler lets go of `ticks`, then ends the target's series.
    pub(super) async fn run(mut self, mut ticks: mpsc::Receiver<i64>, stop: Arc<Notify>) {
        loop {
            let scrape = async {
                let due_ms = ticks.recv().await?;
                self.scrape(due_ms).await;
                Some(())
            };
            tokio::select! {
                biased;
                () = stop.notified() => break,
                more = scrape => if more.is_none() { break },
            }
        }
        let now = self.shared.clock.now();
        self.shared.writer.lock().remove_target(self.stage, now);
    }

    async fn scrape(&mut self, due_ms: i64) {
        let shared = Arc::clone(&self.shared);
        let at = aligned(shared.clock.now(), due_ms, self.state.target.interval_ms);
        let began = Instant::now();
        let mut body = shared.buffers.take();
        let fetched = match &self.state.target.refused {
            Some(why) => Err(ScrapeError::Page(why.clone())),
            None => self.fetch(&mut body).await,
        };
        let body_bytes = body.len() as u64;
        let result = fetched.and_then(|format| {
            // A fault of ours in reading one page must not end this target's scraping, let alone the others'.
            let commit = AssertUnwindSafe(|| self.commit(&body, format, at, began));
            catch_unwind(commit).unwrap_or_else(|_| Err(ScrapeError::Page(FAULT.to_owned())))
        });
        shared.buffers.give(body);
        let duration_s = began.elapsed().as_secs_f64();
        let error = result.err().map(|error| error.to_string());
        if let Some(error) = &error {
            let mut writer = shared.writer.lock();
            // A clock that did not move on leaves no room for a second entry; `up` keeps its last one then.
            writer
                .fail(self.stage.target(), at, ScrapeFacts { duration_s }, error)
                .ok();
        }
        self.log(at, duration_s, body_bytes, error);
        shared.scraped.notify_waiters();
    }

    /// Fetches the page, inflated, and says how to read it.
    async fn fetch(&mut self, body: &mut Vec<u8>) -> Result<Format, ScrapeError> {
        let fetched = self.client.fetch(body).await?;
        if fetched.gzipped {
            let mut inflated = self.shared.buffers.take();
            let limit_bytes = self.client.options().body_bytes_max;
            let result = self
                .shared
                .gunzip
                .lock()
                .inflate(body, limit_bytes, &mut inflated);
            std::mem::swap(body, &mut inflated);
            self.shared.buffers.give(inflated);
            result?;
        }
        Format::from_content_type(&fetched.content_type).ok_or_else(|| {
            ScrapeError::Page(format!(
                "content type {:?} is not read; the text format 0.0.4 was asked for",
                fetched.content_type
            ))
        })
    }

    fn commit(
        &mut self,
        body: &[u8],
        format: Format,
        at: Timestamp,
        began: Instant,
    ) -> Result<(), ScrapeError> {
        let staged = self
            .stage
            .parse(body, format)
            .map_err(|error| ScrapeError::Page(error.to_string()))?;
        let facts = ScrapeFacts {
            duration_s: began.elapsed().as_secs_f64(),
        };
        let committed = self
            .shared
            .writer
            .lock()
            .commit(staged, at, facts)
            .map_err(|error| ScrapeError::Page(error.to_string()))?;
        self.state.count_skipped(committed.lines_skipped);
        if committed.duplicates + committed.conflicts + committed.out_of_order > 0 {
            let (target, counts) = (self.state.target.url.to_string(), committed);
            debug!(
                target,
                duplicates = counts.duplicates,
                conflicts = counts.conflicts,
                out_of_order = counts.out_of_order,
                "samples were left out"
            );
        }
        Ok(())
    }

    fn log(&self, at: Timestamp, duration_s: f64, body_bytes: u64, error: Option<String>) {
        let target = &self.state.target;
        let failed = error.clone();
        let news = self.state.end(at, duration_s, body_bytes, error);
        let (job, url) = (target.job.name.as_str(), &target.url);
        match failed {
            Some(error) if news => warn!(job, target = %url, error, "scrape failed"),
            Some(error) => debug!(job, target = %url, error, "scrape failed again"),
            None if news => info!(job, target = %url, "target is up"),
            None => {}
        }
    }
}

fn aligned(now: Timestamp, due_ms: i64, interval_ms: u64) -> Timestamp {
    let tolerance_ms = TICK_TOLERANCE_MS.min(interval_ms as i64 / 10);
    let late_ms = now.ms() - due_ms;
    if (0..=tolerance_ms).contains(&late_ms) {
        Timestamp::from_ms(due_ms)
    } else {
        now
    }
}

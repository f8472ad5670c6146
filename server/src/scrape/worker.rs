//! Scrapes one target whenever the scheduler says so: fetch, parse, commit; whatever fails, fails this scrape only.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use stillwell_engine::{Durations, Format, ScrapeFacts, Stage, Timestamp, Writer};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::client::{Client, Encoding, Page};
use super::cost::Cost;
use super::error::ScrapeError;
use super::fetch_limiter::FetchLimiter;
use super::gzip::Gunzip;
use super::state::TargetState;
use super::zstd::Unzstd;
use crate::clock::Clock;
use crate::http_client::HttpError;

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
    /// Where large pages take turns, and the buffers of pages.
    pub limiter: FetchLimiter,
    /// Inflate one page at a time; scraping has one thread, so nobody waits for them.
    pub gunzip: Mutex<Gunzip>,
    /// The same of zstd.
    pub unzstd: Mutex<Unzstd>,
    /// Told after every scrape.
    pub scraped: Notify,
    /// How long commits took.
    pub commits: Durations,
    /// How long they waited for readers.
    pub commit_waits: Arc<Durations>,
}

impl Shared {
    /// Around an engine's writer.
    pub fn new(mut writer: Writer, clock: Arc<Clock>) -> Shared {
        let commit_waits = writer.time_waits(crate::clock::monotonic_ns);
        Shared {
            writer: Mutex::new(writer),
            clock,
            limiter: FetchLimiter::default(),
            gunzip: Mutex::new(Gunzip::default()),
            unzstd: Mutex::new(Unzstd::default()),
            scraped: Notify::new(),
            commits: Durations::default(),
            commit_waits,
        }
    }
}

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) state: Arc<TargetState>,
    pub(super) stage: Stage,
    pub(super) client: Client,
    pub(super) cost: Cost,
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
        if self.cost.rests(due_ms) {
            return self.state.pass();
        }
        let shared = Arc::clone(&self.shared);
        let at = aligned(shared.clock.now(), due_ms, self.state.target.interval_ms);
        let began = Instant::now();
        let fetched = match &self.state.target.refused {
            Some(why) => Err(ScrapeError::Page(why.clone())),
            None => self.client.fetch(&shared.limiter).await,
        };
        if fetched.is_ok() {
            self.note_cost(began.elapsed().as_secs_f64() * 1000.0);
        }
        let mut body_bytes = 0;
        let mut inflated_bytes = 0;
        let result = fetched.and_then(|mut page| {
            body_bytes = page.body.len() as u64;
            let result = self.take(&mut page, at, began);
            inflated_bytes = page.body.len() as i64;
            shared.limiter.buffers.give(page.body);
            result
        });
        let facts = ScrapeFacts {
            duration_s: began.elapsed().as_secs_f64(),
            body_bytes: match &result {
                Err(ScrapeError::Http(HttpError::TooLarge { .. })) => -1,
                _ => inflated_bytes,
            },
        };
        let duration_s = facts.duration_s;
        let error = result.err().map(|error| error.to_string());
        if let Some(error) = &error {
            let mut writer = shared.writer.lock();
            // A clock that did not move on leaves no room for a second entry; `up` keeps its last one then.
            writer.fail(self.stage.target(), at, facts, error).ok();
        }
        self.log(at, duration_s, body_bytes, error);
        shared.scraped.notify_waiters();
    }

    fn note_cost(&mut self, answer_ms: f64) {
        let interval_ms = self.state.target.interval_ms;
        let now_ms = self.shared.clock.now().ms();
        if let Some(share) = self.cost.answered(answer_ms, now_ms, interval_ms) {
            let (job, url) = (self.state.target.job.name.as_str(), &self.state.target.url);
            warn!(
                job,
                target = %url,
                "scraping takes {:.0}% of this target's time: it needs {:.1} ms to answer, every {interval_ms} ms; raise \
                 scrape_interval in its job, or let it show fewer series",
                share * 100.0,
                self.cost.answer_ms(),
            );
        }
    }

    /// Warns once of a page that costs the gateway much to write, until it is smaller again.
    fn note_size(&mut self, body_bytes: usize) {
        if let Some(megabytes) = self.cost.sized(body_bytes) {
            let (job, url) = (self.state.target.job.name.as_str(), &self.state.target.url);
            warn!(
                job,
                target = %url,
                "the page has {megabytes} MB, which its gateway writes every {} ms; raise scrape_interval in its job, let \
                 it show fewer series, or set body_size_limit to refuse it",
                self.state.target.interval_ms,
            );
        }
    }

    /// Inflates, reads and commits a page.
    fn take(&mut self, page: &mut Page, at: Timestamp, began: Instant) -> Result<(), ScrapeError> {
        // A fault of ours in reading one page must not end this target's scraping, let alone the others'.
        let take = AssertUnwindSafe(|| {
            self.inflate(page.encoding, &mut page.body)?;
            self.note_size(page.body.len());
            let format = format_of(&page.content_type, self.state.target.job.fallback)?;
            self.commit(&page.body, format, at, began)
        });
        catch_unwind(take).unwrap_or_else(|_| Err(ScrapeError::Page(FAULT.to_owned())))
    }

    fn inflate(&self, encoding: Encoding, body: &mut Vec<u8>) -> Result<(), ScrapeError> {
        if encoding == Encoding::Identity {
            return Ok(());
        }
        let mut inflated = self.shared.limiter.buffers.take();
        let limit_bytes = self.client.options().body_bytes_max;
        let result = match encoding {
            Encoding::Zstd => {
                let mut unzstd = self.shared.unzstd.lock();
                unzstd.inflate(body, limit_bytes, &mut inflated)
            }
            _ => {
                let mut gunzip = self.shared.gunzip.lock();
                gunzip.inflate(body, limit_bytes, &mut inflated)
            }
        };
        std::mem::swap(body, &mut inflated);
        self.shared.limiter.buffers.give(inflated);
        result
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
            body_bytes: body.len() as i64,
        };
        let parsed = Instant::now();
        let committed = self.shared.writer.lock().commit(staged, at, facts);
        let took_ns = parsed.elapsed().as_nanos();
        self.shared
            .commits
            .record(u64::try_from(took_ns).unwrap_or(u64::MAX));
        let committed = committed.map_err(|error| ScrapeError::Page(error.to_string()))?;
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

/// The format of a page: the announced one, or the job's for pages whose type is not known. A page without a type is text.
fn format_of(content_type: &str, fallback: Option<Format>) -> Result<Format, ScrapeError> {
    let untyped = content_type.trim().is_empty().then_some(Format::Text);
    Format::from_content_type(content_type)
        .or(fallback)
        .or(untyped)
        .ok_or_else(|| {
            ScrapeError::Page(format!(
                "content type {content_type:?} is not read; where the page is in the text format all the same, set \
                 fallback_scrape_protocol: PrometheusText0.0.4 in its job"
            ))
        })
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

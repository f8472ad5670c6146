//! Scrapes one target whenever the scheduler says so: fetch, parse, commit; whatever fails, fails this scrape only.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use stillwell_adapters::host::Health;
use stillwell_engine::{ScrapeFacts, Stage, TargetId, TargetSpec, Timestamp, Writer};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::client::{Client, Encoding, Page};
use super::cost::Cost;
use super::doubtful;
use super::error::ScrapeError;
use super::page_reader::{FAULT, PageReader, ReadPage, SlowPage};
use super::page_source::PageSource;
use super::quiet::Quiet;
use super::shared::Shared;
use super::state::TargetState;
use super::target::Target;
use crate::http_client::HttpError;

/// A scrape that begins this late still counts as begun on its tick, as in Prometheus: even times are small history.
const TICK_TOLERANCE_MS: i64 = 2;
/// What is new is taken before it is due, but not sooner after the page before than such a part of the interval, and so many
/// times what that page took: whoever sends many series a little at a time has pages written for a tenth of the time at most.
const NEWS_PART: u64 = 10;
const NEWS_REST_TIMES: u32 = 10;
/// The format of pages that a part of this process writes.
const WRITTEN: &str = "text/plain; version=0.0.4";

/// How a worker comes to the stage of its target.
pub(super) enum Begin {
    /// It is a new target, which is not scraped before there is room.
    New(Box<Stage>, Option<watch::Receiver<bool>>),
    /// The worker of before hands it on, and the target goes on as this says, but not before there is room either.
    GoOn(
        oneshot::Receiver<Stage>,
        Box<TargetSpec>,
        Option<watch::Receiver<bool>>,
    ),
}

/// What becomes of the series of a target when its worker ends.
pub(super) enum Ending {
    /// They end.
    Leave,
    /// Whoever waits for the stage goes on with them.
    HandOn(oneshot::Sender<Stage>),
}

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) state: Arc<TargetState>,
    pub(super) target: TargetId,
    /// Not there before it has begun, and elsewhere while a page is read on another thread.
    pub(super) reader: Option<Box<PageReader>>,
    /// The page that is read on another thread. Not lost where the scrape ends early.
    pub(super) slow_page: Option<SlowPage>,
    pub(super) client: Client,
    pub(super) cost: Cost,
    /// For a job that asks quiet gateways less often.
    pub(super) quiet: Option<Quiet>,
}

impl Worker {
    /// Runs until the scheduler lets go of `ticks`, or says by `stop` what becomes of the target's series.
    pub(super) async fn run(
        mut self,
        ticks: mpsc::Receiver<i64>,
        mut stop: oneshot::Receiver<Ending>,
        begin: Begin,
    ) {
        let room = match begin {
            Begin::New(stage, room) => {
                self.read_with(*stage);
                room
            }
            Begin::GoOn(stage, spec, room) => {
                self.go_on(stage, *spec).await;
                room
            }
        };
        let ending = match until_room(room, &mut stop).await {
            Some(ending) => ending,
            None => self.scrape_until(ticks, stop).await,
        };
        self.end(ending).await;
    }

    fn read_with(&mut self, stage: Stage) {
        let (shared, state) = (Arc::clone(&self.shared), Arc::clone(&self.state));
        let body_bytes_max = self.client.options().body_bytes_max;
        self.reader = Some(PageReader::new(shared, state, stage, body_bytes_max));
    }

    /// Goes on with the target of another worker. Nobody sees a time without its series.
    async fn go_on(&mut self, stage: oneshot::Receiver<Stage>, mut spec: TargetSpec) {
        // It comes when that worker has read the page it is at. Where a fault has lost it, each scrape says so.
        if let Ok(mut stage) = stage.await {
            stage.forget_page();
            let mut writer = self.shared.writer.lock();
            spec.not_ready = self.state.is_not_ready();
            let stage = writer.configure_target(stage, spec);
            drop(writer);
            self.read_with(stage);
        }
    }

    async fn scrape_until(
        &mut self,
        mut ticks: mpsc::Receiver<i64>,
        mut stop: oneshot::Receiver<Ending>,
    ) -> Ending {
        let (mut news_from, mut news_ms) = (Instant::now(), i64::MIN);
        loop {
            let scrape = async {
                let due_ms = tokio::select! {
                    biased;
                    due_ms = ticks.recv() => match due_ms? {
                        due_ms if due_ms <= news_ms => return Some(()), // it has been taken since
                        due_ms => due_ms,
                    },
                    () = self.news(news_from) => {
                        news_ms = self.shared.clock.now().ms();
                        news_ms
                    }
                };
                let (began, interval_ms) = (Instant::now(), self.state.target.interval_ms);
                // A fault of ours in one scrape must not end its target's, nor lose what its series hang on.
                let scrape = AssertUnwindSafe(self.scrape(due_ms)).catch_unwind();
                if scrape.await.is_err() {
                    self.fault();
                }
                let rest = began.elapsed() * NEWS_REST_TIMES;
                news_from = began + rest.max(Duration::from_millis(interval_ms / NEWS_PART));
                Some(())
            };
            tokio::select! {
                biased;
                ending = &mut stop => return ending.unwrap_or(Ending::Leave),
                more = scrape => if more.is_none() { return Ending::Leave },
            }
        }
    }

    /// Ends the target's series, or hands them on.
    async fn end(mut self, ending: Ending) {
        if let Some(slow_page) = self.slow_page.take() {
            self.reader = slow_page.await.ok().map(|read| read.reader);
        }
        let Some(reader) = self.reader else { return };
        let stage = match ending {
            Ending::Leave => reader.into_stage(),
            Ending::HandOn(next) => match next.send(reader.into_stage()) {
                Ok(()) => return,
                Err(stage) => stage, // whoever would go on has gone
            },
        };
        let (shared, now) = (Arc::clone(&self.shared), self.shared.clock.now());
        // Other targets are scraped meanwhile. It ends by itself where this process does.
        let remove = move || Writer::remove_in_steps(&shared.writer, stage, now);
        tokio::task::spawn_blocking(remove).await.ok();
    }

    /// Ends when the part of this process that writes the target's pages has something new, and not before `from`.
    async fn news(&self, from: Instant) {
        match &self.state.target.source {
            Some(source) => source.news().await,
            None => std::future::pending().await,
        }
        tokio::time::sleep_until(from).await;
    }

    async fn scrape(&mut self, due_ms: i64) {
        if let Some(rest) = self.cost.rest(due_ms) {
            return self.state.pass(rest);
        }
        let shared = Arc::clone(&self.shared);
        let permit = match self.state.health() {
            Health::Up => None,
            Health::Unknown | Health::Down => shared.doubtful.permit().await,
        };
        let at = aligned(shared.clock.now(), due_ms, self.state.target.interval_ms);
        let began = Instant::now();
        let fetched = match &self.state.target.refused {
            Some(why) => {
                drop(permit); // it takes one to fail, and nobody may hold one who waits for one
                Err(ScrapeError::NotAsked(why.clone()))
            }
            None => doubtful::begin(permit, pin!(self.fetch())).await,
        };
        if fetched.is_ok() {
            self.note_cost(began.elapsed().as_secs_f64() * 1000.0);
        }
        let mut body_bytes = 0;
        let mut inflated_bytes = 0;
        let result = match fetched {
            Ok(page) => {
                body_bytes = page.body.len() as u64;
                let read = self.read(page, at, began).await;
                read.map(|bytes| {
                    inflated_bytes = bytes;
                    self.client.set_known(2 * body_bytes.max(bytes as u64));
                    self.note_size(bytes);
                })
            }
            Err(error) => Err(error),
        };
        let facts = ScrapeFacts {
            duration_s: began.elapsed().as_secs_f64(),
            body_bytes: match &result {
                Err(ScrapeError::Http(HttpError::TooLarge { .. })) => -1,
                _ => inflated_bytes as i64,
            },
            // A page that is written here says nothing of the processes that it is of.
            answered: self.state.target.source.is_none()
                && result.as_ref().err().is_none_or(ScrapeError::is_answer),
        };
        let duration_s = facts.duration_s;
        let error = result.err().map(|error| error.text());
        if let Some(error) = &error {
            let permit = shared.doubtful.permit().await;
            self.store_failure(at, facts, error);
            doubtful::over(permit).await;
        }
        if error.is_none() {
            self.stretch(due_ms);
            self.state.target.source.iter().for_each(PageSource::stored);
        }
        self.log(at, duration_s, body_bytes, error);
        shared.scraped.notify_waiters();
    }

    /// A scrape that did not come to its end has failed.
    fn fault(&self) {
        let at = self.shared.clock.now();
        let facts = ScrapeFacts {
            duration_s: 0.0,
            body_bytes: 0,
            answered: self.state.target.source.is_none(),
        };
        self.store_failure(at, facts, FAULT);
        self.log(at, 0.0, 0, Some(FAULT.to_owned()));
        self.shared.scraped.notify_waiters();
    }

    fn store_failure(&self, at: Timestamp, facts: ScrapeFacts, error: &str) {
        let mut writer = self.shared.writer.lock();
        // A clock that did not move on leaves no room for a second entry; `up` keeps its last one then.
        writer.fail(self.target, at, facts, error).ok();
    }

    async fn fetch(&mut self) -> Result<Page, ScrapeError> {
        let Target {
            source, timeout_ms, ..
        } = &self.state.target;
        let Some(source) = source else {
            return self.client.fetch(&self.shared.limiter).await;
        };
        let during = "waiting for the page to be written";
        match tokio::time::timeout(Duration::from_millis(*timeout_ms), source.page()).await {
            Ok(Ok(written)) => Ok(Page {
                body: written.body,
                not_known: written.not_known,
                content_type: WRITTEN.to_owned(),
                encoding: Encoding::Identity,
                place: None,
                lease: self.shared.limiter.memory.lease(0),
            }),
            Ok(Err(why)) => Err(ScrapeError::NotAsked(why)),
            Err(_) => Err(ScrapeError::Timeout {
                timeout_ms: *timeout_ms,
                during,
            }),
        }
    }

    /// Lets a quiet gateway rest. Whatever fails afterwards is tried again at the job's interval.
    fn stretch(&mut self, due_ms: i64) {
        let interval_ms_max = self.state.target.job.pace.interval_ms_max;
        if let (Some(quiet), Some(interval_ms)) = (&mut self.quiet, interval_ms_max)
            && quiet.look(&self.shared.reader, self.shared.clock.now())
        {
            self.cost.rest_for(due_ms, interval_ms);
        }
    }

    fn note_cost(&mut self, answer_ms: f64) {
        let interval_ms = self.state.target.interval_ms;
        let now_ms = self.shared.clock.now().ms();
        let share_max = self.state.target.job.pace.share_max;
        let share = self
            .cost
            .answered(answer_ms, now_ms, interval_ms, share_max);
        if let Some(share) = share {
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

    /// Reads and commits a page: here if that is quick, on another thread if it may take long.
    async fn read(
        &mut self,
        page: Page,
        at: Timestamp,
        began: Instant,
    ) -> Result<usize, ScrapeError> {
        let slow = self
            .reader
            .as_mut()
            .is_some_and(|reader| reader.may_take_long(&page));
        // Waiting may end early, so nothing is taken before.
        let turn = match slow {
            true => self.shared.slow_pages.acquire().await.ok(), // it is never closed
            false => None,
        };
        let Some(reader) = self.reader.take() else {
            return Err(ScrapeError::Page(FAULT.to_owned())); // its thread ended without giving it back
        };
        let read = match slow {
            false => reader.read(page, at, began),
            true => {
                let reading = move || reader.read(page, at, began);
                let slow_page = self.slow_page.insert(tokio::task::spawn_blocking(reading));
                let read = slow_page.await;
                self.slow_page = None;
                drop(turn);
                read.map_err(|_| ScrapeError::Page(FAULT.to_owned()))?
            }
        };
        let ReadPage { reader, result } = read;
        self.reader = Some(reader);
        result
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

/// Waits for room. Answers what becomes of the target where it is stopped before.
async fn until_room(
    room: Option<watch::Receiver<bool>>,
    stop: &mut oneshot::Receiver<Ending>,
) -> Option<Ending> {
    let waiting = async {
        if let Some(mut room) = room {
            room.wait_for(|is_there| *is_there).await.ok(); // nobody tells any more: it is there
        }
    };
    tokio::select! {
        biased;
        ending = stop => Some(ending.unwrap_or(Ending::Leave)),
        () = waiting => None,
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

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;

//! Reads the pages of one target: inflates, parses and commits them.
//!
//! A page like the one before is read in a microsecond per kilobyte or less, on the scraping thread. A first page, a page that
//! inflates to many megabytes or one that changes as a whole takes a second per million lines: such pages are read on a
//! thread of their own, one at a time, and their series are added in batches, so that other targets are scraped
//! meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use stillwell_engine::{Format, NotKnown, ScrapeFacts, Stage, Timestamp};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::debug;

use super::client::{Encoding, Page};
use super::error::ScrapeError;
use super::media_type::format_of;
use super::shared::Shared;
use super::state::TargetState;
use crate::http_client::HttpError;

/// A larger page is always read on a thread of its own: if every line of it changed, that would take 100 ms.
const LARGE_BYTES: usize = 4 << 20;
/// So is a first page of this size: every line of it is new (25 ms per megabyte, and as much for its series).
const LARGE_FIRST_BYTES: usize = 128 << 10;
/// So is a compressed page of this size: nobody knows what it inflates to (at most 200 times its size).
const LARGE_COMPRESSED_BYTES: usize = 64 << 10;
/// So is one that is as large as that, after one that took this long. Time in which others had the writer does not count: a page
/// that waited for a large one would wait behind the next large one, on their thread, for longer still.
const LONG: Duration = Duration::from_millis(5);
/// As long as one counts that was not read here because it inflates to so much.
const SUDDENLY_LARGE: Duration = Duration::from_secs(1);

/// Said of a page whose reading panicked.
pub(super) const FAULT: &str =
    "a fault of this program in reading the page, not of the page; the log has the place";

/// A page that is being read on another thread.
pub(super) type SlowPage = JoinHandle<ReadPage>;

/// A page that was read, and its reader for the next one.
pub(super) struct ReadPage {
    pub(super) reader: Box<PageReader>,
    /// The bytes of the inflated page.
    pub(super) result: Result<usize, ScrapeError>,
}

/// What reads the pages of one target, one after the other.
pub(super) struct PageReader {
    shared: Arc<Shared>,
    state: Arc<TargetState>,
    stage: Stage,
    body_bytes_max: u64,
    /// How long the last page took, without waiting for others, or half of that of the page before it; `None` before the first.
    last_took: Option<Duration>,
    /// Bytes of the last page that was inflated.
    inflated_bytes: usize,
    /// The same of this page, once it was parsed.
    worked: Option<Duration>,
    is_slow: bool,
}

impl PageReader {
    pub(super) fn new(
        shared: Arc<Shared>,
        state: Arc<TargetState>,
        stage: Stage,
        body_bytes_max: u64,
    ) -> Box<PageReader> {
        Box::new(PageReader {
            shared,
            state,
            stage,
            body_bytes_max,
            last_took: None,
            inflated_bytes: 0,
            worked: None,
            is_slow: false,
        })
    }

    pub(super) fn into_stage(self) -> Stage {
        self.stage
    }

    /// Whether this page must not be read on the scraping thread.
    pub(super) fn may_take_long(&mut self, page: &Page) -> bool {
        self.is_slow = may_take_long(page.encoding, page.body.len(), self.last_took);
        self.is_slow
    }

    /// Inflates, parses and commits a page.
    pub(super) fn read(
        mut self: Box<Self>,
        mut page: Page,
        at: Timestamp,
        began: Instant,
    ) -> ReadPage {
        let started = Instant::now();
        self.worked = None;
        // A fault of ours in reading one page must not end this target's scraping, let alone the others'.
        let reading = AssertUnwindSafe(|| self.read_page(&mut page, at, began));
        let result =
            catch_unwind(reading).unwrap_or_else(|_| Err(ScrapeError::Page(FAULT.to_owned())));
        self.shared.limiter.buffers.give(page.body);
        drop(page.lease);
        let took = self.worked.unwrap_or_else(|| started.elapsed());
        // One that takes long every now and then counts as long for some more.
        self.last_took = Some(took.max(self.last_took.unwrap_or_default() / 2));
        ReadPage {
            reader: self,
            result,
        }
    }

    fn read_page(
        &mut self,
        page: &mut Page,
        at: Timestamp,
        began: Instant,
    ) -> Result<usize, ScrapeError> {
        let started = Instant::now();
        self.inflate(page)?;
        let format = format_of(&page.content_type, self.state.target.job.fallback)?;
        let not_known = std::mem::take(&mut page.not_known);
        self.commit((&page.body, format, not_known), at, (began, started))?;
        Ok(page.body.len())
    }

    fn inflate(&mut self, page: &mut Page) -> Result<(), ScrapeError> {
        let (encoding, body, lease) = (page.encoding, &mut page.body, &mut page.lease);
        if encoding == Encoding::Identity {
            return Ok(());
        }
        // As the last one. What it is more than that counts when it is there: pages are inflated one at a time, and one beside it
        // that is small.
        lease.cover((body.capacity() + self.inflated_bytes) as u64)?;
        let mut inflated = self.shared.limiter.buffers.take(self.inflated_bytes);
        let here_max = LARGE_BYTES.max(2 * self.inflated_bytes) as u64;
        let limit_bytes = match self.is_slow {
            true => self.body_bytes_max,
            false => here_max.min(self.body_bytes_max),
        };
        let mut inflaters = match self.is_slow {
            true => self.shared.slow_inflaters.lock(),
            false => self.shared.inflaters.lock(),
        };
        let result = match encoding {
            Encoding::Zstd => inflaters.unzstd.inflate(body, limit_bytes, &mut inflated),
            _ => inflaters.gunzip.inflate(body, limit_bytes, &mut inflated),
        };
        drop(inflaters);
        lease.hold((body.capacity() + inflated.capacity()) as u64);
        std::mem::swap(body, &mut inflated);
        self.shared.limiter.buffers.give(inflated);
        lease.hold(body.capacity() as u64);
        self.inflated_bytes = body.len();
        match result {
            Err(ScrapeError::Http(HttpError::TooLarge { .. }))
                if limit_bytes < self.body_bytes_max =>
            {
                self.worked = Some(SUDDENLY_LARGE);
                Err(ScrapeError::Page(format!(
                    "it inflates to more than {} MB, and the one before did not: such pages are read aside from the next on",
                    limit_bytes >> 20
                )))
            }
            result => result,
        }
    }

    fn commit(
        &mut self,
        (body, format, not_known): (&[u8], Format, NotKnown),
        at: Timestamp,
        (began, started): (Instant, Instant),
    ) -> Result<(), ScrapeError> {
        let refused = |error: &dyn ToString| ScrapeError::Page(error.to_string());
        let mut staged = self
            .stage
            .parse(body, format)
            .map_err(|error| refused(&error))?;
        staged.set_not_known(not_known);
        let facts = ScrapeFacts {
            duration_s: began.elapsed().as_secs_f64(),
            body_bytes: body.len() as i64,
            answered: true,
        };
        let parsed = Instant::now();
        let reading = parsed.duration_since(started);
        let (committed, committing) = match self.is_slow {
            // Others come in between: about as long as reading.
            true => {
                let committed = staged.commit_in_steps(&self.shared.writer, at, facts);
                (committed, reading)
            }
            false => {
                staged.make_room(&self.shared.writer);
                let mut writer = self.shared.writer.lock();
                let locked = Instant::now();
                let committed = writer.commit(staged, at, facts);
                (committed, locked.elapsed())
            }
        };
        self.worked = Some(reading + committing);
        let took_ns = parsed.elapsed().as_nanos();
        self.shared
            .commits
            .record(u64::try_from(took_ns).unwrap_or(u64::MAX));
        let committed = committed.map_err(|error| refused(&error))?;
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
}

/// Whether a page of so many bytes, as they were sent, must not be read on the scraping thread, after one that took so long.
fn may_take_long(encoding: Encoding, bytes: usize, last_took: Option<Duration>) -> bool {
    let is_compressed = encoding != Encoding::Identity;
    bytes > LARGE_BYTES
        || (is_compressed && bytes > LARGE_COMPRESSED_BYTES)
        || match last_took {
            None => bytes > LARGE_FIRST_BYTES || is_compressed,
            Some(took) => took > LONG && (bytes > LARGE_FIRST_BYTES || is_compressed),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of 200 lines that had waited for one of 150,000 was read behind the next of those, and seven scrapes were lost.
    #[test]
    fn a_small_page_is_read_at_once_however_long_the_last_one_took() {
        let [quick, long] = [1, 50].map(|ms| Some(Duration::from_millis(ms)));
        let (plain, gzip) = (Encoding::Identity, Encoding::Gzip);
        for (encoding, bytes, last_took, takes_long) in [
            (plain, 10_000, None, false),
            (plain, 10_000, long, false),
            (plain, 200_000, None, true),
            (plain, 200_000, quick, false),
            (plain, 200_000, long, true),
            (plain, 5_000_000, quick, true),
            (gzip, 10_000, None, true),
            (gzip, 10_000, quick, false),
            (gzip, 10_000, long, true),
            (gzip, 100_000, quick, true),
        ] {
            let told = may_take_long(encoding, bytes, last_took);
            assert_eq!(told, takes_long, "{encoding:?} {bytes} {last_took:?}");
        }
    }
}

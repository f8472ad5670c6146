//! What a commit is told about a scrape, and what it returns.

use std::fmt;

use crate::exposition::PageError;

/// Facts about a scrape beside its page.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScrapeFacts {
    /// Duration of the scrape in seconds.
    pub duration_s: f64,
    /// Bytes of the page, inflated; -1 for one that is too large.
    pub body_bytes: i64,
    /// Of a scrape that failed: the target answered, if only with an error, so that its process was there.
    pub answered: bool,
}

/// The result of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Sample lines on the page.
    pub samples_scraped: u64,
    /// Samples of these that relabelling and `retain` kept.
    pub samples_post_relabel: u64,
    /// Lines skipped because no signal needs them.
    pub lines_skipped: u64,
    /// New lines that were stored as series.
    pub series_added: u64,
    /// Lines whose series belongs to another line of the page: the first line wins.
    pub duplicates: u64,
    /// Lines whose series belongs to another live target: that target wins.
    pub conflicts: u64,
    /// Samples whose explicit timestamp is older than the newest sample of the series.
    pub out_of_order: u64,
}

/// Why a well-formed page is refused. Nothing of it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// More samples than `sample_limit`.
    SampleLimit {
        /// Samples after relabelling.
        samples: u64,
        /// The limit.
        limit: u64,
    },
    /// Its new series do not fit `memory_bytes_max`.
    Memory {
        /// Series on the page that are not held yet.
        new_series: usize,
        /// Bytes held.
        held_bytes: usize,
        /// The limit.
        limit_bytes: u64,
    },
    /// It is malformed: found when it had to be parsed again as if it were the first page.
    Page(PageError),
    /// Its time is not later than the target's last scrape.
    NotAscending {
        /// The time of this scrape.
        at_ms: i64,
        /// The time of the last one.
        last_ms: i64,
    },
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommitError::SampleLimit { samples, limit } => write!(
                f,
                "sample_limit exceeded: {samples} samples after relabelling, the limit is {limit}"
            ),
            CommitError::Memory {
                new_series,
                held_bytes,
                limit_bytes,
            } => write!(
                f,
                "memory limit reached: {new_series} new series do not fit, {held_bytes} of {limit_bytes} bytes are \
                 held; raise --storage.memory.max or drop series by metric_relabel_configs"
            ),
            CommitError::Page(error) => error.fmt(f),
            CommitError::NotAscending { at_ms, last_ms } => {
                write!(
                    f,
                    "a scrape at {at_ms} ms cannot follow one at {last_ms} ms"
                )
            }
        }
    }
}

impl std::error::Error for CommitError {}

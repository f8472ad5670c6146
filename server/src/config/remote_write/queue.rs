//! `queue_config`: how many requests are sent at a time, how large, and when again.

use crate::config::global::nonzero_ms;
use crate::config::schema::{Key, read};
use crate::yaml::{Entry, Report};

/// `queue_config`, with Prometheus' defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Samples that wait for one shard.
    pub capacity: u64,
    /// Requests at a time, at most ...
    pub shards_max: u64,
    /// ... and at least.
    pub shards_min: u64,
    /// Samples of one request.
    pub samples_per_send_max: u64,
    /// How long a sample waits before it is sent.
    pub deadline_ms: u64,
    /// The wait after a first failure ...
    pub backoff_min_ms: u64,
    /// ... and what it doubles up to.
    pub backoff_max_ms: u64,
    /// Whether a request is sent again that was one too many.
    pub retry_on_429: bool,
    /// Samples that are older are dropped, where it is given.
    pub age_limit_ms: Option<u64>,
}

impl Default for QueueConfig {
    fn default() -> QueueConfig {
        QueueConfig {
            capacity: 10_000,
            shards_max: 50,
            shards_min: 1,
            samples_per_send_max: 2_000,
            deadline_ms: 5_000,
            backoff_min_ms: 30,
            backoff_max_ms: 5_000,
            // Prometheus drops such samples unless it is told otherwise, because they would fill its queues. Here they stay
            // in history.
            retry_on_429: true,
            age_limit_ms: None,
        }
    }
}

pub(super) static QUEUE: &[Key<QueueConfig>] = &[
    read("capacity", |entry, queue, report| {
        queue.capacity = report.number(entry).unwrap_or(queue.capacity);
    }),
    read("max_shards", |entry, queue, report| {
        queue.shards_max = report.number(entry).unwrap_or(queue.shards_max);
    }),
    read("min_shards", |entry, queue, report| {
        queue.shards_min = report.number(entry).unwrap_or(queue.shards_min);
    }),
    read("max_samples_per_send", |entry, queue, report| {
        let count = report.number(entry);
        queue.samples_per_send_max = count.unwrap_or(queue.samples_per_send_max);
    }),
    read("batch_send_deadline", |entry, queue, report| {
        queue.deadline_ms = nonzero_ms(entry, report).unwrap_or(queue.deadline_ms);
    }),
    read("min_backoff", |entry, queue, report| {
        queue.backoff_min_ms = nonzero_ms(entry, report).unwrap_or(queue.backoff_min_ms);
    }),
    read("max_backoff", |entry, queue, report| {
        queue.backoff_max_ms = nonzero_ms(entry, report).unwrap_or(queue.backoff_max_ms);
    }),
    read("retry_on_http_429", |entry, queue, report| {
        queue.retry_on_429 = report.flag(entry).unwrap_or(queue.retry_on_429);
    }),
    read("sample_age_limit", |entry, queue, report| {
        queue.age_limit_ms = nonzero_ms(entry, report);
    }),
];

pub(super) fn check(queue: &QueueConfig, entry: &Entry, report: &mut Report) {
    let QueueConfig {
        shards_min,
        shards_max,
        ..
    } = queue;
    let problem = match queue {
        QueueConfig { shards_max: 0, .. } => "max_shards must be 1 or more".to_owned(),
        QueueConfig { shards_min: 0, .. } => "min_shards must be 1 or more".to_owned(),
        QueueConfig {
            samples_per_send_max: 0,
            ..
        } => "max_samples_per_send must be 1 or more".to_owned(),
        _ if shards_min > shards_max => {
            format!("min_shards {shards_min} is more than max_shards {shards_max}")
        }
        _ => return,
    };
    report.error(entry.line, format!("queue_config: {problem}"));
}

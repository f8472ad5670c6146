//! `senders`: whoever sends samples by remote write or OTLP and is a target because of it (rule S2b).

use std::sync::Arc;

use super::global::{Global, nonzero_ms};
use super::monitors::job_from_json;
use super::schema::{Key, decode, read};
use super::scrape::{INTERVAL_MS_MIN, ScrapeJob};
use crate::yaml::{Line, Node, Report};

/// A sender that nobody names is waited for this long.
const FORGET_AFTER_MS_DEFAULT: u64 = 3_600_000;
/// A query of Prometheus looks back so far.
const FORGET_SERIES_AFTER_MS_DEFAULT: u64 = 300_000;

/// Senders that are told apart by one label.
#[derive(Clone, Debug, PartialEq)]
pub struct SendersConfig {
    /// The options of their pages; its name is the label `job` of their series about scrapes.
    pub job: Arc<ScrapeJob>,
    /// The label whose value is a sender's name.
    pub label: String,
    /// How often each sends.
    pub interval_ms: u64,
    /// Senders that there are, whether they have sent anything or not.
    pub known: Vec<String>,
    /// After so long without a sample a sender that is not among `known` is none any more.
    pub forget_after_ms: u64,
    /// After so long without a sample, and without a stale marker, a series counts as ended where its sender sends others.
    pub forget_series_after_ms: u64,
    /// Where it stands.
    pub line: Line,
}

impl SendersConfig {
    /// Whether what is known of the senders of one is so of the other.
    pub fn has_senders_of(&self, other: &SendersConfig) -> bool {
        let of = |one: &SendersConfig| (one.job.name.clone(), one.label.clone(), one.interval_ms);
        of(self) == of(other)
    }
}

#[derive(Default)]
struct Draft {
    job: String,
    label: String,
    interval_ms: Option<u64>,
    known: Vec<String>,
    forget_after_ms: Option<u64>,
    forget_series_after_ms: Option<u64>,
}

static SENDERS: &[Key<Draft>] = &[
    read("job_name", |entry, draft, report| {
        draft.job = report.string(entry)
    }),
    read("label", |entry, draft, report| {
        draft.label = report.string(entry)
    }),
    read("interval", |entry, draft, report| {
        draft.interval_ms = nonzero_ms(entry, report);
    }),
    read("known", |entry, draft, report| {
        draft.known = report.texts(entry)
    }),
    read("forget_after", |entry, draft, report| {
        draft.forget_after_ms = nonzero_ms(entry, report);
    }),
    read("forget_series_after", |entry, draft, report| {
        draft.forget_series_after_ms = nonzero_ms(entry, report);
    }),
];

/// Reads one entry; `None` where it is wrong.
pub(super) fn senders(node: &Node, global: &Global, report: &mut Report) -> Option<SendersConfig> {
    let mut draft = Draft::default();
    decode(node, "senders", &[&SENDERS], &mut draft, report);
    for (key, value) in [("job_name", &draft.job), ("label", &draft.label)] {
        if value.is_empty() {
            report.error(node.line, format!("senders need a {key}"));
            return None;
        }
    }
    let interval_ms = draft.interval_ms.unwrap_or(global.interval_ms);
    if interval_ms < INTERVAL_MS_MIN {
        let problem = format!("senders: interval is at least {INTERVAL_MS_MIN}ms");
        report.error(node.line, problem);
        return None;
    }
    let default_ms = FORGET_SERIES_AFTER_MS_DEFAULT.max(2 * interval_ms);
    let forget_series_after_ms = draft.forget_series_after_ms.unwrap_or(default_ms);
    if forget_series_after_ms < 2 * interval_ms {
        let problem = "senders: forget_series_after is at least twice the interval, which a series may be silent for";
        report.error(node.line, problem.to_owned());
        return None;
    }
    let keys = serde_json::json!({
        "job_name": draft.job, "honor_labels": true, "scrape_interval": format!("{interval_ms}ms"),
        "static_configs": [],
    });
    match job_from_json(&keys.to_string(), global) {
        Ok(job) => Some(SendersConfig {
            job: Arc::new(job),
            label: draft.label,
            interval_ms,
            known: draft.known,
            forget_after_ms: draft.forget_after_ms.unwrap_or(FORGET_AFTER_MS_DEFAULT),
            forget_series_after_ms,
            line: Line(node.line),
        }),
        Err(why) => {
            report.error(node.line, format!("senders: {why}"));
            None
        }
    }
}

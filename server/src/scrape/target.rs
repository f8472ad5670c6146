//! One target, and what is asked of it.

use std::sync::Arc;

use stillwell_engine::TargetSpec;
use stillwell_engine::labels::Labels;

use super::client::FetchOptions;
use super::discovered::Discovered;
use super::page_source::PageSource;
use crate::config::ScrapeJob;
use crate::http_client::Url;

/// Below this interval compression costs both sides more than it saves: gzip adds a fifth to two thirds to what a page
/// costs a gateway.
const COMPRESSED_INTERVAL_MS_MIN: u64 = 1_000;

/// One target, ready to be scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The options of its job, without what only finds targets: a reload that adds one leaves the others alone.
    pub job: Arc<ScrapeJob>,
    /// Before relabelling.
    pub discovered: Discovered,
    /// After it.
    pub labels: Labels,
    /// Where it is.
    pub url: Url,
    /// Between two scrapes.
    pub interval_ms: u64,
    /// For one scrape.
    pub timeout_ms: u64,
    /// Why it must not be scraped, though it is a target.
    pub refused: Option<String>,
    /// What writes its pages, where they are not fetched.
    pub source: Option<PageSource>,
}

impl Target {
    /// Whether both are the same but for what discovery says of it beside its labels: annotations and the state of a pod
    /// change while it is scraped, and its history goes on.
    pub fn is_scraped_as(&self, other: &Target) -> bool {
        let Target {
            job,
            discovered: _,
            labels,
            url,
            interval_ms,
            timeout_ms,
            refused,
            source,
        } = other;
        self.labels == *labels
            && self.url == *url
            && (self.interval_ms, self.timeout_ms) == (*interval_ms, *timeout_ms)
            && (&self.refused, &self.source) == (refused, source)
            && self.job == *job
    }

    /// What to fetch.
    pub fn fetch_options(&self) -> FetchOptions {
        let by_interval = self.interval_ms >= COMPRESSED_INTERVAL_MS_MIN;
        FetchOptions {
            url: self.url.clone(),
            timeout_ms: self.timeout_ms,
            body_bytes_max: self.job.limits.body_bytes_max,
            follow_redirects: self.job.http.follow_redirects,
            ask_compressed: self.job.compression.unwrap_or(by_interval),
            accept: self.job.accept.clone(),
            age_ms_max: self.interval_ms_max().saturating_mul(2),
        }
    }

    /// The longest time between two scrapes that go well: freshness is judged by it.
    pub fn interval_ms_max(&self) -> u64 {
        let stretched = self.job.pace.interval_ms_max;
        stretched.map_or(self.interval_ms, |most| most.max(self.interval_ms))
    }

    /// What the engine must know.
    pub fn spec(&self) -> TargetSpec {
        let limits = &self.job.limits;
        let count = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        TargetSpec {
            labels: self.labels.clone(),
            address: format!("{}://{}", self.url.scheme.as_str(), self.url.authority),
            path: self.url.path_and_query.clone(),
            honor_labels: self.job.honor_labels,
            honor_timestamps: self.job.honor_timestamps,
            metric_relabel: self.job.metric_relabel.clone(),
            sample_limit: limits.samples_max,
            label_limit: count(limits.labels_max),
            label_name_bytes_max: count(limits.label_name_bytes_max),
            label_value_bytes_max: count(limits.label_value_bytes_max),
            interval_ms: self.interval_ms_max(),
            histograms: self.job.histograms,
            extra_metrics: self
                .job
                .extra_metrics
                .then_some(self.timeout_ms as f64 / 1000.0),
            retain: self.job.retain,
            not_ready: self.discovered.is_not_ready(),
        }
    }
}

/// The options of a job that its targets carry.
pub fn target_options(job: &ScrapeJob) -> Arc<ScrapeJob> {
    Arc::new(ScrapeJob {
        discovery: Vec::new(),
        relabel: Vec::new(),
        ..job.clone()
    })
}

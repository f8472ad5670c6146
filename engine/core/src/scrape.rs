//! What pages, signals and the writer share about scrapes: what a target is, how much of its page is kept,
//! and the metrics about a scrape.

use crate::labels::{Labels, RelabelRule};

/// What is kept of a target's pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retain {
    /// Every sample.
    #[default]
    All,
    /// What signals need. Other lines are passed over unread: they are counted, and neither stored nor validated.
    Signals,
}

/// How the samples of one target become series.
#[derive(Clone, Debug, Default)]
pub struct TargetSpec {
    /// `job`, `instance` and whatever else every series of the target carries.
    pub labels: Labels,
    /// On a clash the page's label wins; else it is renamed to `exported_...`.
    pub honor_labels: bool,
    /// Timestamps on the page count; else every sample has the time of its scrape.
    pub honor_timestamps: bool,
    /// Applied to every sample's labels.
    pub metric_relabel: Vec<RelabelRule>,
    /// Samples of one scrape that are kept; 0 is no limit. More fail the scrape.
    pub sample_limit: u64,
    /// Labels of one sample; 0 is no limit.
    pub label_limit: usize,
    /// Bytes of a label's name; 0 is no limit.
    pub label_name_bytes_max: usize,
    /// Bytes of a label's value; 0 is no limit.
    pub label_value_bytes_max: usize,
    /// The time between two scrapes.
    pub interval_ms: u64,
    /// What is kept.
    pub retain: Retain,
}

/// The series about a scrape, as Prometheus writes them (scrape/scrape.go `report`).
pub(crate) const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

//! What pages, signals and the writer share about scrapes: what a target is, how much of its page is kept,
//! and the metrics about a scrape.

use twox_hash::XxHash64;

use crate::labels::{Labels, RelabelRule, RelabelSpec};

/// Which samples of a target's pages are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retain {
    /// All of them.
    #[default]
    All,
    /// Those that signals need. Other lines are skipped: counted, but neither stored nor validated.
    Signals,
}

/// What becomes of histograms (keys of a scrape configuration in Prometheus).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramOptions {
    /// Native histograms are stored (`scrape_native_histograms`); otherwise only their classic buckets.
    pub native: bool,
    /// Classic buckets are stored beside a native histogram (`always_scrape_classic_histograms`).
    pub always_classic: bool,
    /// Classic histograms become native ones with custom buckets (`convert_classic_histograms_to_nhcb`).
    pub convert_classic: bool,
    /// Buckets of a native histogram; one with more is merged into fewer (`native_histogram_bucket_limit`). 0: no limit.
    pub buckets_max: usize,
    /// The finest resolution (`native_histogram_min_bucket_factor`); a finer histogram is merged into it.
    pub schema_max: Option<i32>,
}

/// How the samples of one target become series: the part of a scrape configuration that the engine applies.
#[derive(Clone, Debug, Default)]
pub struct TargetSpec {
    /// Labels of the target (`job`, `instance` and others), added to every series.
    pub labels: Labels,
    /// Where it is reached: scheme, host and port. At another place another process may answer.
    pub address: String,
    /// What is asked for there: path and query. With others it is another page.
    pub path: String,
    /// Which label wins when a sample and the target have the same label name. True: the sample's. False: the
    /// target's, and the sample's label is renamed to `exported_<name>`.
    pub honor_labels: bool,
    /// Whether timestamps on the page are used. False: every sample gets the time of its scrape.
    pub honor_timestamps: bool,
    /// Relabelling rules applied to every sample, in order.
    pub metric_relabel: Vec<RelabelRule>,
    /// Samples per scrape after relabelling; a scrape with more fails. 0: no limit.
    pub sample_limit: u64,
    /// Labels per sample; a scrape with more on any sample fails. 0: no limit.
    pub label_limit: usize,
    /// Bytes of a label name. 0: no limit.
    pub label_name_bytes_max: usize,
    /// Bytes of a label value. 0: no limit.
    pub label_value_bytes_max: usize,
    /// Scrape interval in milliseconds.
    pub interval_ms: u64,
    /// What becomes of histograms.
    pub histograms: HistogramOptions,
    /// The timeout of a scrape in seconds, where further metrics about it are written (`extra_scrape_metrics`).
    pub extra_metrics: Option<f64>,
    /// Whether all samples are kept or only those that signals need.
    pub retain: Retain,
    /// Discovery says that it is not ready to serve (a pod whose readiness probe fails).
    pub not_ready: bool,
}

impl TargetSpec {
    /// A number for the way in which a page is read: with another one the same page gives other series, or others of them are
    /// stored. It is the same in each run, for a snapshot keeps it.
    pub(crate) fn reading(&self) -> u64 {
        let rules: Vec<&RelabelSpec> = self.metric_relabel.iter().map(RelabelRule::spec).collect();
        let options = (self.honor_labels, self.honor_timestamps, self.histograms);
        let text = format!("{options:?} {:?} {:?} {rules:?}", self.retain, self.path);
        XxHash64::oneshot(0, text.as_bytes())
    }

    /// Whether series of the target's pages may replace its labels.
    pub(crate) fn may_replace_labels(&self) -> bool {
        self.honor_labels || !self.metric_relabel.is_empty()
    }
}

/// The metrics about a scrape, as Prometheus writes them (scrape/scrape.go `report`), those of `extra_scrape_metrics` last.
pub(crate) const REPORT: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

/// How many of [`REPORT`] every target has.
pub(crate) const REPORT_USUAL: usize = 5;

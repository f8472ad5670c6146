//! What pages, signals and the writer share about scrapes: how much of a page is kept, and the metrics about a
//! scrape.

/// Which samples of a target's pages are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retain {
    /// All of them.
    #[default]
    All,
    /// Those that signals need. Other lines are skipped: counted, but neither stored nor validated.
    Signals,
}

/// The metrics about a scrape, as Prometheus writes them (scrape/scrape.go `report`).
pub(crate) const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

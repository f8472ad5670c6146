//! What pages, signals and the writer share about scrapes: how much of a page is kept, and the metrics about a scrape.

/// What is kept of a target's pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retain {
    /// Every sample.
    #[default]
    All,
    /// What signals need. Other lines are passed over unread: they are counted, and neither stored nor validated.
    Signals,
}

/// The series about a scrape, as Prometheus writes them (scrape/scrape.go `report`).
pub(crate) const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

//! What a query reads: metrics, series, and how far back.

use crate::labels::Matcher;

use super::SignalQuery;
use super::window::UNKNOWN_WINDOW_MS;
use crate::signal::names::TableMetrics;

impl SignalQuery {
    /// The metrics of the names table that its selectors read.
    pub(crate) fn of_table(&self) -> TableMetrics {
        let mut all = TableMetrics::default();
        for selector in &self.selectors {
            all.add(&selector.of_table);
        }
        all
    }

    /// How far back the query reads at most, in milliseconds.
    pub(crate) fn window_ms(&self) -> i64 {
        let windows = self.selectors.iter().map(|selector| selector.window_ms);
        windows.max().unwrap_or(0)
    }

    /// Whether it reads a time that is not known beforehand (`@`, or a duration that is not constant).
    pub(crate) fn has_open_window(&self) -> bool {
        self.window_ms() >= UNKNOWN_WINDOW_MS
    }

    /// The metrics that it reads by a fixed name.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &str> {
        self.selectors
            .iter()
            .filter_map(|selector| selector.metric.as_deref())
    }

    /// The matchers of each selector.
    pub(crate) fn matchers(&self) -> Vec<Vec<Matcher>> {
        self.selectors
            .iter()
            .map(|selector| selector.matchers.clone())
            .collect()
    }
}

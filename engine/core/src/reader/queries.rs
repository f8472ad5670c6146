//! What PromQL reads, and what it says without a wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Reader;
use crate::labels::{Labels, Matcher};
use crate::limits::{
    CHEAP_QUERY_HISTORY_BYTES_MAX, CHEAP_QUERY_SAMPLES_MAX, CHEAP_QUERY_SELECTORS_MAX,
    CHEAP_QUERY_SERIES_MAX, CHEAP_QUERY_TEXT_BYTES_MAX,
};
use crate::promql::plan::ExprKind;
use crate::promql::{Answer, EvalOptions, Query};
use crate::store::{Exemplar, PlainView, ReadBudget};
use crate::time::Timestamp;

impl Reader {
    /// A view of the store as Prometheus would show it, for PromQL. It is of one moment, that of the first selector that is read:
    /// take another for the next query.
    pub fn plain(&self) -> PlainView {
        PlainView::new(Arc::clone(&self.store), None)
    }

    /// Answers an instant query if that takes little work, about 300 us at most, for threads that must not block.
    /// `None`: it may take more, or it failed; evaluate it on a thread that may block, which also yields the error.
    pub fn instant_if_cheap(
        &self,
        query: &Query,
        at: Timestamp,
        options: &EvalOptions<'_>,
    ) -> Option<Answer> {
        if !is_cheap(query) {
            return None;
        }
        let budget = ReadBudget {
            series_max: CHEAP_QUERY_SERIES_MAX,
            bytes_max: CHEAP_QUERY_HISTORY_BYTES_MAX,
        };
        let view = PlainView::new(Arc::clone(&self.store), Some(budget));
        let options = EvalOptions {
            samples_max: options.samples_max.min(CHEAP_QUERY_SAMPLES_MAX),
            ..*options
        };
        query.instant(&view, at, &options).ok()
    }

    /// The exemplars within `start..=end` of the series that a query selects, by series, each list ascending by time.
    /// Offsets and ranges of the query do not count, as in Prometheus.
    pub fn exemplars(
        &self,
        query: &Query,
        start: Timestamp,
        end: Timestamp,
    ) -> Vec<(Labels, Vec<Exemplar>)> {
        let mut found: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        // Matched after the lock is released: a regular expression may take its time.
        let within = self.store.read().exemplars.between(start.ms(), end.ms());
        for at in within {
            let fits = |matchers: &[Matcher]| matchers.iter().all(|m| m.matches_labels(&at.series));
            if query.selectors().any(|selector| fits(selector.matchers)) {
                let of_series = found.entry(at.series.clone()).or_default();
                of_series.push(at.exemplar.clone());
            }
        }
        for exemplars in found.values_mut() {
            exemplars.sort_by_key(|exemplar| exemplar.time_ms);
        }
        found.into_iter().collect()
    }
}

/// Whether an instant evaluation does little beside reading its selectors. A subquery may evaluate any number of times.
fn is_cheap(query: &Query) -> bool {
    let mut has_subquery = false;
    query
        .plan()
        .walk(&mut |expr| has_subquery |= matches!(expr.kind, ExprKind::Subquery(_)));
    !has_subquery
        && query.text().len() <= CHEAP_QUERY_TEXT_BYTES_MAX
        && query.selectors().count() <= CHEAP_QUERY_SELECTORS_MAX
}

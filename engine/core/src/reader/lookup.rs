//! What series there are: lookups of label sets, label names and label values.
//!
//! The answer of a lookup can be as large as all labels in the store, so it counts as the memory of a query, stops when a
//! query has to stop, and holds no more than the caller wants of it.

use std::collections::{BTreeMap, BTreeSet};

use super::Reader;
use crate::Timestamp;
use crate::labels::{Labels, METRIC_NAME, Matcher};
use crate::promql::{EvalOptions, MemoryLease, QueryError, Stop};
use crate::store::{Store, for_each_match_within};

/// Which series a lookup is about.
#[derive(Clone, Copy, Debug)]
pub struct SeriesQuery<'a> {
    /// A series is found if it fits any of them; without one every series is.
    pub selectors: &'a [Vec<Matcher>],
    /// It must have a sample at this time or later ...
    pub start: Timestamp,
    /// ... and not after this time.
    pub end: Timestamp,
    /// Entries of the answer, from the first in its order; 0: all.
    pub limit: usize,
}

impl SeriesQuery<'_> {
    /// All series.
    pub const ALL: SeriesQuery<'static> = SeriesQuery {
        selectors: &[],
        start: Timestamp::MIN,
        end: Timestamp::MAX,
        limit: 0,
    };
}

/// Bytes of an entry of an ordered set beside its contents.
const ENTRY_BYTES: usize = 48;

impl Reader {
    /// The label sets, sorted. Errors: `within` says stop, or they take more memory than it allows.
    pub fn series(
        &self,
        query: SeriesQuery<'_>,
        within: &EvalOptions<'_>,
    ) -> Result<Vec<Labels>, QueryError> {
        let mut found = First::new(query.limit, within);
        self.for_each_series(query, within, |labels| {
            let bytes = labels.bytes();
            found.insert(labels, bytes)
        })?;
        Ok(found.into_vec())
    }

    /// The label names, sorted. Errors as for `series`.
    pub fn label_names(
        &self,
        query: SeriesQuery<'_>,
        within: &EvalOptions<'_>,
    ) -> Result<Vec<String>, QueryError> {
        let mut found = First::new(query.limit, within);
        self.for_each_series(query, within, |labels| {
            labels
                .iter()
                .try_for_each(|(name, _)| found.insert_text(name))
        })?;
        Ok(found.into_vec())
    }

    /// The values of one label, sorted. Errors as for `series`.
    pub fn label_values(
        &self,
        name: &str,
        query: SeriesQuery<'_>,
        within: &EvalOptions<'_>,
    ) -> Result<Vec<String>, QueryError> {
        let mut found = First::new(query.limit, within);
        self.for_each_series(query, within, |labels| match labels.get(name) {
            Some(value) => found.insert_text(value),
            None => Ok(()),
        })?;
        Ok(found.into_vec())
    }

    /// The metrics that match a selector, each with the names of the labels that its series have. Errors as for `series`.
    pub fn label_names_by_metric(
        &self,
        query: SeriesQuery<'_>,
        within: &EvalOptions<'_>,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, QueryError> {
        let memory = MemoryLease::new(within.memory.cloned(), within.bytes_max);
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        self.for_each_series(query, within, |labels| {
            let Some(metric) = labels.metric_name() else {
                return Ok(());
            };
            if !found.contains_key(metric) {
                memory.hold((metric.len() + ENTRY_BYTES) as u64)?;
                found.insert(metric.to_owned(), BTreeSet::new());
            }
            let Some(names) = found.get_mut(metric) else {
                return Ok(()); // it was inserted above
            };
            for (name, _) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
                if !names.contains(name) {
                    memory.hold((name.len() + ENTRY_BYTES) as u64)?;
                    names.insert(name.to_owned());
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Calls `visit` with the labels of each series, in no order, once per selector that it fits; the limit has no
    /// meaning here. Holds no lock for longer than a batch of series. Error: that of `visit`, or `within` says stop.
    pub fn for_each_series(
        &self,
        query: SeriesQuery<'_>,
        within: &EvalOptions<'_>,
        mut visit: impl FnMut(Labels) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let every = [Vec::new()];
        let selectors = match query.selectors {
            [] => &every[..],
            selectors => selectors,
        };
        let (start_ms, end_ms) = (query.start.ms(), query.end.ms());
        let mut result = Ok(());
        for selector in selectors {
            let goes_on = || within.stop.is_none_or(|stop| stop().is_none());
            let each = |store: &Store, id| {
                if result.is_ok() && store.has_samples(id, start_ms, end_ms) {
                    result = visit(store.series.labels(id));
                }
                0
            };
            // Without a budget none is exceeded.
            let _ = for_each_match_within(self.store(), selector, None, &goes_on, each);
            match within.stop.and_then(|stop| stop()) {
                Some(Stop::Timeout) => return Err(QueryError::Timeout(STOPPED.to_owned())),
                Some(Stop::Canceled) => return Err(QueryError::Canceled(STOPPED.to_owned())),
                None => {}
            }
        }
        result
    }
}

const STOPPED: &str = "the lookup was stopped before it was complete";

/// The first entries of a sorted answer.
struct First<T> {
    entries: BTreeSet<T>,
    limit: usize,
    memory: MemoryLease,
}

impl<T: Ord> First<T> {
    fn new(limit: usize, within: &EvalOptions<'_>) -> First<T> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        First {
            entries: BTreeSet::new(),
            limit,
            memory: MemoryLease::new(within.memory.cloned(), within.bytes_max),
        }
    }

    /// What falls out at the end stays counted: a limit bounds the entries, and their sizes differ little.
    fn insert(&mut self, entry: T, bytes: usize) -> Result<(), QueryError> {
        if self.entries.len() == self.limit
            && self.entries.last().is_some_and(|last| entry >= *last)
        {
            return Ok(());
        }
        if !self.entries.insert(entry) {
            return Ok(());
        }
        if self.entries.len() > self.limit {
            self.entries.pop_last();
            return Ok(());
        }
        // Once here, and once in the text of the answer.
        self.memory.hold(2 * (bytes + ENTRY_BYTES) as u64)
    }

    fn into_vec(self) -> Vec<T> {
        self.entries.into_iter().collect()
    }
}

impl First<String> {
    fn insert_text(&mut self, text: &str) -> Result<(), QueryError> {
        if self.entries.contains(text) {
            return Ok(());
        }
        self.insert(text.to_owned(), text.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::promql::QueryMemory;
    use crate::writer::AppendedSeries;
    use crate::{Engine, Limits};

    fn reader(series: usize) -> Reader {
        let (mut writer, reader) = Engine::new(Limits::default());
        let batch = (0..series).map(|n| AppendedSeries {
            labels: Labels::from_pairs([("__name__", "m"), ("n", format!("{n:05}").as_str())]),
            floats: vec![(Timestamp::from_ms(1_000), 1.0)],
            histograms: Vec::new(),
        });
        let appended = writer.append(batch.collect(), Timestamp::from_ms(1_000));
        appended.expect("they fit");
        reader
    }

    #[test]
    fn a_limit_keeps_the_first_and_bounds_what_is_held() {
        let reader = reader(20_000);
        let few = SeriesQuery {
            limit: 2,
            ..SeriesQuery::ALL
        };
        let small = EvalOptions {
            bytes_max: 1 << 20, // memory is taken in steps of this size
            ..EvalOptions::default()
        };
        let values = reader.label_values("n", few, &small).expect("two fit");
        assert_eq!(values, ["00000", "00001"]);
        assert_eq!(reader.series(few, &small).expect("two fit").len(), 2);
        let all = reader.label_values("n", SeriesQuery::ALL, &small);
        assert!(matches!(all, Err(QueryError::Execution(_))), "{all:?}");
        let all = reader.series(SeriesQuery::ALL, &EvalOptions::default());
        assert_eq!(all.expect("they fit").len(), 20_000);
    }

    #[test]
    fn a_lookup_takes_from_the_memory_of_all_queries_and_gives_it_back() {
        let (reader, memory) = (reader(1_000), Arc::new(QueryMemory::new(1 << 20)));
        let shared = EvalOptions {
            memory: Some(&memory),
            ..EvalOptions::default()
        };
        reader
            .label_values("n", SeriesQuery::ALL, &shared)
            .expect("it fits");
        assert_eq!(memory.used(), 0);
        let other = MemoryLease::new(Some(Arc::clone(&memory)), u64::MAX);
        other.hold(1).expect("the first fits");
        let refused = reader.label_values("n", SeriesQuery::ALL, &shared);
        assert!(
            matches!(refused, Err(QueryError::Overloaded(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn a_lookup_stops_when_nobody_waits_for_it() {
        let reader = reader(1_000);
        let stop = || Some(Stop::Canceled);
        let stopped = EvalOptions {
            stop: Some(&stop),
            ..EvalOptions::default()
        };
        let mut visited = 0;
        let result = reader.for_each_series(SeriesQuery::ALL, &stopped, |_| {
            visited += 1;
            Ok(())
        });
        assert!(matches!(result, Err(QueryError::Canceled(_))));
        assert!(visited < 1_000, "{visited}");
    }
}

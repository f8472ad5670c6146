//! A small store in memory, for scripts and tests. It delivers series sorted by labels, as Prometheus does.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::QueryError;
use crate::select::{LastSample, Samples, SelectRequest, Selection, View};
use stillwell_model::histogram::{FloatHistogram, ResetHint};
use stillwell_model::labels::Labels;

/// Series in memory, keyed by labels: the simplest [`View`].
#[derive(Clone, Debug, Default)]
pub struct MemoryView {
    series: BTreeMap<Labels, Arc<Samples>>,
}

impl MemoryView {
    /// Removes all series.
    pub fn clear(&mut self) {
        self.series.clear();
    }

    /// Adds a float sample; it replaces a sample with the same time.
    pub fn add(&mut self, labels: &Labels, time_ms: i64, value: f64) {
        self.insert(labels, time_ms, value, None, 0);
    }

    /// Adds a histogram behind the ones that are there. Like in Prometheus' storage it knows afterwards that it
    /// follows no counter reset, or it knows nothing.
    pub fn add_histogram(
        &mut self,
        labels: &Labels,
        time_ms: i64,
        mut histogram: Arc<FloatHistogram>,
    ) {
        if histogram.hint != ResetHint::Gauge {
            let hint = self.hint_of(labels, &histogram);
            Arc::make_mut(&mut histogram).hint = hint;
        }
        self.insert(labels, time_ms, 0.0, Some(histogram), 0);
    }

    /// Sets the start timestamp of the sample at `time_ms`, if there is one.
    pub fn set_start(&mut self, labels: &Labels, time_ms: i64, start_ms: i64) {
        let Some(samples) = self.series.get_mut(labels) else {
            return;
        };
        let samples = Arc::make_mut(samples);
        if let Ok(at) = samples.times_ms.binary_search(&time_ms) {
            samples.starts_ms.resize(samples.times_ms.len(), 0);
            samples.starts_ms[at] = start_ms;
        }
    }

    /// Every series with its samples.
    pub fn iter(&self) -> impl Iterator<Item = (&Labels, &Samples)> {
        self.series
            .iter()
            .map(|(labels, samples)| (labels, &**samples))
    }

    fn hint_of(&self, labels: &Labels, histogram: &FloatHistogram) -> ResetHint {
        let before = self
            .series
            .get(labels)
            .and_then(|samples| samples.histograms.last().cloned().flatten());
        match before {
            // Behind floats and gauges a new chunk begins, of which nothing is known.
            None => ResetHint::Unknown,
            Some(before) if before.hint == ResetHint::Gauge => ResetHint::Unknown,
            Some(before) => {
                let unknown = FloatHistogram {
                    hint: ResetHint::Unknown,
                    ..histogram.clone()
                };
                // A reset begins a new chunk too.
                let reset = histogram.hint == ResetHint::Reset || unknown.is_reset_after(&before);
                if reset {
                    ResetHint::Unknown
                } else {
                    ResetHint::NotReset
                }
            }
        }
    }

    fn insert(
        &mut self,
        labels: &Labels,
        time_ms: i64,
        value: f64,
        histogram: Option<Arc<FloatHistogram>>,
        start_ms: i64,
    ) {
        let samples = Arc::make_mut(self.series.entry(labels.clone()).or_default());
        if histogram.is_some() && samples.histograms.is_empty() {
            samples.histograms.resize(samples.times_ms.len(), None);
        }
        match samples.times_ms.binary_search(&time_ms) {
            Ok(at) => {
                samples.values[at] = value;
                if let Some(place) = samples.histograms.get_mut(at) {
                    *place = histogram;
                }
            }
            Err(at) => {
                let with_histograms = !samples.histograms.is_empty() || histogram.is_some();
                if with_histograms {
                    samples.histograms.insert(at, histogram);
                }
                if !samples.starts_ms.is_empty() {
                    samples.starts_ms.insert(at, start_ms);
                }
                samples.times_ms.insert(at, time_ms);
                samples.values.insert(at, value);
            }
        }
    }
}

impl View for MemoryView {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn Selection>, QueryError> {
        let fits = |labels: &Labels| {
            request
                .matchers
                .iter()
                .all(|matcher| matcher.matches_labels(labels))
        };
        let series = self.series.iter().filter(|(labels, _)| fits(labels));
        Ok(Box::new(MemorySelection {
            series: series
                .map(|(labels, samples)| (labels.clone(), samples.clone()))
                .collect(),
            after_ms: request.after_ms,
            until_ms: request.until_ms,
        }))
    }
}

struct MemorySelection {
    series: Vec<(Labels, Arc<Samples>)>,
    after_ms: i64,
    until_ms: i64,
}

impl Selection for MemorySelection {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        &self.series[index].0
    }

    fn last(&self, index: usize, _: &mut Samples) -> Option<LastSample> {
        let all = &self.series[index].1;
        let at = all
            .times_ms
            .partition_point(|time| *time <= self.until_ms)
            .checked_sub(1)?;
        let time_ms = all.times_ms[at];
        (time_ms > self.after_ms).then(|| LastSample {
            time_ms,
            value: all.values[at],
            histogram: all.histograms.get(at).cloned().flatten(),
        })
    }

    fn read(&self, index: usize, samples: &mut Samples) {
        let all = &self.series[index].1;
        let from = all.times_ms.partition_point(|time| *time <= self.after_ms);
        let to = all
            .times_ms
            .partition_point(|time| *time <= self.until_ms)
            .max(from);
        samples.clear();
        samples.times_ms.extend_from_slice(&all.times_ms[from..to]);
        samples.values.extend_from_slice(&all.values[from..to]);
        if all
            .histograms
            .get(from..to)
            .is_some_and(|part| part.iter().any(Option::is_some))
        {
            samples
                .histograms
                .extend_from_slice(&all.histograms[from..to]);
        }
        if let Some(starts) = all.starts_ms.get(from..to) {
            samples.starts_ms.extend_from_slice(starts);
        }
    }
}

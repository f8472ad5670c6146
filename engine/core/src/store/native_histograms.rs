//! Native histograms, stored beside the compressed runs of floats.
//!
//! In the runs of its series a histogram is a placeholder ([`HISTOGRAM`]), so that order, duplicate detection and
//! retention work as for floats; its value is stored here, found by its time. A series is listed from its first
//! histogram until it is removed.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::histogram::{FloatHistogram, ResetHint};
use crate::ids::SeriesId;
use crate::promql::select::Samples;

/// The placeholder of a histogram in a run: a NaN that no computation yields. Appending replaces it in float samples.
pub(crate) const HISTOGRAM: u64 = 0x7ff0_0000_5354_4c48;

/// A histogram with its time in milliseconds.
pub(crate) type TimedHistogram = (i64, Arc<FloatHistogram>);

/// The histograms of all series.
#[derive(Default)]
pub(crate) struct NativeHistograms {
    by_series: HashMap<SeriesId, VecDeque<TimedHistogram>>,
    bytes: usize,
}

impl NativeHistograms {
    /// The histograms of a series, oldest first; `None` if it never had one.
    pub(crate) fn get(&self, id: SeriesId) -> Option<&VecDeque<TimedHistogram>> {
        if self.by_series.is_empty() {
            return None;
        }
        self.by_series.get(&id)
    }

    /// Whether no series has any.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_series.is_empty()
    }

    /// The newest histogram of a series.
    pub(crate) fn last(&self, id: SeriesId) -> Option<&TimedHistogram> {
        self.get(id)?.back()
    }

    /// Appends a histogram that is newer than all others of its series. `follows`: the sample before it is a histogram
    /// too.
    pub(crate) fn push(
        &mut self,
        id: SeriesId,
        time_ms: i64,
        mut histogram: FloatHistogram,
        follows: bool,
    ) {
        let list = self.by_series.entry(id).or_default();
        let before = list.back().filter(|_| follows).map(|(_, before)| before);
        histogram.hint = hint(&histogram, before.map(|before| &**before));
        // One that did not change takes an entry only.
        let same = before.filter(|before| before.hint == histogram.hint && ***before == histogram);
        let shared = same.map_or_else(|| Arc::new(histogram), Arc::clone);
        self.bytes += entry_bytes(&shared, list.back().map(|(_, before)| before));
        list.push_back((time_ms, shared));
    }

    /// Appends a histogram of a snapshot, as it was.
    pub(super) fn restore(&mut self, id: SeriesId, time_ms: i64, histogram: FloatHistogram) {
        let list = self.by_series.entry(id).or_default();
        let before = list.back().map(|(_, before)| before);
        let same = before.filter(|before| before.hint == histogram.hint && ***before == histogram);
        let shared = same.map_or_else(|| Arc::new(histogram), Arc::clone);
        self.bytes += entry_bytes(&shared, before);
        list.push_back((time_ms, shared));
    }

    /// The histograms of a series with `after_ms < time <= until_ms`.
    pub(crate) fn between(
        &self,
        id: SeriesId,
        after_ms: i64,
        until_ms: i64,
    ) -> Option<Vec<TimedHistogram>> {
        let list = self.get(id)?;
        let start = list.partition_point(|(time_ms, _)| *time_ms <= after_ms);
        let end = list.partition_point(|(time_ms, _)| *time_ms <= until_ms);
        Some(list.range(start..end.max(start)).cloned().collect())
    }

    /// Drops histograms older than `time_ms`.
    pub(crate) fn drop_before(&mut self, time_ms: i64) {
        for list in self.by_series.values_mut() {
            while let Some((_, histogram)) = list.pop_front_if(|(at_ms, _)| *at_ms < time_ms) {
                self.bytes -= entry_bytes(&histogram, list.front().map(|(_, next)| next));
            }
        }
    }

    /// Removes a series.
    pub(crate) fn forget(&mut self, id: SeriesId) {
        if !self.by_series.is_empty() {
            let mut list = self.by_series.remove(&id).unwrap_or_default();
            while let Some((_, histogram)) = list.pop_front() {
                self.bytes -= entry_bytes(&histogram, list.front().map(|(_, next)| next));
            }
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.by_series.capacity() * size_of::<(SeriesId, VecDeque<TimedHistogram>)>()
    }
}

/// The counter-reset hint of a histogram once its predecessor is known. As in Prometheus' tsdb, where a reset begins a
/// new chunk, the first histogram after a reset has an unknown hint.
fn hint(histogram: &FloatHistogram, before: Option<&FloatHistogram>) -> ResetHint {
    match (histogram.hint, before) {
        (ResetHint::Gauge, _) => ResetHint::Gauge,
        (ResetHint::Reset, _) | (_, None) => ResetHint::Unknown,
        (_, Some(before)) if before.hint == ResetHint::Gauge => ResetHint::Unknown,
        // The sender's hint is verified, because a sample in between may be missing here.
        (_, Some(before)) => {
            let unknown = FloatHistogram {
                hint: ResetHint::Unknown,
                ..histogram.clone()
            };
            match unknown.is_reset_after(before) {
                true => ResetHint::Unknown,
                false => ResetHint::NotReset,
            }
        }
    }
}

/// Bytes of an entry whose neighbour may share its histogram.
fn entry_bytes(histogram: &Arc<FloatHistogram>, neighbour: Option<&Arc<FloatHistogram>>) -> usize {
    match neighbour.is_some_and(|neighbour| Arc::ptr_eq(neighbour, histogram)) {
        true => size_of::<TimedHistogram>(),
        false => bytes(histogram),
    }
}

/// Bytes of a histogram, its list entry included.
pub(crate) fn bytes(histogram: &FloatHistogram) -> usize {
    let buckets = histogram.positive.len() + histogram.negative.len();
    size_of::<TimedHistogram>()
        + size_of::<FloatHistogram>()
        + buckets * size_of::<crate::histogram::Bucket>()
        + histogram.custom_bounds.len() * size_of::<f64>()
}

/// Replaces placeholders by their histograms. A placeholder whose histogram was dropped is removed.
pub(crate) fn fill(samples: &mut Samples, histograms: &[TimedHistogram]) {
    let (mut kept, mut at) = (0, 0);
    samples.histograms.clear();
    for index in 0..samples.times_ms.len() {
        let (time_ms, value) = (samples.times_ms[index], samples.values[index]);
        let mut found = None;
        let mut shown = value;
        if value.to_bits() == HISTOGRAM {
            at += histograms[at..].partition_point(|(have_ms, _)| *have_ms < time_ms);
            let Some((_, histogram)) = histograms
                .get(at)
                .filter(|(have_ms, _)| *have_ms == time_ms)
            else {
                continue;
            };
            found = Some(Arc::clone(histogram));
            shown = 0.0;
        }
        samples.times_ms[kept] = time_ms;
        samples.values[kept] = shown;
        samples.histograms.push(found);
        kept += 1;
    }
    samples.times_ms.truncate(kept);
    samples.values.truncate(kept);
    if samples.histograms.iter().all(Option::is_none) {
        samples.histograms.clear();
    }
}

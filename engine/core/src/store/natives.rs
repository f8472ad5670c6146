//! Native histograms, beside the runs of floats.
//!
//! A histogram is a placeholder in its series' runs (so that order, duplicates and retention are the floats' affair)
//! and a value here, found by its time. A series is listed from its first histogram until it is forgotten; where none
//! is listed, nobody looks for placeholders.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::histogram::{FloatHistogram, ResetHint};
use crate::ids::SeriesId;
use crate::promql::select::Samples;

/// Stands for a histogram in a run: a NaN that no computation yields and that is kept from floats.
pub(crate) const HISTOGRAM: u64 = 0x7ff0_0000_5354_4c48;

/// A histogram and when it was.
pub(crate) type Timed = (i64, Arc<FloatHistogram>);

/// The histograms of all series.
#[derive(Default)]
pub(crate) struct Natives {
    by_series: HashMap<SeriesId, VecDeque<Timed>>,
    bytes: usize,
}

impl Natives {
    /// The histograms of a series that has, or had, some.
    pub(crate) fn get(&self, id: SeriesId) -> Option<&VecDeque<Timed>> {
        if self.by_series.is_empty() {
            return None;
        }
        self.by_series.get(&id)
    }

    /// The newest one of a series.
    pub(crate) fn last(&self, id: SeriesId) -> Option<&Timed> {
        self.get(id)?.back()
    }

    /// One that is newer than every other of its series. `follows`: the sample before it is a histogram too.
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
        self.bytes += bytes(&histogram);
        list.push_back((time_ms, Arc::new(histogram)));
    }

    /// Those of a series later than `after_ms`, up to `until_ms`.
    pub(crate) fn between(&self, id: SeriesId, after_ms: i64, until_ms: i64) -> Option<Vec<Timed>> {
        let list = self.get(id)?;
        let start = list.partition_point(|(time_ms, _)| *time_ms <= after_ms);
        let end = list.partition_point(|(time_ms, _)| *time_ms <= until_ms);
        Some(list.range(start..end.max(start)).cloned().collect())
    }

    /// Drops what is older than `time_ms`.
    pub(crate) fn drop_before(&mut self, time_ms: i64) {
        for list in self.by_series.values_mut() {
            while let Some((_, histogram)) = list.pop_front_if(|(at_ms, _)| *at_ms < time_ms) {
                self.bytes -= bytes(&histogram);
            }
        }
    }

    /// The series is gone.
    pub(crate) fn forget(&mut self, id: SeriesId) {
        if !self.by_series.is_empty() {
            let list = self.by_series.remove(&id).unwrap_or_default();
            self.bytes -= list.iter().map(|(_, h)| bytes(h)).sum::<usize>();
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.by_series.capacity() * size_of::<(SeriesId, VecDeque<Timed>)>()
    }
}

/// What a histogram tells about resets once its predecessor is known (tsdb: a reset begins a new chunk, whose first
/// histogram tells nothing).
fn hint(histogram: &FloatHistogram, before: Option<&FloatHistogram>) -> ResetHint {
    match (histogram.hint, before) {
        (ResetHint::Gauge, _) => ResetHint::Gauge,
        (ResetHint::Reset, _) | (_, None) => ResetHint::Unknown,
        (_, Some(before)) if before.hint == ResetHint::Gauge => ResetHint::Unknown,
        // What the sender says is not taken for granted: a sample in between may be missing here.
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

/// What a histogram takes, its place in the list included.
pub(crate) fn bytes(histogram: &FloatHistogram) -> usize {
    let buckets = histogram.positive.len() + histogram.negative.len();
    size_of::<Timed>()
        + size_of::<FloatHistogram>()
        + buckets * size_of::<crate::histogram::Bucket>()
        + histogram.custom_bounds.len() * size_of::<f64>()
}

/// Puts histograms where their placeholders are. A placeholder whose histogram was dropped goes.
pub(crate) fn fill(samples: &mut Samples, histograms: &[Timed]) {
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

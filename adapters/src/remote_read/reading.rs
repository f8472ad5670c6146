//! One answer: its series read, in the order of their labels, and written within the memory that queries have.

use stillwell_engine::labels::{Labels, Matcher};
use stillwell_engine::promql::select::{Projection, Samples, SelectRequest, Selection, View};
use stillwell_engine::promql::{EvalOptions, MemoryLease, QueryError};

use super::buffer::Buffer;
use super::{chunk, frames};
use crate::remote_write::messages::Label;

/// A sample with its time, and a place for a histogram.
const SAMPLE_BYTES: usize = 24;
/// A series' place in the order of all, twice while they are sorted, and what stands beside its labels.
const ORDER_BYTES: usize = 32;
/// What stands beside a text of a label in memory, of which each has two.
const TEXT_BYTES: usize = 16;

/// Tags of `prometheus.ReadResponse` and of a `prometheus.QueryResult` (prompb/remote.proto).
const RESULTS: u32 = 1;
const SERIES: u32 = 1;

/// The matchers of a query, and the times of its first and last sample, in milliseconds.
pub(super) type Asked = (Vec<Matcher>, i64, i64);

/// One answer while it is put together.
pub(super) struct Reading<'a> {
    pub(super) view: &'a dyn View,
    pub(super) external: &'a Labels,
    pub(super) offset_ms: i64,
    pub(super) options: &'a EvalOptions<'a>,
    pub(super) memory: MemoryLease,
}

impl Reading<'_> {
    /// Everything in one message.
    pub(super) fn sampled(&self, asked: &[Asked]) -> Result<Vec<u8>, QueryError> {
        let buffer = || Buffer::new(&self.memory);
        let (mut response, mut result, mut series) = (buffer(), buffer(), buffer());
        for asked in asked {
            result.clear();
            self.each_series(asked, |labels, samples| {
                series.clear();
                series.put_series(labels, samples)?;
                result.put_encoded(SERIES, series.as_slice())
            })?;
            response.put_encoded(RESULTS, result.as_slice())?;
        }
        drop(result);
        let plain = response.as_slice();
        self.memory
            .hold(snap::raw::max_compress_len(plain.len()) as u64)?;
        let packed = snap::raw::Encoder::new().compress_vec(plain);
        let mut packed = packed.map_err(|error| QueryError::Execution(error.to_string()))?;
        packed.shrink_to_fit(); // it had room for what cannot be compressed
        Ok(packed)
    }

    /// A frame, or several, per series.
    pub(super) fn streamed(&self, asked: &[Asked]) -> Result<Vec<u8>, QueryError> {
        let mut out = Buffer::new(&self.memory);
        for (index, asked) in asked.iter().enumerate() {
            self.each_series(asked, |labels, samples| {
                let chunks = chunk::chunks(samples);
                out.written(|out| frames::write(out, index as i64, labels, chunks))
            })?;
        }
        Ok(out.into_bytes())
    }

    /// The series of one query that have samples, by their labels, in the wall clock's times.
    fn each_series(
        &self,
        (matchers, from_ms, until_ms): &Asked,
        mut take: impl FnMut(&[Label], &Samples) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let stop = || self.poll();
        let found = self.view.select(&SelectRequest {
            matchers,
            after_ms: from_ms.saturating_sub(1),
            until_ms: *until_ms,
            projection: Projection::All,
            last_only: false,
            memory: Some(&self.memory),
            stop: Some(&stop),
        })?;
        let order_bytes = (ORDER_BYTES * found.len()) as u64;
        self.memory.hold(order_bytes)?;
        let mut samples = Samples::default();
        for index in sorted(&*found) {
            self.poll()?;
            found.read(index, &mut samples);
            if samples.times_ms.is_empty() {
                continue;
            }
            for time_ms in &mut samples.times_ms {
                *time_ms = time_ms.saturating_add(self.offset_ms);
            }
            let labels = self.labels(found.labels(index));
            let bytes = held_bytes(&labels, &samples);
            self.memory.hold(bytes)?;
            take(&labels, &samples)?;
            self.memory.release(bytes);
        }
        self.memory.release(order_bytes);
        Ok(())
    }

    /// With the external labels that the series does not have itself.
    fn labels(&self, own: &Labels) -> Vec<Label> {
        let mut all = own.to_builder();
        for (name, value) in self.external.iter() {
            if own.get(name).is_none() {
                all.set(name, value);
            }
        }
        let label = |(name, value): (&str, &str)| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        all.build().iter().map(label).collect()
    }

    fn poll(&self) -> Result<(), QueryError> {
        match self.options.stop.and_then(|stop| stop()) {
            None => Ok(()),
            Some(_) => Err(QueryError::Timeout("the query timed out".to_owned())),
        }
    }
}

/// What one series takes until it is written.
fn held_bytes(labels: &[Label], samples: &Samples) -> u64 {
    let texts = labels
        .iter()
        .map(|label| size_of::<Label>() + label.name.len() + label.value.len() + 2 * TEXT_BYTES);
    (texts.sum::<usize>() + SAMPLE_BYTES * samples.times_ms.len()) as u64
}

/// Indices of the series, by labels: readers merge what several servers send.
fn sorted(found: &dyn Selection) -> Vec<usize> {
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by(|a, b| found.labels(*a).cmp(found.labels(*b)));
    order
}

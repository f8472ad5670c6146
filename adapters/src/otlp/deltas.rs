//! Deltas added up, where `--enable-feature=otlp-deltatocumulative` is given: of each series the sum so far. A restart begins
//! at 0, which reads as a counter's reset.
//!
//! Times of points order the deltas of one series; what is old is decided by the server's clock alone, so that no sender can
//! end the sums of others.

use std::fmt;
use std::mem::size_of;

use hashbrown::HashMap;
use stillwell_engine::Timestamp;
use stillwell_engine::histogram::{Bucket, FloatHistogram};
use stillwell_engine::labels::Labels;
use stillwell_engine::limits::FUTURE_MS_MAX;
use stillwell_engine::promql::select::is_stale;

/// Series that are added up; beyond it new ones are left out.
const SERIES_MAX: usize = 100_000;
/// Bytes of their labels and sums; beyond it none becomes larger.
const BYTES_MAX: usize = 64 << 20;
/// A series of which nothing comes for so long begins anew.
const STALE_MS: i64 = 300_000;
/// Between two looks for such.
const SWEEP_MS: i64 = 10_000;

/// The sums.
#[derive(Default)]
pub(super) struct Deltas {
    sums: HashMap<Labels, Sum>,
    /// Of all sums with their labels.
    bytes: usize,
    now_ms: i64,
    swept_ms: i64,
}

struct Sum {
    /// Of the last delta.
    at_ms: i64,
    /// When that came.
    came_ms: i64,
    value: Value,
}

enum Value {
    Float(f64),
    Histogram(Box<FloatHistogram>),
}

/// Why a delta is not added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftOut {
    NotNewer,
    TooNew,
    Full,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeftOut::NotNewer => f.write_str("a delta is not newer than the last of its series"),
            LeftOut::TooNew => write!(
                f,
                "a delta is more than {} s in the future, check the sender's clock",
                FUTURE_MS_MAX / 1_000
            ),
            LeftOut::Full => write!(
                f,
                "no place for a sum: {SERIES_MAX} series or {BYTES_MAX} bytes of them are added up"
            ),
        }
    }
}

impl Deltas {
    /// A request comes: series of which nothing came for long begin anew.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.now_ms = now.ms();
        if self.now_ms.abs_diff(self.swept_ms) < SWEEP_MS as u64 {
            return;
        }
        self.swept_ms = self.now_ms;
        let oldest_ms = self.now_ms - STALE_MS;
        self.sums.retain(|_, sum| sum.came_ms >= oldest_ms);
        let sums = self.sums.iter();
        self.bytes = sums.map(|(labels, sum)| sum.value.bytes(labels)).sum();
    }

    /// Makes a delta the sum so far.
    pub(super) fn add_float(
        &mut self,
        labels: &Labels,
        at_ms: i64,
        value: &mut f64,
    ) -> Result<(), LeftOut> {
        let before = self.before(labels, at_ms)?;
        if is_stale(*value) {
            self.end(labels);
            return Ok(());
        }
        if let Some(Value::Float(before)) = before {
            *value += before;
        }
        self.put(labels, at_ms, Value::Float(*value))
    }

    /// The same for a histogram. One that does not fit the sum begins a new one.
    pub(super) fn add_histogram(
        &mut self,
        labels: &Labels,
        at_ms: i64,
        value: &mut FloatHistogram,
    ) -> Result<(), LeftOut> {
        let before = self.before(labels, at_ms)?;
        if is_stale(value.sum) {
            self.end(labels);
            return Ok(());
        }
        if let Some(Value::Histogram(before)) = before {
            let mut sum = (**before).clone();
            if sum.add(value).is_ok() {
                *value = sum;
            }
        }
        self.put(labels, at_ms, Value::Histogram(Box::new(value.clone())))
    }

    fn before(&self, labels: &Labels, at_ms: i64) -> Result<Option<&Value>, LeftOut> {
        if at_ms > self.now_ms.saturating_add(FUTURE_MS_MAX) {
            return Err(LeftOut::TooNew);
        }
        match self.sums.get(labels) {
            Some(sum) if at_ms <= sum.at_ms => Err(LeftOut::NotNewer),
            sum => Ok(sum.map(|sum| &sum.value)),
        }
    }

    fn put(&mut self, labels: &Labels, at_ms: i64, value: Value) -> Result<(), LeftOut> {
        let before = self.sums.get(labels);
        let (is_new, before) = (
            before.is_none(),
            before.map_or(0, |sum| sum.value.bytes(labels)),
        );
        let bytes = value.bytes(labels);
        let total = self.bytes - before + bytes;
        if (is_new && self.sums.len() >= SERIES_MAX) || (bytes > before && total > BYTES_MAX) {
            return Err(LeftOut::Full);
        }
        self.bytes = total;
        let sum = Sum {
            at_ms,
            came_ms: self.now_ms,
            value,
        };
        match self.sums.get_mut(labels) {
            Some(before) => *before = sum,
            None => drop(self.sums.insert(labels.clone(), sum)),
        }
        Ok(())
    }

    fn end(&mut self, labels: &Labels) {
        if let Some(sum) = self.sums.remove(labels) {
            self.bytes -= sum.value.bytes(labels);
        }
    }
}

impl Value {
    /// What it takes, with its labels.
    fn bytes(&self, labels: &Labels) -> usize {
        let own = labels.bytes() + size_of::<(Labels, Sum)>();
        own + match self {
            Value::Float(_) => 0,
            Value::Histogram(one) => {
                let buckets = one.positive.len() + one.negative.len();
                size_of::<FloatHistogram>()
                    + buckets * size_of::<Bucket>()
                    + one.custom_bounds.len() * size_of::<f64>()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::histogram::Buckets;

    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn labels(at: usize) -> Labels {
        Labels::from_pairs([("__name__", "m"), ("n", at.to_string().as_str())])
    }

    fn deltas() -> Deltas {
        let mut deltas = Deltas::default();
        deltas.begin(Timestamp::from_ms(NOW_MS));
        deltas
    }

    /// Of 1, or why not.
    fn add(deltas: &mut Deltas, series: usize, at_ms: i64) -> Result<f64, LeftOut> {
        let mut value = 1.0;
        let added = deltas.add_float(&labels(series), at_ms, &mut value);
        added.map(|()| value)
    }

    #[test]
    fn a_point_of_the_far_future_ends_no_sum_and_takes_no_place() {
        let mut deltas = deltas();
        assert_eq!(add(&mut deltas, 0, NOW_MS), Ok(1.0));
        for series in 0..2 * SERIES_MAX {
            let future = add(&mut deltas, series, NOW_MS + FUTURE_MS_MAX + 1);
            assert_eq!(future, Err(LeftOut::TooNew));
        }
        assert_eq!(add(&mut deltas, 0, i64::MAX), Err(LeftOut::TooNew));
        assert_eq!(add(&mut deltas, 1, NOW_MS + FUTURE_MS_MAX), Ok(1.0));
        deltas.begin(Timestamp::from_ms(NOW_MS + 2 * SWEEP_MS));
        assert_eq!(add(&mut deltas, 0, NOW_MS + 1), Ok(2.0), "it went on");
        assert_eq!(deltas.sums.len(), 2);
    }

    #[test]
    fn a_series_begins_anew_when_nothing_came_for_long_whatever_its_sender_takes_for_now() {
        let mut deltas = deltas();
        let slow_ms = NOW_MS - 3 * STALE_MS; // its clock is behind
        for (after_ms, at_ms, sum) in [
            (0, slow_ms, 1.0),
            (STALE_MS, slow_ms + 1, 2.0),
            (2 * STALE_MS, slow_ms + 2, 3.0),
            (3 * STALE_MS + SWEEP_MS, slow_ms + 3, 1.0),
        ] {
            deltas.begin(Timestamp::from_ms(NOW_MS + after_ms));
            assert_eq!(add(&mut deltas, 0, at_ms), Ok(sum));
        }
        assert_eq!(add(&mut deltas, 0, slow_ms + 3), Err(LeftOut::NotNewer));
    }

    #[test]
    fn sums_take_so_many_places_and_bytes() {
        let mut deltas = deltas();
        for series in 0..SERIES_MAX {
            assert_eq!(add(&mut deltas, series, NOW_MS), Ok(1.0));
        }
        assert_eq!(add(&mut deltas, SERIES_MAX, NOW_MS), Err(LeftOut::Full));
        assert_eq!(add(&mut deltas, 7, NOW_MS + 1), Ok(2.0), "others go on");

        let mut deltas = self::deltas();
        let buckets = |from: i32| {
            let bucket = |index| Bucket { index, count: 1.0 };
            FloatHistogram {
                positive: Buckets::from_sorted((from..from + 1_000).map(bucket).collect()),
                ..FloatHistogram::default()
            }
        };
        let mut add = |series, at_ms, from| {
            let mut value = buckets(from);
            let added = deltas.add_histogram(&labels(series), at_ms, &mut value);
            (added, deltas.bytes)
        };
        let taken = (0..SERIES_MAX).find(|series| add(*series, NOW_MS, 0).0.is_err());
        assert!(taken.is_some_and(|taken| (1_000..10_000).contains(&taken)));
        let (added, bytes) = add(0, NOW_MS + 1, 0);
        assert_eq!(added, Ok(()), "it does not become larger");
        let (added, after) = add(0, NOW_MS + 2, 5_000);
        assert_eq!((added, after), (Err(LeftOut::Full), bytes));
        assert!(bytes <= BYTES_MAX);
        let mut ended = FloatHistogram {
            sum: f64::from_bits(stillwell_engine::promql::select::STALE_NAN_BITS),
            ..FloatHistogram::default()
        };
        let end = deltas.add_histogram(&labels(0), NOW_MS + 3, &mut ended);
        assert_eq!(end, Ok(()));
        assert!(deltas.bytes < bytes, "its place is free again");
    }
}

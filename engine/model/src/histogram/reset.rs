//! Counter resets between histograms.

use super::buckets::Buckets;
use super::{FloatHistogram, ResetHint};

impl FloatHistogram {
    /// Whether a counter reset lies between `previous` and this: a count fell, or a populated bucket is gone, or the
    /// layout changed as it does only when counting starts over. The hint decides where it knows.
    pub fn is_reset_after(&self, previous: &FloatHistogram) -> bool {
        match self.hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.is_custom() {
            if !previous.is_custom() {
                return true;
            }
            if self.custom_bounds != previous.custom_bounds {
                return self.fell_at_common_bounds(previous);
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (previous_zero, threshold) = previous.zero_count_up_to(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < previous_zero {
            return true;
        }
        let mut previous = previous.clone();
        if !self.is_custom() {
            previous.reduce_resolution(self.schema);
        }
        let outside = |histogram: &FloatHistogram, buckets: &Buckets| -> Vec<(i32, f64)> {
            let threshold = self.zero_threshold;
            let outside = buckets.iter().filter(|bucket| {
                histogram.is_custom()
                    || threshold == 0.0
                    || histogram.positive_range(bucket).upper > threshold
            });
            outside.map(|bucket| (bucket.index, bucket.count)).collect()
        };
        let fell = |now: &Buckets, before: &Buckets| {
            outside(&previous, before)
                .into_iter()
                .any(|(index, count)| match now.get(index) {
                    Some(now) => now < count,
                    None => count != 0.0,
                })
        };
        fell(&self.positive, &previous.positive) || fell(&self.negative, &previous.negative)
    }

    /// With different custom bounds: whether the count fell between two neighbours among the common ones.
    fn fell_at_common_bounds(&self, previous: &FloatHistogram) -> bool {
        let common: Vec<f64> = self
            .custom_bounds
            .iter()
            .copied()
            .filter(|b| previous.custom_bounds.contains(b))
            .collect();
        let now = self.counts_between(&common);
        let before = previous.counts_between(&common);
        now.iter().zip(&before).any(|(now, before)| now < before)
    }

    fn counts_between(&self, bounds: &[f64]) -> Vec<f64> {
        let mut counts = vec![0.0; bounds.len() + 1];
        for bucket in self.positive.iter() {
            let upper = self.positive_range(bucket).upper;
            counts[bounds.partition_point(|bound| *bound < upper)] += bucket.count;
        }
        counts
    }
}

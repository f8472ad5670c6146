//! Classic histograms as native ones with custom buckets (`convert_classic_histograms_to_nhcb`; rules: Prometheus
//! util/convertnhcb and model/textparse/nhcbparse.go).

use crate::histogram::{Bucket, Buckets, CUSTOM_SCHEMA, FloatHistogram};

/// The samples of one classic histogram.
#[derive(Debug, Default)]
pub(crate) struct ClassicHistogram {
    /// Bounds and cumulative counts, ascending by bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    is_invalid: bool,
}

impl ClassicHistogram {
    /// Adds a bucket. Buckets may come in any order; one that repeats is left out.
    pub(crate) fn bucket(&mut self, bound: f64, cumulative: f64) {
        if bound.is_nan() || cumulative.is_nan() || cumulative < 0.0 {
            self.is_invalid = true;
            return;
        }
        let at = self.buckets.partition_point(|(have, _)| *have < bound);
        if self.buckets.get(at).is_some_and(|(have, _)| *have == bound) {
            return;
        }
        self.buckets.insert(at, (bound, cumulative));
    }

    /// Sets the count of all observations.
    pub(crate) fn count(&mut self, count: f64) {
        self.is_invalid |= count.is_nan() || count < 0.0;
        self.count = Some(count);
    }

    /// Sets the sum of all observations.
    pub(crate) fn sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// The native histogram; `None` where the samples are none of a histogram.
    pub(crate) fn convert(mut self) -> Option<FloatHistogram> {
        let last = self.buckets.last().copied();
        // Without a count the highest bucket has all; without either there are none.
        let count = self.count.or(last.map(|(_, count)| count)).unwrap_or(0.0);
        if last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let is_cumulative = self.buckets.is_sorted_by(|a, b| a.1 <= b.1);
        if self.is_invalid || !is_cumulative || self.buckets.last()?.1 != count {
            return None;
        }
        let mut before = 0.0;
        let counted = self
            .buckets
            .iter()
            .enumerate()
            .map(|(index, (_, cumulative))| {
                let count = cumulative - before;
                before = *cumulative;
                Bucket {
                    index: index as i32,
                    count,
                }
            });
        let counted = counted.filter(|bucket| bucket.count != 0.0).collect();
        self.buckets.pop();
        let is_whole = |count: &f64| count.trunc() == *count;
        let float_counts =
            !self.buckets.iter().all(|(_, count)| is_whole(count)) || !is_whole(&count);
        let histogram = FloatHistogram {
            schema: CUSTOM_SCHEMA,
            count,
            sum: self.sum,
            positive: Buckets::from_sorted(counted),
            custom_bounds: self.buckets.iter().map(|(bound, _)| *bound).collect(),
            ..FloatHistogram::default()
        };
        histogram.validate(float_counts).ok()?;
        Some(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(buckets: &[(f64, f64)], count: Option<f64>) -> Option<FloatHistogram> {
        let mut classic = ClassicHistogram::default();
        buckets
            .iter()
            .for_each(|&(bound, count)| classic.bucket(bound, count));
        count.into_iter().for_each(|count| classic.count(count));
        classic.sum(5.0);
        classic.convert()
    }

    #[test]
    fn counts_become_those_of_single_buckets() {
        let inf = f64::INFINITY;
        for (buckets, count) in [
            (&[(1.0, 2.0), (4.0, 2.0), (inf, 5.0)][..], Some(5.0)),
            (&[(4.0, 2.0), (inf, 5.0), (1.0, 2.0), (1.0, 3.0)], None),
            (&[(1.0, 2.0), (4.0, 2.0)], Some(5.0)),
        ] {
            let histogram = converted(buckets, count).expect("valid");
            let counts: Vec<_> = histogram
                .positive
                .iter()
                .map(|b| (b.index, b.count))
                .collect();
            assert_eq!(counts, [(0, 2.0), (2, 3.0)], "{buckets:?}");
            assert_eq!(histogram.custom_bounds, [1.0, 4.0]);
            assert_eq!((histogram.count, histogram.sum), (5.0, 5.0));
        }
    }

    #[test]
    fn what_is_no_histogram_is_left_out() {
        let inf = f64::INFINITY;
        for (buckets, count) in [
            (&[(1.0, 3.0), (inf, 2.0)][..], None),
            (&[(inf, 2.0)], Some(3.0)),
            (&[(f64::NAN, 2.0)], Some(2.0)),
            (&[(1.0, -2.0)], Some(2.0)),
        ] {
            assert_eq!(converted(buckets, count), None, "{buckets:?}");
        }
    }
}

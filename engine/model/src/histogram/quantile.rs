//! What a histogram says about its observations: quantiles, fractions, variance.

use super::FloatHistogram;
use super::buckets::Range;
use crate::arithmetic::{go_math, kahan_inc};

impl FloatHistogram {
    /// Where the zero bucket is all that is known of one side, it is taken to hold the other side only.
    fn without_empty_side(&self, mut range: Range) -> Range {
        if !self.is_custom() && range.lower <= 0.0 && range.upper >= 0.0 {
            if self.negative.is_empty() && !self.positive.is_empty() {
                range.lower = 0.0;
            } else if self.positive.is_empty() && !self.negative.is_empty() {
                range.upper = 0.0;
            }
        }
        range
    }

    /// The `q` quantile, interpolated within a bucket: linearly in the zero bucket and in custom ones,
    /// exponentially elsewhere. `None` where the histogram has NaN observations that the quantile falls into.
    pub fn quantile(&self, q: f64) -> f64 {
        if q < 0.0 {
            return f64::NEG_INFINITY;
        }
        if q > 1.0 {
            return f64::INFINITY;
        }
        if self.count == 0.0 || q.is_nan() {
            return f64::NAN;
        }
        // NaN observations count, but are in no bucket; counting from below leaves them at the end.
        let forward = self.sum.is_nan() || q < 0.5;
        let (mut rank, found) = if forward {
            let rank = q * self.count;
            (rank, reach(self.ranges(), rank))
        } else {
            let rank = (1.0 - q) * self.count;
            (rank, reach(self.ranges().rev(), rank))
        };
        let Some((range, count)) = found else {
            return f64::NAN;
        };
        let range = if self.is_custom() {
            let mut range = range;
            if range.lower == f64::NEG_INFINITY {
                // The lowest bucket of positive values begins at zero.
                if range.upper <= 0.0 {
                    return range.upper;
                }
                range.lower = 0.0;
            } else if range.upper == f64::INFINITY {
                return range.lower;
            }
            range
        } else {
            self.without_empty_side(range)
        };
        // Rounding must not make the parts more than the whole.
        let count = if count > self.count {
            self.count
        } else {
            count
        };
        if count < rank {
            return if self.sum.is_nan() {
                f64::NAN
            } else if forward {
                range.upper
            } else {
                range.lower
            };
        }
        if forward {
            rank -= count - range.count;
        } else {
            rank = count - rank;
        }
        let fraction = rank / range.count;
        if self.is_custom() || (range.lower <= 0.0 && range.upper >= 0.0) {
            return range.lower + (range.upper - range.lower) * fraction;
        }
        let log_lower = go_math::log2(range.lower.abs());
        let log_upper = go_math::log2(range.upper.abs());
        if range.lower > 0.0 {
            return go_math::exp2(log_lower + (log_upper - log_lower) * fraction);
        }
        -go_math::exp2(log_upper + (log_lower - log_upper) * (1.0 - fraction))
    }

    /// Whether there are observations that are no number: they count, but are in no bucket.
    pub fn has_nan_observations(&self) -> bool {
        self.sum.is_nan() && self.ranges().map(|range| range.count).sum::<f64>() < self.count
    }

    /// The share of observations between two values.
    pub fn fraction(&self, lower: f64, upper: f64) -> f64 {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        let (mut rank, mut lower_rank, mut upper_rank) = (0.0, None, None);
        for range in self.ranges() {
            let zero_bucket = !self.is_custom() && range.lower <= 0.0 && range.upper >= 0.0;
            let mut range = self.without_empty_side(range);
            if self.is_custom() && range.lower == f64::NEG_INFINITY && range.upper > 0.0 {
                range.lower = 0.0;
            }
            let interpolate = |value: f64| {
                if range.lower == f64::NEG_INFINITY {
                    // Nothing is known of where in it the observations are; they count as below.
                    return rank + range.count;
                }
                let linear = zero_bucket || self.is_custom();
                rank + range.count * share_below(&range, value, linear)
            };
            for (limit, found) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
                if found.is_some() {
                    continue;
                }
                if range.lower >= limit {
                    *found = Some(rank);
                } else if range.upper > limit {
                    *found = Some(if range.upper == f64::INFINITY && self.is_custom() {
                        rank
                    } else {
                        interpolate(limit)
                    });
                }
            }
            if lower_rank.is_some() && upper_rank.is_some() {
                break;
            }
            rank += range.count;
        }
        // NaN observations are below no value: an open end counts up to what the buckets hold.
        let all = if self.sum.is_nan() {
            rank.min(self.count)
        } else {
            self.count
        };
        let close = |found: Option<f64>| match found {
            Some(rank) if rank <= self.count => rank,
            _ => all,
        };
        (close(upper_rank) - close(lower_rank)) / self.count
    }

    /// The estimated variance: every observation is taken to be in the middle of its bucket.
    pub fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let (mut variance, mut compensation) = (0.0, 0.0);
        for range in self.ranges().filter(|range| range.count != 0.0) {
            let middle = if self.is_custom() {
                (range.upper + range.lower) / 2.0
            } else if range.lower <= 0.0 && range.upper >= 0.0 {
                0.0
            } else {
                let middle = (range.upper * range.lower).sqrt();
                if range.upper < 0.0 { -middle } else { middle }
            };
            let delta = middle - mean;
            kahan_inc(
                range.count * delta * delta,
                &mut variance,
                &mut compensation,
            );
        }
        (variance + compensation) / self.count
    }
}

/// Adds up counts until they reach the rank: the bucket where they do (or the last) and the count so far.
fn reach(ranges: impl Iterator<Item = Range>, rank: f64) -> Option<(Range, f64)> {
    let mut count = 0.0;
    let mut last = None;
    for range in ranges.filter(|range| range.count != 0.0) {
        count += range.count;
        last = Some((range, count));
        if count >= rank {
            break;
        }
    }
    last
}

/// Which share of a bucket is below a value inside of it.
pub(super) fn share_below(range: &Range, value: f64, linear: bool) -> f64 {
    if linear {
        return (value - range.lower) / (range.upper - range.lower);
    }
    let log_lower = go_math::log2(range.lower.abs());
    let log_upper = go_math::log2(range.upper.abs());
    let log_value = go_math::log2(value.abs());
    if value > 0.0 {
        (log_value - log_lower) / (log_upper - log_lower)
    } else {
        1.0 - (log_value - log_upper) / (log_lower - log_upper)
    }
}

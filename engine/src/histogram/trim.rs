//! The trim operators: a histogram without what lies above (`</`) or below (`>/`) a value.
//!
//! A bucket that the value cuts keeps its interpolated share; what is taken out of the sum is taken at the middle
//! of the part that goes. Buckets that reach to infinity have no middle and go whole when cut.

use super::FloatHistogram;
use super::buckets::Range;
use super::quantile::share_below;

impl FloatHistogram {
    /// What is left below (`upper`) or above `limit`.
    #[must_use]
    pub(crate) fn trimmed(&self, limit: f64, upper: bool) -> FloatHistogram {
        let mut trimmed = self.clone();
        let mut tally = Tally {
            limit,
            upper,
            custom: self.is_custom(),
            ..Tally::default()
        };
        for bucket in trimmed
            .positive
            .iter_mut()
            .filter(|bucket| bucket.count != 0.0)
        {
            let range = self.positive_range(bucket);
            if self.is_custom() {
                tally.negative |= range.upper <= 0.0 || range.lower < 0.0;
                tally.positive |= range.upper > 0.0;
            } else {
                tally.positive = true;
            }
            bucket.count = tally.keep(&range, true);
        }
        for bucket in trimmed
            .negative
            .iter_mut()
            .filter(|bucket| bucket.count != 0.0)
        {
            tally.negative = true;
            bucket.count = tally.keep(&self.negative_range(bucket), false);
        }
        if self.zero_count > 0.0 {
            trimmed.zero_count = tally.keep_zero(self);
        }
        trimmed.count = tally.kept;
        trimmed.sum = tally.sum(self.sum);
        trimmed.compact();
        trimmed
    }
}

#[derive(Default)]
struct Tally {
    limit: f64,
    upper: bool,
    custom: bool,
    kept: f64,
    removed_sum: f64,
    /// Whether there are observations of either sign.
    positive: bool,
    negative: bool,
}

impl Tally {
    /// How much of a bucket stays.
    fn keep(&mut self, range: &Range, positive: bool) -> f64 {
        let limit = self.limit;
        let (mut kept, mut middle) = self.cut(range, positive);
        let (whole, cut) = if self.upper {
            (range.upper <= limit, range.lower < limit)
        } else {
            (range.lower >= limit, range.upper > limit)
        };
        if whole {
            kept = range.count;
        } else if cut {
            self.removed_sum += (range.count - kept) * middle;
        } else {
            if !self.custom {
                middle = (range.lower * range.upper).sqrt();
                if !positive {
                    middle = -middle;
                }
            }
            self.removed_sum += range.count * middle;
            kept = 0.0;
        }
        self.kept += kept;
        kept
    }

    /// The share that stays of a bucket that is cut, and the middle of what goes.
    fn cut(&self, range: &Range, positive: bool) -> (f64, f64) {
        let limit = self.limit;
        if range.lower == f64::NEG_INFINITY {
            return self.cut_lowest(range);
        }
        if range.upper == f64::INFINITY {
            let kept = if !self.upper && limit <= range.lower {
                range.count
            } else {
                0.0
            };
            return (kept, if kept > 0.0 { 0.0 } else { range.lower });
        }
        let below = count_below(range, limit, self.custom);
        let (kept, product) = if self.upper {
            (below, range.lower.abs() * limit.abs())
        } else {
            (range.count - below, limit.abs() * range.upper.abs())
        };
        let middle = match (self.custom, positive) {
            (true, _) => (range.lower + range.upper) / 2.0,
            (false, true) => product.sqrt(),
            (false, false) => -product.sqrt(),
        };
        (kept, middle)
    }

    /// The custom bucket without lower bound: where its values may be positive, it is taken to begin at zero.
    fn cut_lowest(&self, range: &Range) -> (f64, f64) {
        let (limit, bound) = (self.limit, range.upper);
        let from_zero = limit >= 0.0 && bound > limit && bound != f64::INFINITY;
        match self.upper {
            true if limit >= bound => (range.count, 0.0),
            true if from_zero => (range.count * limit / bound, (limit + bound) / 2.0),
            false if limit == f64::NEG_INFINITY => (range.count, 0.0),
            false if from_zero => (range.count * (1.0 - limit / bound), limit / 2.0),
            _ => (0.0, bound),
        }
    }

    fn keep_zero(&mut self, histogram: &FloatHistogram) -> f64 {
        let mut range = histogram.zero_range();
        if histogram.negative.is_empty() && !histogram.positive.is_empty() {
            range.lower = 0.0;
        } else if histogram.positive.is_empty() && !histogram.negative.is_empty() {
            range.upper = 0.0;
        }
        let below = count_below(&range, self.limit, true);
        let kept = if self.upper {
            below
        } else {
            range.count - below
        };
        self.kept += kept;
        kept
    }

    fn sum(&self, whole: f64) -> f64 {
        if self.kept == 0.0 {
            return 0.0;
        }
        let sum = whole - self.removed_sum;
        if (!self.negative && sum < 0.0) || (!self.positive && sum > 0.0) {
            0.0
        } else {
            sum
        }
    }
}

/// How many of a bucket's observations are at most `limit`.
fn count_below(range: &Range, limit: f64, linear: bool) -> f64 {
    if limit <= range.lower {
        0.0
    } else if limit >= range.upper {
        range.count
    } else {
        range.count * share_below(range, limit, linear)
    }
}

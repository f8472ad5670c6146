//! The trim operators: a histogram without what lies above (`</`) or below (`>/`) a value.
//!
//! A bucket that the value cuts keeps its interpolated share. The sum of what is left is estimated: every
//! observation is taken to be in the middle of the part of its bucket that stays. A histogram that loses nothing
//! keeps its sum.

use super::FloatHistogram;
use super::buckets::Range;
use super::quantile::share_below;

impl FloatHistogram {
    /// What is left below (`upper`) or above `limit`.
    #[must_use]
    pub fn trimmed(&self, limit: f64, upper: bool) -> FloatHistogram {
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
            bucket.count = tally.keep(&self.positive_range(bucket), Middle::Geometric(1.0));
        }
        for bucket in trimmed
            .negative
            .iter_mut()
            .filter(|bucket| bucket.count != 0.0)
        {
            bucket.count = tally.keep(&self.negative_range(bucket), Middle::Geometric(-1.0));
        }
        if self.zero_count > 0.0 {
            let mut range = self.zero_range();
            if self.negative.is_empty() && !self.positive.is_empty() {
                range.lower = 0.0;
            } else if self.positive.is_empty() && !self.negative.is_empty() {
                range.upper = 0.0;
            }
            trimmed.zero_count = tally.keep(&range, Middle::Arithmetic);
        }
        if !tally.changed {
            return self.clone();
        }
        trimmed.count = tally.count;
        trimmed.sum = tally.sum;
        trimmed.compact();
        trimmed
    }
}

/// Where the observations of a part of a bucket are taken to be.
#[derive(Clone, Copy)]
enum Middle {
    Arithmetic,
    /// With the sign of the side.
    Geometric(f64),
}

#[derive(Default)]
struct Tally {
    limit: f64,
    upper: bool,
    custom: bool,
    count: f64,
    sum: f64,
    /// Whether anything was taken away.
    changed: bool,
}

impl Tally {
    /// How much of a bucket stays.
    fn keep(&mut self, range: &Range, middle: Middle) -> f64 {
        let (kept, at) = if range.lower == f64::NEG_INFINITY || range.upper == f64::INFINITY {
            self.endless(range)
        } else {
            self.bounded(range, middle)
        };
        self.changed |= kept != range.count;
        self.count += kept;
        if kept != 0.0 {
            self.sum += kept * at;
        }
        kept
    }

    /// How much of a bucket with two bounds stays, and the middle of that.
    fn bounded(&self, range: &Range, middle: Middle) -> (f64, f64) {
        let limit = self.limit.clamp(range.lower, range.upper);
        let linear = self.custom || matches!(middle, Middle::Arithmetic);
        let below = if self.limit <= range.lower {
            0.0
        } else if self.limit >= range.upper {
            range.count
        } else {
            range.count * share_below(range, limit, linear)
        };
        let (kept, from, to) = match self.upper {
            true => (below, range.lower, limit),
            false => (range.count - below, limit, range.upper),
        };
        let at = match middle {
            Middle::Geometric(sign) if !self.custom => sign * (from * to).sqrt(),
            _ => (from + to) / 2.0,
        };
        (kept, at)
    }

    /// A custom bucket that reaches to infinity. Cut there it stays whole, its observations at the limit; the
    /// lowest one is taken to begin at zero where it may.
    fn endless(&self, range: &Range) -> (f64, f64) {
        let (limit, count) = (self.limit, range.count);
        let nothing = (0.0, 0.0);
        if range.lower == f64::NEG_INFINITY {
            let bound = range.upper;
            let from_zero = bound > 0.0 && bound != f64::INFINITY;
            let middle = if from_zero { bound / 2.0 } else { bound };
            let inside = from_zero && limit >= 0.0 && limit < bound;
            return match self.upper {
                true if limit >= bound => (count, middle),
                true if inside => (count * limit / bound, limit / 2.0),
                true if bound <= 0.0 && limit != f64::NEG_INFINITY => (count, limit),
                false if limit == f64::NEG_INFINITY => (count, middle),
                false if inside => (count * (1.0 - limit / bound), (limit + bound) / 2.0),
                _ => nothing,
            };
        }
        match self.upper {
            true if limit == f64::INFINITY => (count, range.lower),
            true => nothing,
            false if limit == f64::INFINITY => nothing,
            false => (count, limit.max(range.lower)),
        }
    }
}

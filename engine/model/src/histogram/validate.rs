//! What a histogram from outside must keep to be stored (rules: Prometheus model/histogram, `Validate`).

use super::FloatHistogram;

/// Buckets of one side of one histogram; what Prometheus' own limits call absurd.
pub const BUCKETS_MAX: usize = 16_384;

/// Schemas of exponential buckets.
pub const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

impl FloatHistogram {
    /// Checks that bounds and counts fit one another. `float_counts`: the counts may be rounded, so they need not add up.
    /// Error: what is wrong.
    pub fn validate(&self, float_counts: bool) -> Result<(), &'static str> {
        match self.is_custom() {
            true => self.check_custom()?,
            false if !EXPONENTIAL_SCHEMAS.contains(&self.schema) => {
                return Err("unknown schema; -4 to 8 and -53 are known");
            }
            false if !self.custom_bounds.is_empty() => {
                return Err("custom bounds with an exponential schema");
            }
            false => {}
        }
        if self.zero_threshold.is_nan() || self.zero_threshold < 0.0 {
            return Err("the zero threshold must not be negative");
        }
        let counts = || self.positive.iter().chain(self.negative.iter());
        if self.count < 0.0 || self.zero_count < 0.0 || counts().any(|b| b.count < 0.0) {
            return Err("a count is negative");
        }
        let sum: f64 = counts().map(|bucket| bucket.count).sum::<f64>() + self.zero_count;
        // Observations that are NaN are counted and in no bucket.
        let fits = match self.sum.is_nan() || float_counts {
            true => float_counts || sum <= self.count,
            false => sum == self.count,
        };
        match fits {
            true => Ok(()),
            false => Err("the buckets do not add up to the count"),
        }
    }

    fn check_custom(&self) -> Result<(), &'static str> {
        if self.zero_count != 0.0 || self.zero_threshold != 0.0 || !self.negative.is_empty() {
            return Err("custom buckets have no zero bucket and no negative side");
        }
        let bounds = &self.custom_bounds;
        if bounds.len() > BUCKETS_MAX || !bounds.is_sorted_by(|a, b| a < b) {
            return Err("custom bounds must ascend, and be no more than a histogram may have");
        }
        if bounds.iter().any(|bound| !bound.is_finite()) {
            return Err("custom bounds must be finite: the infinite one is implied");
        }
        let known = 0..=bounds.len() as i32;
        match self
            .positive
            .iter()
            .all(|bucket| known.contains(&bucket.index))
        {
            true => Ok(()),
            false => Err("a custom bucket has no bound"),
        }
    }
}

//! Native histograms as values: exponential and custom buckets, and their arithmetic.
//!
//! The positive and the negative side are sorted lists of (index, count), so that every operation is a merge of two sorted
//! sequences. Prometheus exchanges spans and counts; [`Buckets::from_spans`] and [`Buckets::spans`] translate.

mod add;
mod bounds;
mod buckets;
mod quantile;
mod reset;
mod text;
mod trim;
mod validate;

pub use add::Compensated;
pub use add::{Incompatible, Merged};
pub use buckets::{Bucket, Buckets, Range, Span};
pub use validate::{BUCKETS_MAX, EXPONENTIAL_SCHEMAS};

/// The schema of histograms with custom buckets.
pub const CUSTOM_SCHEMA: i32 = -53;

/// What is known about a counter reset between a histogram and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetHint {
    /// Nothing: they have to be compared.
    #[default]
    Unknown,
    /// A counter reset lies between them.
    Reset,
    /// No counter reset lies between them.
    NotReset,
    /// The histogram is a gauge.
    Gauge,
}

/// A histogram with float counts.
#[derive(Clone, Debug, Default)]
pub struct FloatHistogram {
    /// What is known about a counter reset before it.
    pub hint: ResetHint,
    /// Resolution: bounds are powers of `2^(2^-schema)`; or [`CUSTOM_SCHEMA`].
    pub schema: i32,
    /// Width of the zero bucket to each side.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Buckets above zero; all buckets where they are custom.
    pub positive: Buckets,
    /// Buckets below zero.
    pub negative: Buckets,
    /// Upper bounds of custom buckets, ascending, without the infinite one.
    pub custom_bounds: Vec<f64>,
}

impl FloatHistogram {
    /// Whether the bounds are custom.
    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }

    /// Multiplies everything but the bounds.
    pub fn multiply(&mut self, factor: f64) {
        self.each_count(|count| count * factor);
        if factor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    /// Divides everything but the bounds; division by zero leaves no buckets.
    pub fn divide(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.positive = Buckets::default();
            self.negative = Buckets::default();
        }
        self.each_count(|count| count / divisor);
        if divisor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    /// Everything but the bounds times `factor`.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> FloatHistogram {
        let mut scaled = self.clone();
        scaled.multiply(factor);
        scaled
    }

    /// Drops buckets that count nothing.
    pub fn compact(&mut self) {
        self.positive.compact();
        self.negative.compact();
    }

    /// Whether a count or the sum is infinite.
    pub fn has_overflow(&self) -> bool {
        let infinite = |buckets: &Buckets| buckets.iter().any(|bucket| bucket.count.is_infinite());
        self.zero_count.is_infinite()
            || self.count.is_infinite()
            || self.sum.is_infinite()
            || infinite(&self.positive)
            || infinite(&self.negative)
    }

    fn each_count(&mut self, change: impl Fn(f64) -> f64) {
        self.zero_count = change(self.zero_count);
        self.count = change(self.count);
        self.sum = change(self.sum);
        for bucket in self.positive.iter_mut().chain(self.negative.iter_mut()) {
            bucket.count = change(bucket.count);
        }
    }
}

impl PartialEq for FloatHistogram {
    /// The same data: counts by their bits, so that NaN equals itself. The reset hint is not data.
    fn eq(&self, other: &FloatHistogram) -> bool {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        self.schema == other.schema
            && same(self.count, other.count)
            && same(self.sum, other.sum)
            && self.zero_threshold == other.zero_threshold
            && same(self.zero_count, other.zero_count)
            && self.custom_bounds == other.custom_bounds
            && self.positive.same(&other.positive)
            && self.negative.same(&other.negative)
    }
}

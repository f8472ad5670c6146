//! Native histograms as values: spans and buckets, custom buckets included, and their arithmetic.
//!
//! Not built yet; the type is here so that samples have room for it.

/// A histogram with float counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {}

impl FloatHistogram {
    /// Every count times `factor`.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> FloatHistogram {
        let _ = factor;
        self.clone()
    }
}

//! Sums and differences, plain and compensated.
//!
//! Two exponential histograms meet at the lower resolution and at the wider zero bucket; two custom ones at the
//! bounds that both have. Other pairs do not add up.

use super::bounds::bound;
use super::buckets::{Bucket, Buckets};
use super::{FloatHistogram, ResetHint};
use crate::arithmetic::kahan_inc;

/// Exponential and custom buckets do not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incompatible;

/// What there is to say about a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// One histogram claims a counter reset and the other that there was none.
    pub reset_collision: bool,
    /// The custom bounds differed, and only the common ones are left.
    pub bounds_reconciled: bool,
}

impl FloatHistogram {
    /// Adds `other`.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Merged, Incompatible> {
        self.merge(other, 1.0)
    }

    /// Subtracts `other`.
    pub fn subtract(&mut self, other: &FloatHistogram) -> Result<Merged, Incompatible> {
        self.merge(other, -1.0)
    }

    fn merge(&mut self, other: &FloatHistogram, sign: f64) -> Result<Merged, Incompatible> {
        let (other, merged) = self.align(other, None)?;
        self.zero_count += sign * other.zero_count;
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        self.positive = merge_buckets(&self.positive, &other.positive, sign);
        self.negative = merge_buckets(&self.negative, &other.negative, sign);
        Ok(merged)
    }

    /// Brings both to a common layout: changes `self` (and its compensation) and answers what `other` is in it.
    fn align(
        &mut self,
        other: &FloatHistogram,
        mut compensation: Option<&mut FloatHistogram>,
    ) -> Result<(FloatHistogram, Merged), Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let mut merged = Merged {
            reset_collision: self.adjust_hint(other),
            bounds_reconciled: false,
        };
        let mut other = other.clone();
        if self.is_custom() {
            if self.custom_bounds != other.custom_bounds {
                merged.bounds_reconciled = true;
                let common = common_bounds(&self.custom_bounds, &other.custom_bounds);
                if let Some(compensation) = &mut compensation {
                    compensation.custom_bounds.clone_from(&self.custom_bounds);
                    compensation.rebound(&common);
                }
                self.rebound(&common);
                other.rebound(&common);
            }
            return Ok((other, merged));
        }
        while self.zero_threshold != other.zero_threshold {
            if self.zero_threshold > other.zero_threshold {
                other.widen_zero(self.zero_threshold, None);
            }
            if other.zero_threshold > self.zero_threshold {
                self.widen_zero(other.zero_threshold, compensation.as_deref_mut());
            }
        }
        let schema = self.schema.min(other.schema);
        if let Some(compensation) = compensation {
            compensation.reduce_resolution(schema);
        }
        self.reduce_resolution(schema);
        other.reduce_resolution(schema);
        Ok((other, merged))
    }

    /// The hint of a sum; true where the two contradict each other.
    fn adjust_hint(&mut self, other: &FloatHistogram) -> bool {
        use ResetHint as H;
        match (self.hint, other.hint) {
            (own, other) if own == other => false,
            (H::Gauge, _) => false,
            (_, H::Gauge) => {
                self.hint = H::Gauge;
                false
            }
            (H::Unknown, _) => false,
            (_, H::Unknown) => {
                self.hint = H::Unknown;
                false
            }
            _ => {
                self.hint = H::Unknown;
                true
            }
        }
    }

    /// Merges buckets until the schema is this one (which must not be a finer one).
    pub fn reduce_resolution(&mut self, schema: i32) {
        if self.is_custom() || schema >= self.schema {
            return;
        }
        let shift = (self.schema - schema).min(31);
        let map = |index: i32| ((index - 1) >> shift) + 1;
        self.positive = self.positive.mapped(map);
        self.negative = self.negative.mapped(map);
        self.schema = schema;
    }

    /// Keeps only these of the custom bounds.
    fn rebound(&mut self, common: &[f64]) {
        let old = std::mem::take(&mut self.custom_bounds);
        let map = |index: i32| {
            let upper = bound(index, self.schema, &old);
            common.partition_point(|bound| *bound < upper) as i32
        };
        self.positive = self.positive.mapped(map);
        self.custom_bounds = common.to_vec();
    }

    /// What the zero bucket would count if it reached to `threshold` (at least the present one), and to where it
    /// reaches then: a populated bucket that the threshold would cut is taken in whole.
    pub(super) fn zero_count_up_to(&self, mut threshold: f64) -> (f64, f64) {
        if threshold == self.zero_threshold {
            return (self.zero_count, threshold);
        }
        'again: loop {
            let mut count = self.zero_count;
            for bucket in self.positive.iter() {
                let range = self.positive_range(bucket);
                if range.lower >= threshold {
                    break;
                }
                count += bucket.count;
                if range.upper > threshold {
                    if bucket.count != 0.0 {
                        threshold = range.upper;
                    }
                    break;
                }
            }
            for bucket in self.negative.iter() {
                let range = self.negative_range(bucket);
                if range.upper <= -threshold {
                    break;
                }
                count += bucket.count;
                if range.lower < -threshold {
                    if bucket.count != 0.0 {
                        // The positive side must be looked at again.
                        threshold = -range.lower;
                        continue 'again;
                    }
                    break;
                }
            }
            return (count, threshold);
        }
    }

    fn widen_zero(&mut self, threshold: f64, compensation: Option<&mut FloatHistogram>) {
        let (count, threshold) = self.zero_count_up_to(threshold);
        let inside = |bucket: &Bucket| bound(bucket.index - 1, self.schema, &[]) < threshold;
        let outside = |buckets: &Buckets| {
            Buckets::from_sorted(
                buckets
                    .iter()
                    .filter(|b| !inside(b) && b.count != 0.0)
                    .copied()
                    .collect(),
            )
        };
        if let Some(compensation) = compensation {
            let taken = compensation
                .positive
                .iter()
                .chain(compensation.negative.iter())
                .filter(|b| inside(b));
            let taken: f64 = taken.map(|bucket| bucket.count).sum();
            let keep = |buckets: &Buckets| {
                Buckets::from_sorted(buckets.iter().filter(|b| !inside(b)).copied().collect())
            };
            compensation.zero_count += taken;
            compensation.positive = keep(&compensation.positive);
            compensation.negative = keep(&compensation.negative);
            compensation.zero_threshold = threshold;
        }
        let (positive, negative) = (outside(&self.positive), outside(&self.negative));
        (self.positive, self.negative) = (positive, negative);
        (self.zero_count, self.zero_threshold) = (count, threshold);
    }
}

/// Adds (or subtracts) bucket by bucket; a bucket that only one side has is that side's.
fn merge_buckets(left: &Buckets, right: &Buckets, sign: f64) -> Buckets {
    let mut merged = Vec::with_capacity(left.len().max(right.len()));
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => return Buckets::from_sorted(merged),
            (Some(a), Some(b)) if a.index == b.index => {
                merged.push(Bucket {
                    index: a.index,
                    count: a.count + sign * b.count,
                });
                left.next();
                right.next();
            }
            (Some(a), other) if other.is_none_or(|b| a.index < b.index) => {
                merged.push(**a);
                left.next();
            }
            (_, Some(b)) => {
                merged.push(Bucket {
                    index: b.index,
                    count: sign * b.count,
                });
                right.next();
            }
            (Some(_), None) => unreachable!("the arm above takes it"),
        }
    }
}

/// Bounds that both have.
fn common_bounds(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter()
        .copied()
        .filter(|bound| right.contains(bound))
        .collect()
}

/// A sum of histograms with the rounding errors of each of its numbers (Neumaier).
#[derive(Clone, Debug)]
pub struct Compensated {
    /// The sum so far, without the compensation.
    pub sum: FloatHistogram,
    /// In the layout of `sum`; absent before the first addition.
    compensation: Option<FloatHistogram>,
}

impl Compensated {
    /// Starts with one histogram.
    pub fn new(first: FloatHistogram) -> Compensated {
        Compensated {
            sum: first,
            compensation: None,
        }
    }

    /// Adds a histogram; layouts that cannot be merged (exponential and custom buckets) leave the sum as it was.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Merged, Incompatible> {
        let sum = &mut self.sum;
        if sum.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let mut compensation = self.compensation.take().unwrap_or_else(|| FloatHistogram {
            schema: sum.schema,
            zero_threshold: sum.zero_threshold,
            custom_bounds: sum.custom_bounds.clone(),
            hint: sum.hint,
            ..FloatHistogram::default()
        });
        let (other, merged) = sum.align(other, Some(&mut compensation))?;
        kahan_inc(
            other.zero_count,
            &mut sum.zero_count,
            &mut compensation.zero_count,
        );
        kahan_inc(other.count, &mut sum.count, &mut compensation.count);
        kahan_inc(other.sum, &mut sum.sum, &mut compensation.sum);
        inc_buckets(
            &other.positive,
            &mut sum.positive,
            &mut compensation.positive,
        );
        inc_buckets(
            &other.negative,
            &mut sum.negative,
            &mut compensation.negative,
        );
        self.compensation = Some(compensation);
        Ok(merged)
    }

    /// Multiplies all counts and the sum of observations.
    pub fn multiply(&mut self, factor: f64) {
        self.sum.multiply(factor);
        if let Some(compensation) = &mut self.compensation {
            compensation.multiply(factor);
        }
    }

    /// Divides all counts and the sum of observations.
    pub fn divide(&mut self, divisor: f64) {
        self.sum.divide(divisor);
        if let Some(compensation) = &mut self.compensation {
            compensation.divide(divisor);
        }
    }

    /// The sum with the collected rounding errors added.
    pub fn finish(mut self) -> FloatHistogram {
        if let Some(mut compensation) = self.compensation.take() {
            compensation.hint = self.sum.hint;
            compensation.schema = self.sum.schema;
            compensation.zero_threshold = self.sum.zero_threshold;
            // The layouts are the same, so this cannot fail.
            let _ = self.sum.add(&compensation);
        }
        self.sum
    }
}

fn inc_buckets(increments: &Buckets, sums: &mut Buckets, compensations: &mut Buckets) {
    let mut merged = Vec::with_capacity(sums.len().max(increments.len()));
    let mut errors = Vec::with_capacity(merged.capacity());
    for bucket in merge_buckets(sums, increments, 1.0).iter() {
        let index = bucket.index;
        let mut error = compensations.get(index).unwrap_or(0.0);
        let count = match (sums.get(index), increments.get(index)) {
            (Some(mut sum), Some(increment)) => {
                kahan_inc(increment, &mut sum, &mut error);
                sum
            }
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => 0.0,
        };
        merged.push(Bucket { index, count });
        errors.push(Bucket {
            index,
            count: error,
        });
    }
    *sums = Buckets::from_sorted(merged);
    *compensations = Buckets::from_sorted(errors);
}

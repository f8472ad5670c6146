//! Lists of buckets, spans, and walks over all buckets of a histogram in order of value.

use super::FloatHistogram;
use super::bounds::bound;

/// A run of buckets, as Prometheus exchanges histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Distance from the end of the span before; from 0 for the first.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// A count by index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Which bucket; its bounds follow from the schema.
    pub index: i32,
    /// Observations in it.
    pub count: f64,
}

/// The buckets of one side, strictly ascending by index.
#[derive(Clone, Debug, Default)]
pub struct Buckets(Vec<Bucket>);

impl Buckets {
    /// From pairs that are strictly ascending by index.
    pub fn from_sorted(buckets: Vec<Bucket>) -> Buckets {
        debug_assert!(buckets.is_sorted_by(|a, b| a.index < b.index));
        Buckets(buckets)
    }

    /// From spans and their counts. `None` where they do not fit each other.
    pub fn from_spans(spans: &[Span], counts: &[f64]) -> Option<Buckets> {
        let mut buckets = Vec::with_capacity(counts.len());
        let (mut index, mut counts) = (0i32, counts.iter());
        for (at, span) in spans.iter().enumerate() {
            if at > 0 && span.offset < 0 {
                return None;
            }
            index = index.checked_add(span.offset)?;
            for _ in 0..span.length {
                buckets.push(Bucket {
                    index,
                    count: *counts.next()?,
                });
                index = index.checked_add(1)?;
            }
        }
        counts.next().is_none().then_some(Buckets(buckets))
    }

    /// As spans; the counts are those of the buckets in order.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut next = 0;
        for bucket in &self.0 {
            match spans.last_mut() {
                Some(span) if bucket.index == next => span.length += 1,
                _ => spans.push(Span {
                    offset: bucket.index - next,
                    length: 1,
                }),
            }
            next = bucket.index + 1;
        }
        spans
    }

    /// In ascending order of index.
    pub fn iter(&self) -> std::slice::Iter<'_, Bucket> {
        self.0.iter()
    }

    /// In ascending order of index; the indices must stay as they are.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Bucket> {
        self.0.iter_mut()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn compact(&mut self) {
        self.0.retain(|bucket| bucket.count != 0.0);
    }

    pub(super) fn same(&self, other: &Buckets) -> bool {
        let key = |bucket: &Bucket| (bucket.index, bucket.count.to_bits());
        self.0.iter().map(key).eq(other.0.iter().map(key))
    }

    /// With every index mapped by a function that keeps the order; buckets that fall together are added up.
    #[must_use]
    pub(super) fn mapped(&self, map: impl Fn(i32) -> i32) -> Buckets {
        let mut merged: Vec<Bucket> = Vec::with_capacity(self.0.len());
        for bucket in &self.0 {
            let index = map(bucket.index);
            match merged.last_mut() {
                Some(last) if last.index == index => last.count += bucket.count,
                _ => merged.push(Bucket {
                    index,
                    count: bucket.count,
                }),
            }
        }
        Buckets(merged)
    }

    /// The count at `index`, if there is such a bucket.
    pub(super) fn get(&self, index: i32) -> Option<f64> {
        let at = self
            .0
            .binary_search_by_key(&index, |bucket| bucket.index)
            .ok()?;
        Some(self.0[at].count)
    }
}

/// A bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether the lower bound belongs to it.
    pub lower_inclusive: bool,
    /// Whether the upper bound belongs to it.
    pub upper_inclusive: bool,
    /// Observations in it.
    pub count: f64,
}

impl FloatHistogram {
    /// A bucket above zero, or a custom one.
    pub(super) fn positive_range(&self, bucket: &Bucket) -> Range {
        Range {
            lower: bound(bucket.index - 1, self.schema, &self.custom_bounds),
            upper: bound(bucket.index, self.schema, &self.custom_bounds),
            lower_inclusive: self.is_custom() && bucket.index == 0,
            upper_inclusive: true,
            count: bucket.count,
        }
    }

    /// A bucket below zero.
    pub(super) fn negative_range(&self, bucket: &Bucket) -> Range {
        Range {
            lower: -bound(bucket.index, self.schema, &self.custom_bounds),
            upper: -bound(bucket.index - 1, self.schema, &self.custom_bounds),
            lower_inclusive: true,
            upper_inclusive: false,
            count: bucket.count,
        }
    }

    /// The zero bucket.
    pub(super) fn zero_range(&self) -> Range {
        Range {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// All buckets in ascending order of value: below zero, zero (where it counts anything), above. Buckets that
    /// overlap the zero bucket end where it begins.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = Range> + '_ {
        let threshold = self.zero_threshold;
        let negative = self.negative.iter().rev().map(move |bucket| {
            let mut range = self.negative_range(bucket);
            if range.upper > -threshold {
                range.upper = -threshold;
            }
            range
        });
        let zero = (self.zero_count > 0.0).then(|| self.zero_range());
        let positive = self.positive.iter().map(move |bucket| {
            let mut range = self.positive_range(bucket);
            if !self.is_custom() && range.lower < threshold {
                range.lower = threshold;
            }
            range
        });
        negative.chain(zero).chain(positive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_buckets_are_inverse() {
        let spans = [
            Span {
                offset: -3,
                length: 2,
            },
            Span {
                offset: 4,
                length: 1,
            },
        ];
        let buckets = Buckets::from_spans(&spans, &[1.0, 0.0, 2.0]).expect("they fit");
        let indices: Vec<i32> = buckets.iter().map(|bucket| bucket.index).collect();
        assert_eq!(indices, [-3, -2, 3]);
        assert_eq!(buckets.spans(), spans);
        assert!(Buckets::from_spans(&spans, &[1.0]).is_none());
        assert!(Buckets::from_spans(&spans, &[1.0; 4]).is_none());
    }
}

//! The windows of a series cut into segments: between two neighbouring edges of windows the samples belong to the same
//! windows. What can be put together from parts (extremes, exact sums) is computed once a segment, at memory speed, and
//! windows then look at segments instead of samples.

use crate::eval::{RangeSamples, Seek, Windows};

/// Windows, segments and the edges between these. Memory is reused from series to series.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// Step, first sample, sample behind the last: of windows that have samples.
    pub(super) windows: Vec<Window>,
    /// Indices of samples, strictly ascending: segment `i` is `edges[i]..edges[i + 1]`.
    pub(super) edges: Vec<u32>,
}

/// A window that has samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(super) step: usize,
    pub(super) from: u32,
    pub(super) to: u32,
}

/// Calls `at` with the step and the indices of each window that has samples.
#[inline]
pub(super) fn each_window(
    samples: &RangeSamples,
    windows: &Windows,
    mut at: impl FnMut(usize, usize, usize),
) {
    let times = samples.times.as_slice();
    let (mut starts, mut ends) = (Seek::default(), Seek::default());
    for step in 0..windows.grid.count {
        let end_ms = windows.end_ms(step);
        let to = ends.past(times, end_ms);
        let from = starts.past(times, end_ms.saturating_sub(windows.range_ms));
        if from < to {
            at(step, from, to);
        }
    }
}

impl Segments {
    /// Cuts the samples of a series.
    pub(super) fn cut(&mut self, samples: &RangeSamples, windows: &Windows) {
        self.windows.clear();
        let found = &mut self.windows;
        each_window(samples, windows, |step, from, to| {
            found.push(Window {
                step,
                from: from as u32,
                to: to as u32,
            });
        });
        // Both edges ascend; so does their union.
        self.edges.clear();
        let (mut starts, mut ends) = (self.windows.iter(), self.windows.iter());
        let (mut start, mut end) = (starts.next(), ends.next());
        while let Some(by_end) = end {
            let edge = match start {
                Some(by_start) if by_start.from <= by_end.to => {
                    start = starts.next();
                    by_start.from
                }
                _ => {
                    end = ends.next();
                    by_end.to
                }
            };
            if self.edges.last() != Some(&edge) {
                self.edges.push(edge);
            }
        }
    }

    /// Calls `at` with each window and the numbers of its first segment and of the one behind its last.
    #[inline]
    pub(super) fn each(&self, mut at: impl FnMut(Window, usize, usize)) {
        let (mut first, mut behind) = (0, 0);
        for window in &self.windows {
            while self.edges[first] < window.from {
                first += 1;
            }
            while self.edges[behind] < window.to {
                behind += 1;
            }
            at(*window, first, behind);
        }
    }

    /// Calls `of` with the samples of each segment, in order.
    #[inline]
    pub(super) fn fold(&self, values: &[f64], mut of: impl FnMut(&[f64])) {
        for edges in self.edges.windows(2) {
            of(&values[edges[0] as usize..edges[1] as usize]);
        }
    }
}

/// Samples that are looked at side by side.
const LANES: usize = 4;

/// The first of the values that no other one beats, by `>` or `<`. There is one at least, and none is a NaN.
#[inline]
pub(super) fn extreme(values: &[f64], beats: impl Fn(f64, f64) -> bool + Copy) -> f64 {
    let choose = |best: f64, value: f64| if beats(value, best) { value } else { best };
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [values[0]; LANES];
    for chunk in chunks {
        for (best, value) in lanes.iter_mut().zip(chunk) {
            *best = choose(*best, *value);
        }
    }
    let best = lanes.iter().chain(rest).copied().fold(values[0], choose);
    let is_negative_zero = |value: &f64| value.to_bits() == (-0.0f64).to_bits();
    if best == 0.0
        && values
            .iter()
            .fold(false, |any, value| any | is_negative_zero(value))
    {
        // Of 0 and -0 the first one counts, and lanes do not know which came first.
        return values.iter().copied().fold(values[0], choose);
    }
    best
}

/// The largest whole number that has no neighbour less than one apart.
const WHOLE_MAX: f64 = 4_503_599_627_370_496.0;

/// The sum of the values, where all are whole and no sum of any of them, in whatever order, is rounded. `magnitude` is that
/// of what was summed up before.
#[inline]
pub(super) fn exact_sum(values: &[f64], magnitude: &mut f64) -> Option<f64> {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    let mut magnitudes = [0.0; LANES];
    let mut is_whole = [true; LANES];
    let mut rest_lanes = [0.0; LANES];
    rest_lanes[..rest.len()].copy_from_slice(rest);
    for chunk in chunks.iter().chain(std::iter::once(&rest_lanes)) {
        for lane in 0..LANES {
            let (value, size) = (chunk[lane], chunk[lane].abs());
            // Above 2^52 a sum has no places behind the point.
            is_whole[lane] &= (size + WHOLE_MAX) - WHOLE_MAX == size;
            sums[lane] += value;
            magnitudes[lane] += size;
        }
    }
    *magnitude += magnitudes.iter().sum::<f64>();
    let exact = is_whole.iter().all(|whole| *whole) && *magnitude < WHOLE_MAX;
    exact.then(|| sums.iter().sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-3i32..3).prop_map(f64::from),
            any::<f64>().prop_filter("a number", |value| !value.is_nan()),
            Just(-0.0),
        ]
    }

    proptest! {
        #[test]
        fn lanes_find_the_first_extreme(values in prop::collection::vec(any_value(), 1..40)) {
            let mut best = values[0];
            for value in &values {
                if *value > best {
                    best = *value;
                }
            }
            prop_assert_eq!(extreme(&values, |value, best| value > best).to_bits(), best.to_bits());
        }

        #[test]
        fn a_sum_is_exact_or_none(values in prop::collection::vec(any_value(), 0..40)) {
            if let Some(sum) = exact_sum(&values, &mut 0.0) {
                let exact: i128 = values.iter().map(|value| *value as i128).sum();
                prop_assert_eq!(sum, exact as f64);
                prop_assert!(values.iter().all(|value| value.fract() == 0.0));
            }
        }

        #[test]
        fn whole_numbers_have_exact_sums(values in prop::collection::vec(-1_000_000i32..1_000_000, 0..40)) {
            let floats: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            let sum: i64 = values.iter().map(|value| i64::from(*value)).sum();
            prop_assert_eq!(exact_sum(&floats, &mut 0.0), Some(sum as f64));
        }
    }
}

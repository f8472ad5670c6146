//! Compensated sums of overlapping windows, several of them at a time.
//!
//! Each window adds its samples in their order, as Prometheus does, so every sum has the bits of Prometheus' sum. An
//! addition waits for the one before it, so windows are added up side by side: those that share a segment take its
//! samples together.

use super::segments::Segments;

/// Windows that are added up side by side.
const LANES: usize = 4;

/// Sums and compensations, a place per window. Memory is reused from series to series.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    sums: Vec<f64>,
    compensations: Vec<f64>,
}

impl Sums {
    /// Adds up the samples of every window. A sum that is not finite says nothing: what its window shows depends on where
    /// it became so.
    pub(super) fn fill(&mut self, segments: &Segments, values: &[f64]) {
        let windows = segments.windows.as_slice();
        for places in [&mut self.sums, &mut self.compensations] {
            places.clear();
            places.resize(windows.len(), 0.0);
        }
        let (mut oldest, mut behind) = (0, 0);
        for edges in segments.edges.windows(2) {
            while behind < windows.len() && windows[behind].from <= edges[0] {
                behind += 1;
            }
            while oldest < behind && windows[oldest].to <= edges[0] {
                oldest += 1;
            }
            let values = &values[edges[0] as usize..edges[1] as usize];
            let mut at = oldest;
            while at + LANES <= behind {
                self.add::<LANES>(at, values);
                at += LANES;
            }
            while at < behind {
                self.add::<1>(at, values);
                at += 1;
            }
        }
    }

    /// Sum and compensation of a window.
    pub(super) fn of(&self, window: usize) -> (f64, f64) {
        (self.sums[window], self.compensations[window])
    }

    #[inline]
    fn add<const N: usize>(&mut self, at: usize, values: &[f64]) {
        let mut sums = [0.0; N];
        let mut compensations = [0.0; N];
        sums.copy_from_slice(&self.sums[at..at + N]);
        compensations.copy_from_slice(&self.compensations[at..at + N]);
        for &value in values {
            for lane in 0..N {
                // `kahan_inc` without a branch, for sums that are finite.
                let sum = sums[lane];
                let total = sum + value;
                let sum_is_larger = sum.abs() >= value.abs();
                let larger = if sum_is_larger { sum } else { value };
                let smaller = if sum_is_larger { value } else { sum };
                compensations[lane] += (larger - total) + smaller;
                sums[lane] = total;
            }
        }
        self.sums[at..at + N].copy_from_slice(&sums);
        self.compensations[at..at + N].copy_from_slice(&compensations);
    }
}

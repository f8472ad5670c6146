//! Compensated sums of overlapping windows, several of them at a time.
//!
//! Each window adds its samples in their order, as Prometheus does, so every sum has the bits of Prometheus' sum. An
//! addition waits for the one before it, so windows are added up side by side: those that share a segment take its
//! samples together.

use stillwell_model::arithmetic::kahan_inc_finite;

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
    /// Adds up the samples of every window. `added` is told how many samples were added up since it was last asked, and
    /// answers whether to go on.
    pub(super) fn fill<E>(
        &mut self,
        segments: &Segments,
        values: &[f64],
        mut added: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<(), E> {
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
            added(values.len() * (behind - oldest))?;
        }
        Ok(())
    }

    /// Sum and compensation of a window. `None` where they are not finite: what the window shows depends on where they
    /// became so.
    pub(super) fn of(&self, window: usize) -> Option<(f64, f64)> {
        let (sum, compensation) = (self.sums[window], self.compensations[window]);
        (sum.is_finite() && compensation.is_finite()).then_some((sum, compensation))
    }

    #[inline]
    fn add<const N: usize>(&mut self, at: usize, values: &[f64]) {
        let mut sums = [0.0; N];
        let mut compensations = [0.0; N];
        sums.copy_from_slice(&self.sums[at..at + N]);
        compensations.copy_from_slice(&self.compensations[at..at + N]);
        for &value in values {
            for lane in 0..N {
                kahan_inc_finite(value, &mut sums[lane], &mut compensations[lane]);
            }
        }
        self.sums[at..at + N].copy_from_slice(&sums);
        self.compensations[at..at + N].copy_from_slice(&compensations);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stillwell_model::arithmetic::kahan_inc;

    use super::super::segments::Window;
    use super::*;

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>(),
            (-1e6..1e6f64),
            (-1e300..1e300f64),
            (-1e-300..1e-300f64),
            (-5i32..5).prop_map(f64::from),
            Just(-0.0),
        ]
    }

    proptest! {
        #[test]
        fn windows_side_by_side_have_the_sums_of_each_alone(
            values in prop::collection::vec(any_value(), 1..60), len in 1usize..20, stride in 1usize..6
        ) {
            let starts = (0..values.len()).step_by(stride);
            let windows: Vec<Window> = starts
                .map(|from| Window { step: 0, from: from as u32, to: (from + len).min(values.len()) as u32 })
                .collect();
            let mut edges: Vec<u32> = windows.iter().flat_map(|window| [window.from, window.to]).collect();
            edges.sort_unstable();
            edges.dedup();
            let segments = Segments { windows, edges };
            let mut sums = Sums::default();
            let go_on = |_| Ok::<(), std::convert::Infallible>(());
            let Ok(()) = sums.fill(&segments, &values, go_on);
            for (at, window) in segments.windows.iter().enumerate() {
                let (mut sum, mut compensation) = (0.0, 0.0);
                for value in &values[window.from as usize..window.to as usize] {
                    kahan_inc(*value, &mut sum, &mut compensation);
                }
                if let Some((got, got_compensation)) = sums.of(at) {
                    prop_assert_eq!(got.to_bits(), sum.to_bits());
                    prop_assert_eq!(got_compensation.to_bits(), compensation.to_bits());
                }
            }
        }
    }
}

//! Thinning out (`write_interval`): of all samples of a series within an interval the last one, and where it is asked for the
//! least and the greatest. A receiver then keeps a series of 100 ms scrapes for the price of one of 15 s.
//!
//! Samples keep their own times. A counter loses nothing but a reset that more resets follow within the interval; a stale
//! marker is sent where nothing came after it.

use stillwell_engine::promql::select::{Samples, is_stale};

/// Keeps the last sample of each interval of so many milliseconds.
pub(super) fn last(samples: &Samples, interval_ms: i64, out: &mut Samples) {
    out.clear();
    each(samples, interval_ms, |range| {
        let last = range.end - 1;
        push(samples, last, samples.values[last], out);
    });
}

/// Keeps the least or the greatest float of each interval, at the time of its last sample. Intervals without a float, and
/// those that end in a stale marker, have the stale marker or nothing.
pub(super) fn extreme(samples: &Samples, interval_ms: i64, greatest: bool, out: &mut Samples) {
    out.clear();
    each(samples, interval_ms, |range| {
        let last = range.end - 1;
        if is_stale(samples.values[last]) {
            return push(samples, last, samples.values[last], out);
        }
        let is_float = |at: &usize| !samples.histograms.get(*at).is_some_and(Option::is_some);
        let floats = range.filter(is_float).map(|at| samples.values[at]);
        let floats = floats.filter(|value| !is_stale(*value));
        let beats = |one: f64, other: f64| match greatest {
            true => one > other || other.is_nan(),
            false => one < other || other.is_nan(),
        };
        let best = floats.reduce(|best, value| if beats(value, best) { value } else { best });
        if let Some(best) = best {
            out.times_ms.push(samples.times_ms[last]);
            out.values.push(best);
        }
    });
}

/// Calls `visit` with the places of the samples of each interval.
fn each(samples: &Samples, interval_ms: i64, mut visit: impl FnMut(std::ops::Range<usize>)) {
    let interval = |at: usize| samples.times_ms[at].div_euclid(interval_ms.max(1));
    let mut from = 0;
    while from < samples.times_ms.len() {
        let mut end = from + 1;
        while end < samples.times_ms.len() && interval(end) == interval(from) {
            end += 1;
        }
        visit(from..end);
        from = end;
    }
}

fn push(samples: &Samples, at: usize, value: f64, out: &mut Samples) {
    let histogram = samples.histograms.get(at).cloned().flatten();
    if histogram.is_some() || !out.histograms.is_empty() {
        out.histograms.resize(out.times_ms.len(), None);
        out.histograms.push(histogram);
    }
    out.times_ms.push(samples.times_ms[at]);
    out.values.push(value);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stillwell_engine::histogram::FloatHistogram;
    use stillwell_engine::promql::select::STALE_NAN_BITS;

    use super::*;

    const STALE: f64 = f64::from_bits(STALE_NAN_BITS);

    fn samples(list: &[(i64, f64)]) -> Samples {
        Samples {
            times_ms: list.iter().map(|(at, _)| *at).collect(),
            values: list.iter().map(|(_, value)| *value).collect(),
            ..Samples::default()
        }
    }

    fn list(samples: &Samples) -> Vec<(i64, u64)> {
        let values = samples.values.iter().map(|value| value.to_bits());
        samples.times_ms.iter().copied().zip(values).collect()
    }

    #[test]
    fn each_interval_has_one_sample() {
        for (given, last_of, least, greatest) in [
            (vec![], vec![], vec![], vec![]),
            (
                vec![
                    (0, 5.0),
                    (9, 1.0),
                    (10, 2.0),
                    (11, 7.0),
                    (12, 3.0),
                    (35, 4.0),
                ],
                vec![(9, 1.0), (12, 3.0), (35, 4.0)],
                vec![(9, 1.0), (12, 2.0), (35, 4.0)],
                vec![(9, 5.0), (12, 7.0), (35, 4.0)],
            ),
            (
                vec![
                    (-3, 1.0),
                    (0, 2.0),
                    (1, STALE),
                    (10, STALE),
                    (11, 3.0),
                    (20, f64::NAN),
                    (21, 6.0),
                ],
                vec![(-3, 1.0), (1, STALE), (11, 3.0), (21, 6.0)],
                vec![(-3, 1.0), (1, STALE), (11, 3.0), (21, 6.0)],
                vec![(-3, 1.0), (1, STALE), (11, 3.0), (21, 6.0)],
            ),
        ] {
            let given = samples(&given);
            let mut out = Samples::default();
            last(&given, 10, &mut out);
            assert_eq!(list(&out), list(&samples(&last_of)));
            extreme(&given, 10, false, &mut out);
            assert_eq!(list(&out), list(&samples(&least)));
            extreme(&given, 10, true, &mut out);
            assert_eq!(list(&out), list(&samples(&greatest)));
        }
    }

    #[test]
    fn histograms_stay_with_their_samples() {
        let native = Arc::new(FloatHistogram::default());
        let given = Samples {
            histograms: vec![None, Some(Arc::clone(&native)), Some(native), None],
            ..samples(&[(1, 1.0), (5, 0.0), (15, 0.0), (25, 2.0)])
        };
        let mut out = Samples::default();
        last(&given, 10, &mut out);
        let kinds: Vec<bool> = out.histograms.iter().map(Option::is_some).collect();
        assert_eq!(
            (out.times_ms.clone(), kinds),
            (vec![5, 15, 25], vec![true, true, false])
        );
        extreme(&given, 10, true, &mut out);
        assert_eq!(list(&out), [(5, 1.0f64.to_bits()), (25, 2.0f64.to_bits())]);
    }
}

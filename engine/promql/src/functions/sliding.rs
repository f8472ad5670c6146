//! Range functions over overlapping windows: state is carried from one window to the next wherever the result stays
//! equal bit for bit. Only for float series without `anchored` or `smoothed`; everything else is computed window by
//! window.
//!
//! * `rate`, `increase`, `delta`: first and last sample, and the few resets between them.
//! * `max_over_time`, `min_over_time`: a queue of candidates, each segment (`segments`) entering and leaving it once.
//! * `sum_over_time`, `avg_over_time`: sums of segments, where all values are whole numbers small enough that no sum of
//!   them rounds; compensated sums are exact there too, so both agree. Elsewhere compensated sums (`sums`).
//! * `changes`, `resets`: running counts.
//!
//! Budget: about 5 ns a step and 1 ns a sample, whatever the window's length; compensated sums 1 ns a sample and window.

use crate::QueryError;
use crate::eval::{Column, RangeSamples, Windows};

use super::over_time;
use super::rate::{Edges, Extent};
use super::segments::{self, Segments, each_window};
use super::window::{Call, Scratch, counter_and_per_second};
use crate::plan::FunctionId;

/// Fills the column; false where the function or the samples are not of the kind.
pub(super) fn fill(
    call: &Call<'_, '_>,
    samples: &RangeSamples,
    windows: &Windows,
    metric: &str,
    scratch: &mut Scratch,
    out: &mut Column,
) -> Result<bool, QueryError> {
    use FunctionId as F;
    let values = samples.values.as_slice();
    match call.id {
        F::Rate | F::Increase | F::Delta => rate(call, samples, windows, metric, scratch, out),
        F::MaxOverTime => extreme(samples, windows, scratch, out, |value, best| value > best),
        F::MinOverTime => extreme(samples, windows, scratch, out, |value, best| value < best),
        F::SumOverTime | F::AvgOverTime => sums(call, samples, windows, scratch, out)?,
        F::Changes | F::Resets => {
            let resets = call.id == F::Resets;
            let counts = &mut scratch.indices;
            counts.clear();
            counts.push(0);
            let mut count = 0;
            counts.extend(values.windows(2).map(|pair| {
                count += u32::from(over_time::is_transition(resets, pair[0], pair[1]));
                count
            }));
            each_window(samples, windows, |step, from, to| {
                out.floats[step] = f64::from(counts[to - 1] - counts[from]);
            });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn rate(
    call: &Call<'_, '_>,
    samples: &RangeSamples,
    windows: &Windows,
    metric: &str,
    scratch: &mut Scratch,
    out: &mut Column,
) {
    let (counter, _) = counter_and_per_second(call.id);
    let (times, values) = (samples.times.as_slice(), samples.values.as_slice());
    let resets = &mut scratch.indices;
    resets.clear();
    // Most series have none, which is seen many samples at a time.
    let pairs = values.iter().zip(values.get(1..).unwrap_or_default());
    if counter && pairs.fold(0u64, |any, (before, now)| any | u64::from(now < before)) > 0 {
        let falls = values
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| pair[1] < pair[0]);
        resets.extend(falls.map(|(at, _)| at as u32 + 1));
    }
    let mut first_reset = 0;
    let range_seconds = call.window_edges(windows, metric)(0).range_seconds;
    let mut known = Edges::default();
    each_window(samples, windows, |step, from, to| {
        if to - from < 2 {
            return;
        }
        let mut result = values[to - 1] - values[from];
        while first_reset < resets.len() && resets[first_reset] as usize <= from {
            first_reset += 1;
        }
        for reset in &resets[first_reset..] {
            if *reset as usize >= to {
                break;
            }
            result += values[*reset as usize - 1];
        }
        let extent = Extent {
            first_ms: times[from],
            last_ms: times[to - 1],
            intervals: to - from - 1,
            first_count: values[from],
            difference: result,
        };
        let end_ms = windows.end_ms(step);
        let window_ms = (end_ms.saturating_sub(windows.range_ms), end_ms);
        let factor = known.factor(call.id, &extent, window_ms, range_seconds);
        out.floats[step] = result * factor;
    });
}

/// Whether `max_over_time`, else `min_over_time`, can never be `back` again once `new` is there.
#[inline]
pub fn is_dominated(max: bool, back: f64, new: f64) -> bool {
    if max { back < new } else { back > new }
}

fn extreme(
    samples: &RangeSamples,
    windows: &Windows,
    scratch: &mut Scratch,
    out: &mut Column,
    beats: impl Fn(f64, f64) -> bool + Copy,
) {
    let values = samples.values.as_slice();
    if values.iter().fold(false, |any, value| any | value.is_nan()) {
        return extreme_beside_nans(samples, windows, scratch, out, beats);
    }
    let Scratch {
        segments,
        totals,
        indices: queue,
        ..
    } = scratch;
    segments.cut(samples, windows);
    totals.clear();
    segments.fold(values, |values| {
        totals.push(segments::extreme(values, beats));
    });
    queue.clear();
    let (mut head, mut seen) = (0, 0);
    segments.each(|window, first, behind| {
        for segment in seen.max(first)..behind {
            let value = totals[segment];
            while queue.len() > head && beats(value, totals[queue[queue.len() - 1] as usize]) {
                queue.pop();
            }
            queue.push(segment as u32);
        }
        seen = behind;
        while head < queue.len() && (queue[head] as usize) < first {
            head += 1;
        }
        if let Some(at) = queue.get(head) {
            out.floats[window.step] = totals[*at as usize];
        }
    });
}

/// The same sample by sample: NaNs count only where there is nothing else.
fn extreme_beside_nans(
    samples: &RangeSamples,
    windows: &Windows,
    scratch: &mut Scratch,
    out: &mut Column,
    beats: impl Fn(f64, f64) -> bool,
) {
    let values = samples.values.as_slice();
    let queue = &mut scratch.indices;
    queue.clear();
    let (mut head, mut seen) = (0, 0);
    each_window(samples, windows, |step, from, to| {
        while seen < to {
            let value = values[seen];
            if !value.is_nan() {
                while queue.len() > head && beats(value, values[queue[queue.len() - 1] as usize]) {
                    queue.pop();
                }
                queue.push(seen as u32);
            }
            seen += 1;
        }
        while head < queue.len() && (queue[head] as usize) < from {
            head += 1;
        }
        // Only NaNs: the last one, as a loop over them would end with.
        out.floats[step] = queue
            .get(head)
            .map_or(values[to - 1], |at| values[*at as usize]);
    });
}

/// `sum_over_time` and `avg_over_time`.
fn sums(
    call: &Call<'_, '_>,
    samples: &RangeSamples,
    windows: &Windows,
    scratch: &mut Scratch,
    out: &mut Column,
) -> Result<(), QueryError> {
    let values = samples.values.as_slice();
    let Scratch {
        segments,
        totals,
        sums,
        ..
    } = scratch;
    segments.cut(samples, windows);
    let average = call.id == FunctionId::AvgOverTime;
    if running_totals(segments, values, totals) {
        segments.each(|window, first, behind| {
            let sum = totals[behind] - totals[first];
            out.floats[window.step] = if average {
                sum / f64::from(window.to - window.from)
            } else {
                sum
            };
        });
        return Ok(());
    }
    sums.fill(segments, values, |added| call.eval.poll_after(added))?;
    for (at, window) in segments.windows.iter().enumerate() {
        let values = &values[window.from as usize..window.to as usize];
        let count = values.len() as f64;
        out.floats[window.step] = match (sums.of(at), average) {
            (Some((sum, compensation)), false) => sum + compensation,
            (Some((sum, compensation)), true) => sum / count + compensation / count,
            (None, false) => over_time::sum(values),
            (None, true) => over_time::average(values),
        };
        if sums.of(at).is_none() {
            call.eval.poll_after(values.len())?;
        }
    }
    Ok(())
}

/// Sums of segments from the start, where they are all exact.
fn running_totals(segments: &Segments, values: &[f64], totals: &mut Vec<f64>) -> bool {
    totals.clear();
    totals.push(0.0);
    let (mut total, mut magnitude) = (0.0, 0.0);
    for edges in segments.edges.windows(2) {
        let values = &values[edges[0] as usize..edges[1] as usize];
        let Some(sum) = segments::exact_sum(values, &mut magnitude) else {
            return false;
        };
        total += sum;
        totals.push(total);
    }
    true
}

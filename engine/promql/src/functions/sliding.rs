//! Range functions over overlapping windows: state is carried from one window to the next wherever the result stays
//! equal bit for bit. Only for float series without `anchored` or `smoothed`; everything else is computed window by
//! window.
//!
//! * `rate`, `increase`, `delta`: first and last sample, and the few resets between them.
//! * `max_over_time`, `min_over_time`: a queue of candidates, each sample entering and leaving it once.
//! * `sum_over_time`, `avg_over_time`: running totals, where all values are whole numbers small enough that no sum of
//!   them rounds; compensated sums are exact there too, so both agree.
//! * `changes`, `resets`: running counts.
//!
//! Budget: about 5 ns a step and 2 ns a sample, whatever the window's length.

use crate::eval::{Column, RangeSamples, Windows};

use super::over_time;
use super::rate::Extent;
use super::window::{Call, Scratch, counter_and_per_second};
use crate::plan::FunctionId;

/// Whole numbers up to here, and sums of them, are exact.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Fills the column; false where the function or the samples are not of the kind.
pub(super) fn fill(
    call: &Call<'_, '_>,
    samples: &RangeSamples,
    windows: &Windows,
    metric: &str,
    scratch: &mut Scratch,
    out: &mut Column,
) -> bool {
    use FunctionId as F;
    let values = samples.values.as_slice();
    match call.id {
        F::Rate | F::Increase | F::Delta => rate(call, samples, windows, metric, scratch, out),
        F::MaxOverTime => extreme(samples, windows, scratch, out, |back, new| {
            is_dominated(true, back, new)
        }),
        F::MinOverTime => extreme(samples, windows, scratch, out, |back, new| {
            is_dominated(false, back, new)
        }),
        F::SumOverTime | F::AvgOverTime => {
            if !running_totals(values, &mut scratch.totals) {
                return false;
            }
            let (totals, average) = (&scratch.totals, call.id == F::AvgOverTime);
            each_window(samples, windows, |step, from, to| {
                let sum = totals[to] - totals[from];
                out.floats[step] = if average {
                    sum / (to - from) as f64
                } else {
                    sum
                };
            });
        }
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
        _ => return false,
    }
    true
}

/// Calls `at` with the step and the indices of each window that has samples.
fn each_window(samples: &RangeSamples, windows: &Windows, mut at: impl FnMut(usize, usize, usize)) {
    let times = samples.times.as_slice();
    let (mut from, mut to) = (0, 0);
    for step in 0..windows.grid.count {
        let end_ms = windows.end_ms(step);
        let start_ms = end_ms.saturating_sub(windows.range_ms);
        while to < times.len() && times[to] <= end_ms {
            to += 1;
        }
        while from < to && times[from] <= start_ms {
            from += 1;
        }
        if from < to {
            at(step, from, to);
        }
    }
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
    if counter {
        let falls = values
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| pair[1] < pair[0]);
        resets.extend(falls.map(|(at, _)| at as u32 + 1));
    }
    let mut first_reset = 0;
    let edges = call.window_edges(windows, metric);
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
        let mut extent = Extent {
            first_ms: times[from],
            last_ms: times[to - 1],
            intervals: to - from - 1,
            first_count: values[from],
            difference: result,
        };
        if let Some((factor, _)) = extent.factor(call.id, &edges(step), &[]) {
            out.floats[step] = result * factor;
        }
    });
}

/// Whether `max_over_time`, else `min_over_time`, can never be `back` again once `new` is there.
#[inline]
pub fn is_dominated(max: bool, back: f64, new: f64) -> bool {
    if max { back < new } else { back > new }
}

/// `is_dominated(back, new)`: whether a candidate can never be the extreme again once `new` is there.
fn extreme(
    samples: &RangeSamples,
    windows: &Windows,
    scratch: &mut Scratch,
    out: &mut Column,
    is_dominated: impl Fn(f64, f64) -> bool,
) {
    let values = samples.values.as_slice();
    let queue = &mut scratch.indices;
    queue.clear();
    let (mut head, mut seen) = (0, 0);
    each_window(samples, windows, |step, from, to| {
        while seen < to {
            let value = values[seen];
            if !value.is_nan() {
                while queue.len() > head
                    && is_dominated(values[queue[queue.len() - 1] as usize], value)
                {
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

/// Sums from the start, where they are all exact.
fn running_totals(values: &[f64], totals: &mut Vec<f64>) -> bool {
    totals.clear();
    totals.push(0.0);
    let (mut total, mut magnitude) = (0.0, 0.0);
    for value in values {
        magnitude += value.abs();
        if value.trunc() != *value || magnitude > EXACT_MAX {
            return false;
        }
        total += value;
        totals.push(total);
    }
    true
}

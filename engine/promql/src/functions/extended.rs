//! `anchored` and `smoothed`: the difference between values *at* the window's edges. Anchored takes the last sample
//! before the window for its start; smoothed interpolates at both edges.

use std::sync::Arc;

use crate::eval::Point;
use crate::plan::Edges;
use stillwell_model::histogram::{FloatHistogram, Incompatible, ResetHint};

use crate::arithmetic::{interpolate, interpolate_histograms};

use super::window::{Call, RangeWindow, counter_and_per_second};

/// Indices of the samples at (or just outside of) the two edges; `None` where nothing is in the window.
pub(super) fn edge_samples(
    times: &[i64],
    window: &RangeWindow<'_>,
    smoothed: bool,
) -> Option<(usize, usize)> {
    let mut last = times.len().checked_sub(1)?;
    let first = times[..last]
        .partition_point(|time| *time <= window.start_ms)
        .saturating_sub(1);
    if smoothed {
        last = times[..last].partition_point(|time| *time < window.end_ms);
    }
    if times[last] <= window.start_ms || (smoothed && times[first] > window.end_ms) {
        return None;
    }
    Some((first, last))
}

/// `rate`, `increase` or `delta` between the values at the window's edges.
pub(super) fn difference_at_edges(call: &Call<'_, '_>, window: &RangeWindow<'_>) -> Point {
    match (window.histograms.is_empty(), window.values.is_empty()) {
        (true, _) => floats(call, window),
        (false, true) => histograms(call, window),
        (false, false) => call.warn_mixed(window.metric),
    }
}

fn floats(call: &Call<'_, '_>, window: &RangeWindow<'_>) -> Point {
    let (counter, per_second) = counter_and_per_second(call.id);
    let smoothed = call.edges == Edges::Smoothed;
    let (times, values) = (window.times, window.values);
    let Some((mut first, mut last)) = edge_samples(times, window, smoothed) else {
        return Point::None;
    };
    let between = |at: usize, time_ms: i64| {
        interpolate(
            times[at],
            values[at],
            times[at + 1],
            values[at + 1],
            time_ms,
            counter,
        )
    };
    let left = match smoothed && times[first] < window.start_ms {
        true => between(first, window.start_ms),
        false => values[first],
    };
    let right = match smoothed && last > 0 && times[last] > window.end_ms {
        true => between(last - 1, window.end_ms),
        false => values[last],
    };
    let mut result = right - left;
    if counter {
        // Only samples within the window: interpolation has seen to resets across its edges.
        if times[first] <= window.start_ms {
            first += 1;
        }
        let mut end = last + 1;
        if times[last] >= window.end_ms {
            end = last;
        }
        last = end;
        let (mut correction, mut before) = (0.0, left);
        for value in values
            .get(first..last)
            .unwrap_or(&[])
            .iter()
            .chain([&right])
        {
            if *value < before {
                correction += before;
            }
            before = *value;
        }
        result += correction;
    }
    if per_second {
        result /= window.range_seconds;
    }
    Point::Float(result)
}

fn histograms(call: &Call<'_, '_>, window: &RangeWindow<'_>) -> Point {
    let (counter, per_second) = counter_and_per_second(call.id);
    let smoothed = call.edges == Edges::Smoothed;
    let (times, points) = (window.histogram_times, window.histograms);
    let Some((first, last)) = edge_samples(times, window, smoothed) else {
        return Point::None;
    };
    for point in &points[first..=last] {
        if point.is_custom() != points[first].is_custom() {
            return call.warn_layouts(window.metric);
        }
        if counter && point.hint == ResetHint::Gauge {
            call.warn(format!(
                "this native histogram metric is not a counter: {:?}",
                window.metric
            ));
        }
    }
    match histogram_difference(call, window, (first, last), counter) {
        Err(Incompatible) => call.warn_layouts(window.metric),
        Ok(mut result) => {
            if per_second {
                result.divide(window.range_seconds);
            }
            result.hint = ResetHint::Gauge;
            result.compact();
            Point::Histogram(Arc::new(result))
        }
    }
}

fn histogram_difference(
    call: &Call<'_, '_>,
    window: &RangeWindow<'_>,
    (first, last): (usize, usize),
    counter: bool,
) -> Result<FloatHistogram, Incompatible> {
    let smoothed = call.edges == Edges::Smoothed;
    let (times, points) = (window.histogram_times, window.histograms);
    let between = |at: usize, time_ms: i64| {
        interpolate_histograms(
            (times[at], &points[at]),
            (times[at + 1], &points[at + 1]),
            time_ms,
            counter,
            &mut |merged, operation| call.annotate_bounds(merged, operation),
        )
    };
    let interpolated_left = smoothed && times[first] < window.start_ms;
    let left = match interpolated_left {
        true => between(first, window.start_ms)?,
        false => (*points[first]).clone(),
    };
    let right = match smoothed && last > 0 && times[last] > window.end_ms {
        true => between(last - 1, window.end_ms)?,
        false => (*points[last]).clone(),
    };
    if !counter && (left.hint != ResetHint::Gauge || right.hint != ResetHint::Gauge) {
        call.warn(format!(
            "this native histogram metric is not a gauge: {:?}",
            window.metric
        ));
    }
    let mut result = right.clone();
    call.annotate_bounds(result.subtract(&left)?, "subtraction");
    if counter {
        // The sample at the left edge is `left`, the one at the right edge is `right`.
        let (mut from, mut before) = (first + 1, &left);
        if interpolated_left && points[first + 1].is_reset_after(&points[first]) {
            // The interpolation has crossed this reset already.
            before = &points[first + 1];
            from += 1;
        }
        if from <= last {
            let mut correction: Option<FloatHistogram> = None;
            for point in points[from..last]
                .iter()
                .map(|point| &**point)
                .chain([&right])
            {
                if point.is_reset_after(before) {
                    match &mut correction {
                        None => correction = Some(before.clone()),
                        Some(correction) => {
                            call.annotate_bounds(correction.add(before)?, "addition")
                        }
                    }
                }
                before = point;
            }
            if let Some(correction) = correction {
                call.annotate_bounds(result.add(&correction)?, "addition");
            }
        }
    }
    Ok(result)
}

//! How fast a counter or gauge moves.

use std::sync::Arc;

use crate::eval::Point;
use stillwell_model::histogram::{FloatHistogram, ResetHint};

use super::start_times::{is_reset, overlaps};
use super::window::{Call, RangeWindow, counter_and_per_second};
use crate::plan::FunctionId;

/// `rate`, `increase`, `delta`: the difference of last and first sample, extended to the window's edges.
pub(super) fn extrapolated(call: &Call<'_, '_>, window: &RangeWindow<'_>) -> Point {
    if !window.histograms.is_empty() {
        if !window.values.is_empty() {
            return call.warn_mixed(window.metric);
        }
        return extrapolated_histogram(call, window);
    }
    let (counter, _) = counter_and_per_second(call.id);
    let (times, values) = (window.times, window.values);
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return Point::None;
    };
    let mut result = last - first;
    if counter {
        result = corrected(call, window, result);
    }
    let mut extent = Extent {
        first_ms: times[0],
        last_ms: times[times.len() - 1],
        intervals: times.len() - 1,
        first_count: *first,
        difference: result,
    };
    let Some((factor, from_start)) = extent.factor(call.id, window, window.starts) else {
        return Point::None;
    };
    if from_start {
        result += first;
    }
    Point::Float(result * factor)
}

/// Adds what the counter had reached before each reset.
fn corrected(call: &Call<'_, '_>, window: &RangeWindow<'_>, mut result: f64) -> f64 {
    let values = window.values;
    if window.starts.is_empty() {
        for pair in values.windows(2) {
            if pair[1] < pair[0] {
                result += pair[0];
            }
        }
        return result;
    }
    let (starts, times) = (window.starts, window.times);
    annotate_overlap(call, window.metric, starts, times);
    for at in 1..values.len() {
        let reset = is_reset(starts[at - 1], times[at - 1], starts[at], times[at]);
        if values[at] < values[at - 1] || reset {
            result += values[at - 1];
        }
    }
    result
}

fn annotate_overlap(call: &Call<'_, '_>, metric: &str, starts: &[i64], times: &[i64]) {
    let overlap = (1..starts.len()).any(|at| overlaps(starts[at - 1], times[at - 1], starts[at]));
    if overlap {
        call.warn(format!(
            "sample has start time that overlaps with previous sample timestamp for metric {metric:?}"
        ));
    }
}

/// The sampled part of a window.
pub(super) struct Extent {
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) intervals: usize,
    /// The first sample's value or count.
    pub(super) first_count: f64,
    /// The difference between first and last, resets corrected.
    pub(super) difference: f64,
}

impl Extent {
    /// What the difference is multiplied with, and whether the first sample counts in full since its start
    /// timestamp lies in the window. `None` where one sample does not say enough.
    #[inline]
    pub(super) fn factor(
        &mut self,
        id: FunctionId,
        window: &RangeWindow<'_>,
        starts: &[i64],
    ) -> Option<(f64, bool)> {
        let (counter, _) = counter_and_per_second(id);
        let start = starts.first().copied().unwrap_or(0);
        let from_start = counter && start != 0 && start > window.start_ms && start < self.first_ms;
        let mut distances = self.distances((window.start_ms, window.end_ms));
        if from_start {
            distances.to_start = 0.0;
            distances.sampled = seconds(self.last_ms - start);
        } else if self.intervals == 0 {
            return None;
        } else if counter {
            distances.to_start = self.no_further_than_zero(&distances);
        }
        Some((distances.factor(id, window.range_seconds), from_start))
    }

    /// How far the samples are from the edges of the window, as far as the series is taken to go on there.
    fn distances(&self, (start_ms, end_ms): (i64, i64)) -> Distances {
        let mut to_start = seconds(self.first_ms - start_ms);
        let mut to_end = seconds(end_ms - self.last_ms);
        let sampled = seconds(self.last_ms - self.first_ms);
        let average = if self.intervals > 0 {
            sampled / self.intervals as f64
        } else {
            0.0
        };
        // Samples this far from an edge end before it; the series is taken to go on for half an interval.
        let threshold = average * 1.1;
        if self.intervals > 0 && to_start >= threshold {
            to_start = average / 2.0;
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        Distances {
            to_start,
            sampled,
            to_end,
        }
    }

    /// A counter cannot be below zero, so it started at most so long before its first sample.
    #[inline]
    fn no_further_than_zero(&self, distances: &Distances) -> f64 {
        let Distances {
            to_start, sampled, ..
        } = *distances;
        if self.difference > 0.0 && self.first_count >= 0.0 {
            // A quotient of 1 or more leads no nearer, and a division takes long.
            if self.first_count >= self.difference && sampled >= to_start {
                return to_start;
            }
            let to_zero = sampled * (self.first_count / self.difference);
            if to_zero < to_start {
                return to_zero;
            }
        }
        to_start
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// In seconds: from the window's start to the first sample, from that to the last one, from there to the window's end.
#[derive(Clone, Copy, Debug, Default)]
struct Distances {
    to_start: f64,
    sampled: f64,
    to_end: f64,
}

impl Distances {
    #[inline]
    fn factor(&self, id: FunctionId, range_seconds: f64) -> f64 {
        let (_, per_second) = counter_and_per_second(id);
        let mut factor = 1.0;
        if self.sampled != 0.0 {
            factor = (self.sampled + self.to_start + self.to_end) / self.sampled;
        }
        if per_second {
            factor /= range_seconds;
        }
        factor
    }
}

/// The factor of one window after the other: where samples come at even intervals most windows share it, and its divisions
/// take longer than everything else.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edges {
    /// Of the last window: from its start to the first sample, to the last one, to its end, and intervals.
    key: (i64, i64, i64, usize),
    distances: Distances,
    factor: f64,
}

impl Edges {
    /// As [`Extent::factor`] has it, for two samples at least and no start timestamps.
    #[inline]
    pub(super) fn factor(
        &mut self,
        id: FunctionId,
        extent: &Extent,
        (start_ms, end_ms): (i64, i64),
        range_seconds: f64,
    ) -> f64 {
        let key = (
            extent.first_ms - start_ms,
            extent.last_ms - start_ms,
            end_ms - start_ms,
            extent.intervals,
        );
        if self.key != key {
            self.key = key;
            self.distances = extent.distances((start_ms, end_ms));
            self.factor = self.distances.factor(id, range_seconds);
        }
        let (counter, _) = counter_and_per_second(id);
        let to_start = self.distances.to_start;
        let nearer = match counter {
            true => extent.no_further_than_zero(&self.distances),
            false => to_start,
        };
        if nearer == to_start {
            return self.factor;
        }
        let distances = Distances {
            to_start: nearer,
            ..self.distances
        };
        distances.factor(id, range_seconds)
    }
}

fn extrapolated_histogram(call: &Call<'_, '_>, window: &RangeWindow<'_>) -> Point {
    let (histograms, times) = (window.histograms, window.histogram_times);
    let last = histograms.len() - 1;
    let mut result = None;
    if last > 0 {
        match histogram_difference(call, window) {
            Some(difference) => result = Some(difference),
            None => return Point::None,
        }
    }
    let mut extent = Extent {
        first_ms: times[0],
        last_ms: times[last],
        intervals: last,
        first_count: histograms[0].count,
        difference: result.as_ref().map_or(0.0, |result| result.count),
    };
    let Some((factor, from_start)) = extent.factor(call.id, window, window.histogram_starts) else {
        return Point::None;
    };
    let mut result = match result {
        None => (*histograms[0]).clone(),
        Some(mut result) => {
            if from_start {
                match result.add(&histograms[0]) {
                    Ok(merged) => call.annotate_bounds(merged, "addition"),
                    Err(_) => return call.warn_layouts(window.metric),
                }
            }
            result
        }
    };
    result.multiply(factor);
    Point::Histogram(Arc::new(result))
}

/// Last minus first, resets corrected; `None` (and a warning) where the layouts do not fit.
fn histogram_difference(call: &Call<'_, '_>, window: &RangeWindow<'_>) -> Option<FloatHistogram> {
    let (counter, _) = counter_and_per_second(call.id);
    let (points, starts) = (window.histograms, window.histogram_starts);
    let times = window.histogram_times;
    let fail = || {
        call.warn_layouts(window.metric);
        None
    };
    let not_counter = || {
        call.warn(format!(
            "this native histogram metric is not a counter: {:?}",
            window.metric
        ))
    };
    let start_reset = |at: usize| {
        !starts.is_empty() && is_reset(starts[at - 1], times[at - 1], starts[at], times[at])
    };
    let (first, last) = (&points[0], &points[points.len() - 1]);
    let gauge = |histogram: &FloatHistogram| histogram.hint == ResetHint::Gauge;
    if counter && (gauge(first) || gauge(last)) {
        not_counter();
    }
    let mut before = Arc::clone(first);
    if counter && (start_reset(1) || points[1].is_reset_after(first)) {
        before = Arc::new(empty_like(&points[1]));
    }
    if last.is_custom() != before.is_custom() {
        return fail();
    }
    let mut schema = last.schema.min(before.schema);
    let between = &points[1..points.len() - 1];
    for point in between.iter().take_while(|_| counter) {
        if gauge(point) {
            not_counter();
        }
        schema = schema.min(point.schema);
        if point.is_custom() != before.is_custom() {
            return fail();
        }
    }
    let mut result = (**last).clone();
    result.reduce_resolution(schema);
    match result.subtract(&before) {
        Ok(merged) => call.annotate_bounds(merged, "subtraction"),
        Err(_) => return fail(),
    }
    if counter {
        if !starts.is_empty() {
            annotate_overlap(call, window.metric, starts, times);
        }
        for (at, point) in points.iter().enumerate().skip(1) {
            if start_reset(at) || point.is_reset_after(&before) {
                match result.add(&before) {
                    Ok(merged) => call.annotate_bounds(merged, "addition"),
                    Err(_) => return fail(),
                }
            }
            before = Arc::clone(point);
        }
    } else if !gauge(first) || !gauge(last) {
        call.warn(format!(
            "this native histogram metric is not a gauge: {:?}",
            window.metric
        ));
    }
    result.hint = ResetHint::Gauge;
    result.compact();
    Some(result)
}

/// Stands for a sample right before a reset: its layout does not matter any more.
fn empty_like(histogram: &FloatHistogram) -> FloatHistogram {
    FloatHistogram {
        schema: histogram.schema,
        custom_bounds: histogram.custom_bounds.clone(),
        ..FloatHistogram::default()
    }
}

/// One of the last two samples.
#[derive(Clone)]
struct Sample {
    time_ms: i64,
    start_ms: i64,
    point: Point,
}

/// `irate`, `idelta`: from the last two samples.
pub(super) fn instant(call: &Call<'_, '_>, window: &RangeWindow<'_>) -> Point {
    let rate = call.id == FunctionId::Irate;
    let Some([before, last]) = last_two(window) else {
        return Point::None;
    };
    let interval_ms = last.time_ms - before.time_ms;
    if interval_ms == 0 {
        return Point::None;
    }
    let start_reset = is_reset(before.start_ms, before.time_ms, last.start_ms, last.time_ms);
    let seconds = interval_ms as f64 / 1000.0;
    match (&before.point, &last.point) {
        (Point::Float(before), Point::Float(last)) => {
            Point::Float(instant_floats(rate, seconds, *before, *last, start_reset))
        }
        (Point::Histogram(before), Point::Histogram(last)) => {
            let gauge = |histogram: &FloatHistogram| histogram.hint == ResetHint::Gauge;
            let warn = |kind: &str| {
                let message = format!(
                    "this native histogram metric is not a {kind}: {:?}",
                    window.metric
                );
                call.warn(message);
            };
            if rate && (gauge(last) || gauge(before)) {
                warn("counter");
            }
            if !rate && (!gauge(last) || !gauge(before)) {
                warn("gauge");
            }
            let mut result = (**last).clone();
            if !rate || (!start_reset && !last.is_reset_after(before)) {
                match result.subtract(before) {
                    Ok(merged) => call.annotate_bounds(merged, "subtraction"),
                    Err(_) => return call.warn_layouts(window.metric),
                }
            }
            result.hint = ResetHint::Gauge;
            result.compact();
            if rate {
                result.divide(seconds);
            }
            Point::Histogram(Arc::new(result))
        }
        _ => call.warn_mixed(window.metric),
    }
}

/// `irate`, else `idelta`, of two floats this far apart.
pub(super) fn instant_floats(
    rate: bool,
    seconds: f64,
    before: f64,
    last: f64,
    start_reset: bool,
) -> f64 {
    let reset = rate && (last < before || start_reset);
    let difference = if reset { last } else { last - before };
    if rate {
        difference / seconds
    } else {
        difference
    }
}

/// The last two samples of both kinds together, in order.
fn last_two(window: &RangeWindow<'_>) -> Option<[Sample; 2]> {
    let start = |starts: &[i64], at: usize| starts.get(at).copied().unwrap_or(0);
    let floats = (window.times.len().saturating_sub(2)..window.times.len()).map(|at| Sample {
        time_ms: window.times[at],
        start_ms: start(window.starts, at),
        point: Point::Float(window.values[at]),
    });
    let count = window.histogram_times.len();
    let histograms = (count.saturating_sub(2)..count).map(|at| Sample {
        time_ms: window.histogram_times[at],
        start_ms: start(window.histogram_starts, at),
        point: Point::Histogram(window.histograms[at].clone()),
    });
    let mut found = [None, None];
    for sample in floats.chain(histograms) {
        let later = |other: &Option<Sample>| {
            other
                .as_ref()
                .is_none_or(|other: &Sample| sample.time_ms >= other.time_ms)
        };
        if later(&found[1]) {
            found.swap(0, 1);
            found[1] = Some(sample);
        } else if later(&found[0]) {
            found[0] = Some(sample);
        }
    }
    match found {
        [Some(before), Some(last)] => Some([before, last]),
        _ => None,
    }
}

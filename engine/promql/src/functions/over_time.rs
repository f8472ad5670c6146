//! Aggregations over time.

use std::sync::Arc;

use crate::eval::Point;
use crate::plan::Edges;
use stillwell_model::histogram::{Compensated, FloatHistogram, ResetHint};

use super::window::{Call, RangeWindow};
use crate::arithmetic::floats;
use crate::plan::FunctionId;
use stillwell_model::arithmetic::kahan_inc;
use stillwell_model::number_text::go_float;

/// `*_over_time`.
pub(super) fn aggregate(call: &Call<'_, '_>, id: FunctionId, window: &RangeWindow<'_>) -> Point {
    use FunctionId as F;
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let ends = |choose: fn(i64, i64) -> i64, at: fn(&[i64]) -> Option<&i64>| match (
        at(window.times),
        at(window.histogram_times),
    ) {
        (Some(a), Some(b)) => choose(*a, *b),
        (Some(only), None) | (None, Some(only)) => *only,
        (None, None) => 0,
    };
    match id {
        F::CountOverTime => Point::Float((window.values.len() + window.histograms.len()) as f64),
        F::PresentOverTime => Point::Float(1.0),
        F::TsOfFirstOverTime => Point::Float(seconds(ends(i64::min, |times| times.first()))),
        F::TsOfLastOverTime => Point::Float(seconds(ends(i64::max, |times| times.last()))),
        F::FirstOverTime => match (window.times.first(), window.histogram_times.first()) {
            (Some(float), Some(histogram)) if float < histogram => Point::Float(window.values[0]),
            (_, Some(_)) => Point::Histogram(window.histograms[0].clone()),
            _ => window
                .values
                .first()
                .map_or(Point::None, |value| Point::Float(*value)),
        },
        F::LastOverTime => match (window.times.last(), window.histograms.last()) {
            (Some(float), Some(_))
                if *float > window.histogram_times[window.histogram_times.len() - 1] =>
            {
                Point::Float(window.values[window.values.len() - 1])
            }
            (_, Some(histogram)) => Point::Histogram(histogram.clone()),
            _ => window
                .values
                .last()
                .map_or(Point::None, |value| Point::Float(*value)),
        },
        F::SumOverTime | F::AvgOverTime => match (window.values, window.histograms) {
            (values, []) if id == F::SumOverTime => Point::Float(sum(values)),
            (values, []) => Point::Float(average(values)),
            ([], histograms) => of_histograms(call, window, histograms, id == F::AvgOverTime),
            _ => call.warn_mixed(window.metric),
        },
        _ => float_only(call, id, window),
    }
}

/// Those that ignore histograms beside floats, and have no value without floats.
fn float_only(call: &Call<'_, '_>, id: FunctionId, window: &RangeWindow<'_>) -> Point {
    use FunctionId as F;
    let (times, values) = (window.times, window.values);
    if values.is_empty() {
        return Point::None;
    }
    call.annotate_ignored_histograms(window);
    let seconds = |ms: i64| ms as f64 / 1000.0;
    Point::Float(match id {
        F::MaxOverTime => max(values),
        F::MinOverTime => min(values),
        F::TsOfMaxOverTime => seconds(times[extreme(values, |value, best| value >= best)]),
        F::TsOfMinOverTime => seconds(times[extreme(values, |value, best| value <= best)]),
        F::StdvarOverTime => variance(values),
        F::StddevOverTime => variance(values).sqrt(),
        _ => median_absolute_deviation(values),
    })
}

/// The sum or mean of histograms, with notes on what did not fit.
fn of_histograms(
    call: &Call<'_, '_>,
    window: &RangeWindow<'_>,
    histograms: &[Arc<FloatHistogram>],
    average: bool,
) -> Point {
    let hinted = |hint: ResetHint| histograms.iter().any(|histogram| histogram.hint == hint);
    let mut reconciled = false;
    let result = mean_or_sum(histograms, average, &mut reconciled);
    if hinted(ResetHint::Reset) && hinted(ResetHint::NotReset) {
        call.warn("conflicting counter resets during histogram aggregation");
    }
    if reconciled {
        call.info("mismatched custom buckets were reconciled during aggregation");
    }
    match result {
        Some(result) => Point::Histogram(Arc::new(result)),
        None => call.warn_layouts(window.metric),
    }
}

fn mean_or_sum(
    histograms: &[Arc<FloatHistogram>],
    average: bool,
    reconciled: &mut bool,
) -> Option<FloatHistogram> {
    let mut total = Compensated::new((*histograms[0]).clone());
    let mut incremental = false;
    for (index, histogram) in histograms.iter().enumerate().skip(1) {
        let count = (index + 1) as f64;
        if !average {
            *reconciled |= total.add(histogram).ok()?.bounds_reconciled;
            continue;
        }
        if !incremental {
            let mut longer = total.clone();
            *reconciled |= longer.add(histogram).ok()?.bounds_reconciled;
            if !longer.sum.has_overflow() {
                total = longer;
                continue;
            }
            // The sum would overflow; from here on it is a running mean.
            incremental = true;
            total.divide(count - 1.0);
        }
        total.multiply((count - 1.0) / count);
        let mut part = (**histogram).clone();
        part.divide(count);
        *reconciled |= total.add(&part).ok()?.bounds_reconciled;
    }
    if average && !incremental {
        total.divide(histograms.len() as f64);
    }
    Some(total.finish())
}

pub(super) fn sum(values: &[f64]) -> f64 {
    let (mut sum, mut compensation) = (0.0, 0.0);
    for value in values {
        kahan_inc(*value, &mut sum, &mut compensation);
    }
    if sum.is_infinite() {
        sum
    } else {
        sum + compensation
    }
}

/// The sum over the count; where the sum overflows, a running mean.
pub(super) fn average(values: &[f64]) -> f64 {
    let (mut sum, mut compensation) = (values[0], 0.0);
    let (mut mean, mut incremental) = (0.0, false);
    for (index, value) in values.iter().enumerate().skip(1) {
        let count = (index + 1) as f64;
        if !incremental {
            let (mut new_sum, mut new_compensation) = (sum, compensation);
            kahan_inc(*value, &mut new_sum, &mut new_compensation);
            if !new_sum.is_infinite() {
                (sum, compensation) = (new_sum, new_compensation);
                continue;
            }
            incremental = true;
            mean = sum / (count - 1.0);
            compensation /= count - 1.0;
        }
        let quotient = (count - 1.0) / count;
        let (mut new_mean, mut new_compensation) = (quotient * mean, quotient * compensation);
        kahan_inc(value / count, &mut new_mean, &mut new_compensation);
        (mean, compensation) = (new_mean, new_compensation);
    }
    if incremental {
        return mean + compensation;
    }
    let count = values.len() as f64;
    sum / count + compensation / count
}

/// The index of the extreme value; any number replaces a NaN.
fn extreme(values: &[f64], beats: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if beats(*value, values[best]) || values[best].is_nan() {
            best = index;
        }
    }
    best
}

/// `max_over_time` of at least one sample.
pub(super) fn max(values: &[f64]) -> f64 {
    values[extreme(values, |value, best| value > best)]
}

/// `min_over_time` of at least one sample.
pub(super) fn min(values: &[f64]) -> f64 {
    values[extreme(values, |value, best| value < best)]
}

pub(super) fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut mean_c, mut aux, mut aux_c) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let delta = value - (mean + mean_c);
        kahan_inc(delta / count, &mut mean, &mut mean_c);
        kahan_inc(delta * (value - (mean + mean_c)), &mut aux, &mut aux_c);
    }
    (aux + aux_c) / count
}

fn median_absolute_deviation(values: &[f64]) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let mut sorted = values.to_vec();
    let median = floats::quantile(0.5, &mut sorted);
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
    floats::quantile(0.5, &mut deviations)
}

pub(super) fn quantile(call: &Call<'_, '_>, window: &RangeWindow<'_>, q: f64) -> Point {
    if window.values.is_empty() {
        return Point::None;
    }
    if q.is_nan() || !(0.0..=1.0).contains(&q) {
        let message = format!(
            "quantile value should be between 0 and 1, got {}",
            go_float(q)
        );
        if let crate::plan::ExprKind::Call { args, .. } = &call.expr.kind {
            call.eval.warn(args[0].span, message);
        }
    }
    call.annotate_ignored_histograms(window);
    let values = &mut call.scratch.borrow_mut().sorted;
    values.clear();
    values.extend_from_slice(window.values);
    Point::Float(floats::quantile(q, values))
}

/// Whether `resets`, else `changes`, counts two neighbours.
#[inline]
pub fn is_transition(resets: bool, before: f64, now: f64) -> bool {
    match resets {
        true => now < before,
        false => before != now && !(before.is_nan() && now.is_nan()),
    }
}

/// `changes` and `resets`: how often two neighbours differ, or the later one is lower.
pub(super) fn transitions(call: &Call<'_, '_>, window: &RangeWindow<'_>) -> Point {
    let resets = call.id == FunctionId::Resets;
    let mut window = *window;
    if call.edges == Edges::Anchored && !anchor(&mut window) {
        return Point::None;
    }
    let (times, values) = (window.times, window.values);
    if window.histograms.is_empty() && window.starts.is_empty() {
        let counted = values
            .windows(2)
            .filter(|pair| is_transition(resets, pair[0], pair[1]));
        return Point::Float(counted.count() as f64);
    }
    let start = |starts: &[i64], at: usize| starts.get(at).copied().unwrap_or(0);
    let (mut float, mut histogram, mut count) = (0, 0, 0);
    let mut before: Option<(Point, i64, i64)> = None;
    while float < times.len() || histogram < window.histograms.len() {
        let take_float = histogram >= window.histograms.len()
            || (float < times.len() && times[float] < window.histogram_times[histogram]);
        let now = if take_float {
            float += 1;
            let at = float - 1;
            (
                Point::Float(values[at]),
                times[at],
                start(window.starts, at),
            )
        } else {
            histogram += 1;
            let at = histogram - 1;
            let point = Point::Histogram(window.histograms[at].clone());
            (
                point,
                window.histogram_times[at],
                start(window.histogram_starts, at),
            )
        };
        if let Some((point, time_ms, start_ms)) = &before {
            let restarted =
                resets && super::start_times::is_reset(*start_ms, *time_ms, now.2, now.1);
            let counts = restarted
                || match (point, &now.0) {
                    (Point::Float(before), Point::Float(now)) if resets => now < before,
                    (Point::Float(before), Point::Float(now)) => {
                        before != now && !(before.is_nan() && now.is_nan())
                    }
                    (Point::Histogram(before), Point::Histogram(now)) if resets => {
                        now.is_reset_after(before)
                    }
                    (Point::Histogram(before), Point::Histogram(now)) => before != now,
                    _ => true,
                };
            count += usize::from(counts);
        }
        before = Some(now);
    }
    Point::Float(count as f64)
}

/// Leaves out what lies before the anchor: the last sample of either kind at or before the window's start. False
/// where nothing is inside the window.
fn anchor(window: &mut RangeWindow<'_>) -> bool {
    let inside = |times: &[i64]| times.last().is_some_and(|last| *last > window.start_ms);
    if !inside(window.times) && !inside(window.histogram_times) {
        return false;
    }
    let before = |times: &[i64]| {
        times[..times.partition_point(|time| *time <= window.start_ms)]
            .last()
            .copied()
    };
    let anchor_ms = before(window.times)
        .max(before(window.histogram_times))
        .unwrap_or(i64::MIN);
    let from = window.times.partition_point(|time| *time < anchor_ms);
    window.times = &window.times[from..];
    window.values = &window.values[from..];
    window.starts = window.starts.get(from..).unwrap_or(&[]);
    let from = window
        .histogram_times
        .partition_point(|time| *time < anchor_ms);
    window.histogram_times = &window.histogram_times[from..];
    window.histograms = &window.histograms[from..];
    window.histogram_starts = window.histogram_starts.get(from..).unwrap_or(&[]);
    true
}

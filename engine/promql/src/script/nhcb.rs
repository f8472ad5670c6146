//! `load_with_nhcb`: classic histograms once more, as native ones with custom buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::arithmetic::parse_bound;
use stillwell_model::histogram::{Bucket, Buckets, CUSTOM_SCHEMA, FloatHistogram};
use stillwell_model::labels::{Labels, METRIC_NAME};

use super::series::{Item, SeriesDescription};
use super::store::MemoryView;

/// What is known of one histogram at one time.
#[derive(Default)]
struct Parts {
    /// Bound and cumulative count.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    stale: bool,
}

pub(super) fn load(view: &mut MemoryView, step_ms: i64, series: &[SeriesDescription]) {
    let mut found: BTreeMap<Labels, BTreeMap<usize, Parts>> = BTreeMap::new();
    for series in series.iter().filter(|series| !series.is_start) {
        let Some((labels, part)) = part_of(&series.labels) else {
            continue;
        };
        let times = found.entry(labels).or_default();
        for (at, item) in series.items.iter().enumerate() {
            let Item::Float(value) = item else { continue };
            let parts = times.entry(at).or_default();
            if crate::select::is_stale(*value) {
                parts.stale = true;
                continue;
            }
            match part {
                Part::Bucket(bound) => parts.buckets.push((bound, *value)),
                Part::Count => parts.count = Some(*value),
                Part::Sum => parts.sum = *value,
            }
        }
    }
    for (labels, times) in found {
        for (at, parts) in times {
            let time_ms = step_ms * at as i64;
            if parts.stale {
                view.add(
                    &labels,
                    time_ms,
                    f64::from_bits(crate::select::STALE_NAN_BITS),
                );
            } else if let Some(histogram) = convert(parts) {
                view.add_histogram(&labels, time_ms, Arc::new(histogram));
            }
        }
    }
}

enum Part {
    Bucket(f64),
    Count,
    Sum,
}

fn part_of(labels: &Labels) -> Option<(Labels, Part)> {
    let name = labels.metric_name()?;
    let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
        (base, Part::Bucket(parse_bound(labels.get("le")?)?))
    } else if let Some(base) = name.strip_suffix("_count") {
        (base, Part::Count)
    } else {
        (name.strip_suffix("_sum")?, Part::Sum)
    };
    let mut builder = labels.to_builder();
    builder.set(METRIC_NAME, base).remove("le");
    Some((builder.build(), part))
}

/// `None` where counts fall: that is no histogram.
fn convert(mut parts: Parts) -> Option<FloatHistogram> {
    parts.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let infinite = parts
        .buckets
        .last()
        .filter(|(bound, _)| *bound == f64::INFINITY)
        .map(|(_, count)| *count);
    let count = parts
        .count
        .or(infinite)
        .or_else(|| parts.buckets.last().map(|(_, count)| *count))?;
    if infinite.is_none() {
        parts.buckets.push((f64::INFINITY, count));
    }
    let mut before = 0.0;
    let mut buckets = Vec::new();
    for (at, (_, cumulative)) in parts.buckets.iter().enumerate() {
        if *cumulative < before {
            return None;
        }
        buckets.push(Bucket {
            index: at as i32,
            count: cumulative - before,
        });
        before = *cumulative;
    }
    let mut histogram = FloatHistogram {
        schema: CUSTOM_SCHEMA,
        count,
        sum: parts.sum,
        positive: Buckets::from_sorted(buckets),
        custom_bounds: parts
            .buckets
            .iter()
            .map(|(bound, _)| *bound)
            .filter(|b| b.is_finite())
            .collect(),
        ..FloatHistogram::default()
    };
    histogram.compact();
    Some(histogram)
}

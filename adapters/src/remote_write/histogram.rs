//! From the wire's native histogram to a value, or why it is none.
//!
//! Whoever writes is not trusted: spans may ask for buckets that have no counts, counts may be negative, bounds out of
//! order (the rules are model/histogram `Validate`).

use stillwell_engine::histogram::{Buckets, CUSTOM_SCHEMA, FloatHistogram, ResetHint, Span};
use stillwell_engine::promql::select::is_stale;

use super::messages::{BucketSpan, Count, Histogram, ZeroCount};

/// Schemas of exponential buckets.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// Buckets of one histogram; what Prometheus' own limits call absurd.
const BUCKETS_MAX: usize = 16_384;

/// The value, checked.
pub(super) fn value(wire: &Histogram) -> Result<FloatHistogram, &'static str> {
    let is_custom = wire.schema == CUSTOM_SCHEMA;
    let hint = match wire.reset_hint {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    if is_stale(wire.sum) {
        return Ok(FloatHistogram {
            sum: wire.sum,
            ..FloatHistogram::default()
        });
    }
    if !is_custom && !SCHEMAS.contains(&wire.schema) {
        return Err("unknown schema; -4 to 8 and -53 are known");
    }
    let is_float = matches!(wire.count, Some(Count::Float(_)));
    let side = |spans: &[BucketSpan], deltas: &[i64], counts: &[f64]| match is_float {
        true => buckets(spans, counts.to_vec()),
        false => buckets(spans, from_deltas(deltas)?),
    };
    let histogram = FloatHistogram {
        hint,
        schema: wire.schema,
        zero_threshold: wire.zero_threshold,
        zero_count: match wire.zero_count {
            Some(ZeroCount::Int(count)) => count as f64,
            Some(ZeroCount::Float(count)) => count,
            None => 0.0,
        },
        count: match wire.count {
            Some(Count::Int(count)) => count as f64,
            Some(Count::Float(count)) => count,
            None => 0.0,
        },
        sum: wire.sum,
        positive: side(
            &wire.positive_spans,
            &wire.positive_deltas,
            &wire.positive_counts,
        )?,
        negative: side(
            &wire.negative_spans,
            &wire.negative_deltas,
            &wire.negative_counts,
        )?,
        custom_bounds: wire.custom_values.clone(),
    };
    check(&histogram, is_custom, is_float)?;
    Ok(histogram)
}

fn check(histogram: &FloatHistogram, is_custom: bool, is_float: bool) -> Result<(), &'static str> {
    if !is_custom && !histogram.custom_bounds.is_empty() {
        return Err("custom bounds with an exponential schema");
    }
    if is_custom {
        if histogram.zero_count != 0.0
            || histogram.zero_threshold != 0.0
            || !histogram.negative.is_empty()
        {
            return Err("custom buckets have no zero bucket and no negative side");
        }
        let bounds = &histogram.custom_bounds;
        if bounds.len() > BUCKETS_MAX || !bounds.is_sorted_by(|a, b| a < b) {
            return Err("custom bounds must ascend, and be no more than a histogram may have");
        }
        if bounds
            .iter()
            .any(|bound| bound.is_nan() || bound.is_infinite())
        {
            return Err("custom bounds must be finite: the infinite one is implied");
        }
        let known = 0..=bounds.len() as i32;
        if histogram
            .positive
            .iter()
            .any(|bucket| !known.contains(&bucket.index))
        {
            return Err("a custom bucket has no bound");
        }
    }
    if histogram.zero_threshold.is_nan() || histogram.zero_threshold < 0.0 {
        return Err("the zero threshold must not be negative");
    }
    let counts = || histogram.positive.iter().chain(histogram.negative.iter());
    if histogram.count < 0.0 || histogram.zero_count < 0.0 || counts().any(|b| b.count < 0.0) {
        return Err("a count is negative");
    }
    let sum: f64 = counts().map(|bucket| bucket.count).sum::<f64>() + histogram.zero_count;
    // Observations that are NaN are counted and in no bucket; float counts may be rounded.
    let fits = match histogram.sum.is_nan() || is_float {
        true => is_float || sum <= histogram.count,
        false => sum == histogram.count,
    };
    match fits {
        true => Ok(()),
        false => Err("the buckets do not add up to the count"),
    }
}

fn from_deltas(deltas: &[i64]) -> Result<Vec<f64>, &'static str> {
    let mut count = 0i64;
    let mut add = |delta: &i64| {
        count = count.checked_add(*delta)?;
        Some(count as f64)
    };
    deltas
        .iter()
        .map(|delta| add(delta).ok_or("a count overflows"))
        .collect()
}

fn buckets(spans: &[BucketSpan], counts: Vec<f64>) -> Result<Buckets, &'static str> {
    if counts.len() > BUCKETS_MAX || spans.len() > BUCKETS_MAX {
        return Err("more buckets than a histogram may have");
    }
    let spans: Vec<Span> = spans
        .iter()
        .map(|span| Span {
            offset: span.offset,
            length: span.length,
        })
        .collect();
    Buckets::from_spans(&spans, &counts).ok_or("spans and counts do not fit each other")
}

//! From the wire's native histogram to a value, or why it is none.
//!
//! Whoever writes is not trusted: spans may ask for buckets that have no counts, counts may be negative, bounds out of
//! order (the rules are model/histogram `Validate`).

use stillwell_engine::histogram::{BUCKETS_MAX, Buckets, FloatHistogram, ResetHint, Span};
use stillwell_engine::promql::select::is_stale;

use super::messages::{BucketSpan, Count, Histogram, ZeroCount};

/// The value, checked.
pub(super) fn value(wire: &Histogram) -> Result<FloatHistogram, &'static str> {
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
    histogram.validate(is_float)?;
    Ok(histogram)
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

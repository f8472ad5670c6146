//! Native histograms as they are sent.

use stillwell_engine::histogram::{Buckets, FloatHistogram, ResetHint};

use crate::remote_write::messages::{BucketSpan, Count, Histogram, ZeroCount};

/// The message of a native histogram, with float counts.
pub(crate) fn histogram(of: &FloatHistogram, timestamp: i64) -> Histogram {
    let spans = |buckets: &Buckets| {
        let spans = buckets.spans().into_iter();
        let span = spans.map(|span| BucketSpan {
            offset: span.offset,
            length: span.length,
        });
        span.collect()
    };
    let counts = |buckets: &Buckets| buckets.iter().map(|bucket| bucket.count).collect();
    Histogram {
        count: Some(Count::Float(of.count)),
        sum: of.sum,
        schema: of.schema,
        zero_threshold: of.zero_threshold,
        zero_count: Some(ZeroCount::Float(of.zero_count)),
        negative_spans: spans(&of.negative),
        negative_deltas: Vec::new(),
        negative_counts: counts(&of.negative),
        positive_spans: spans(&of.positive),
        positive_deltas: Vec::new(),
        positive_counts: counts(&of.positive),
        reset_hint: match of.hint {
            ResetHint::Unknown => 0,
            ResetHint::Reset => 1,
            ResetHint::NotReset => 2,
            ResetHint::Gauge => 3,
        },
        timestamp,
        custom_values: of.custom_bounds.clone(),
    }
}

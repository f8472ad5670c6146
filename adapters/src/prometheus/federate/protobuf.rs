//! The page in protobuf: messages `io.prometheus.client.MetricFamily`, each behind its length (client_model metrics.proto).

use prost::Message;
use stillwell_engine::histogram::FloatHistogram;
use stillwell_engine::labels::Labels;

use super::classic;
use super::newest::{FamilyType, Newest, Value};

/// The messages that there are.
pub(super) const MESSAGE: &str = "io.prometheus.client.MetricFamily";
pub(super) const CONTENT_TYPE: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                                       encoding=delimited; escaping=allow-utf-8";

/// The samples, sorted by name: a family for those of one name and one type.
pub(super) fn write(found: &[Newest], external: &Labels) -> Vec<u8> {
    let mut page = Vec::new();
    let same = |a: &Newest, b: &Newest| {
        a.labels.metric_name() == b.labels.metric_name() && a.family_type() == b.family_type()
    };
    for family in found.chunk_by(same) {
        let Some(first) = family.first() else {
            continue; // no chunk is empty
        };
        let family = Family {
            name: first.labels.metric_name().unwrap_or_default().to_owned(),
            family_type: match first.family_type() {
                FamilyType::Untyped => 3,
                FamilyType::Histogram => 4,
                FamilyType::GaugeHistogram => 5,
            },
            metrics: family.iter().map(|one| metric(one, external)).collect(),
        };
        page.extend_from_slice(&family.encode_length_delimited_to_vec());
    }
    page
}

fn metric(newest: &Newest, external: &Labels) -> Metric {
    let labels = newest.labels(external);
    let (untyped, histogram) = match &newest.value {
        Value::Float(value) => (
            Some(Untyped {
                value: Some(*value),
            }),
            None,
        ),
        Value::Histogram(histogram) if histogram.is_custom() => (None, Some(of_custom(histogram))),
        Value::Histogram(histogram) => (None, Some(of_native(histogram))),
    };
    Metric {
        labels: labels
            .map(|(name, value)| Pair {
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .collect(),
        untyped,
        time_ms: Some(newest.time_ms),
        histogram,
    }
}

fn of_native(histogram: &FloatHistogram) -> Histogram {
    let spans = |buckets: &stillwell_engine::histogram::Buckets| {
        let spans = buckets.spans().into_iter();
        let span = spans.map(|span| Span {
            offset: Some(span.offset),
            length: Some(span.length),
        });
        span.collect()
    };
    Histogram {
        sum: Some(histogram.sum),
        count: Some(histogram.count),
        schema: Some(histogram.schema),
        zero_threshold: Some(histogram.zero_threshold),
        zero_count: Some(histogram.zero_count),
        negative_spans: spans(&histogram.negative),
        negative_counts: histogram.negative.iter().map(|one| one.count).collect(),
        positive_spans: spans(&histogram.positive),
        positive_counts: histogram.positive.iter().map(|one| one.count).collect(),
        buckets: Vec::new(),
    }
}

fn of_custom(histogram: &FloatHistogram) -> Histogram {
    let buckets = classic::buckets(histogram).map(|(bound, count)| Bucket {
        bound: Some(bound),
        count: Some(count),
    });
    Histogram {
        sum: Some(histogram.sum),
        count: Some(histogram.count),
        buckets: buckets.collect(),
        ..Histogram::default()
    }
}

#[derive(Clone, PartialEq, Message)]
struct Family {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "3")]
    family_type: i32,
    #[prost(message, repeated, tag = "4")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Pair>,
    #[prost(message, optional, tag = "5")]
    untyped: Option<Untyped>,
    #[prost(int64, optional, tag = "6")]
    time_ms: Option<i64>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Untyped {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

/// Its counts are floats.
#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(double, optional, tag = "2")]
    sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    buckets: Vec<Bucket>,
    #[prost(double, optional, tag = "4")]
    count: Option<f64>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(double, optional, tag = "8")]
    zero_count: Option<f64>,
    #[prost(message, repeated, tag = "9")]
    negative_spans: Vec<Span>,
    #[prost(double, repeated, packed = "false", tag = "11")]
    negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "12")]
    positive_spans: Vec<Span>,
    #[prost(double, repeated, packed = "false", tag = "14")]
    positive_counts: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Bucket {
    #[prost(double, optional, tag = "2")]
    bound: Option<f64>,
    #[prost(double, optional, tag = "4")]
    count: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Span {
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}

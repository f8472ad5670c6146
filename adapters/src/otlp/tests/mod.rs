//! OTLP as senders see it: what each kind of metric becomes.

mod limits;
mod requests;

use stillwell_engine::Timestamp;
use stillwell_engine::promql::select::is_stale;

use super::deltas::Deltas;
use super::messages::*;
use super::*;
use crate::host::TranslationStrategy;
use crate::test_host::{NOW_MS, NoSignals, TestHost};

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::String(value.to_owned())),
        }),
    }
}

fn number(value: f64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![pair("http.method", "GET")],
        time_unix_nano: (NOW_MS as u64 - 1_000) * 1_000_000,
        value: Some(Number::AsDouble(value)),
        flags: 0,
    }
}

fn request(data: Data) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    pair("service.name", "s"),
                    pair("service.namespace", "n"),
                    pair("service.instance.id", "i"),
                    pair("host.name", "h"),
                ],
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(Scope {
                    name: "lib".to_owned(),
                    version: "1".to_owned(),
                    attributes: vec![pair("k", "v")],
                }),
                metrics: vec![Metric {
                    name: "m.x".to_owned(),
                    unit: "s".to_owned(),
                    data: Some(data),
                }],
                schema_url: "u".to_owned(),
            }],
        }],
    }
}

fn sum(temporality: i32) -> Data {
    Data::Sum(Sum {
        data_points: vec![number(5.0)],
        aggregation_temporality: temporality,
        is_monotonic: true,
    })
}

fn histogram() -> Data {
    Data::Histogram(Histogram {
        data_points: vec![HistogramDataPoint {
            attributes: Vec::new(),
            time_unix_nano: NOW_MS as u64 * 1_000_000,
            count: 6,
            sum: Some(9.5),
            bucket_counts: vec![1, 2, 3],
            explicit_bounds: vec![0.5, 1e9],
            flags: 0,
        }],
        aggregation_temporality: 2,
    })
}

fn exponential(scale: i32, flags: u32) -> Data {
    Data::ExponentialHistogram(ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint {
            attributes: Vec::new(),
            time_unix_nano: NOW_MS as u64 * 1_000_000,
            count: 7,
            sum: Some(9.5),
            scale,
            zero_count: 1,
            positive: Some(Buckets {
                offset: -1,
                bucket_counts: vec![1, 0, 2, 3],
            }),
            negative: None,
            flags,
        }],
        aggregation_temporality: 2,
    })
}

/// Each series as text, with its values.
fn told(data: Data, settings: &OtlpSettings) -> Vec<String> {
    let converted = convert::convert(&request(data), settings, None);
    let show = |one: &AppendedSeries| {
        let floats = one.floats.iter().map(|(_, value)| value.to_string());
        let natives = one.histograms.iter().map(|(_, value)| {
            let buckets = value.positive.iter();
            let buckets: Vec<String> = buckets
                .map(|bucket| format!("{}:{}", bucket.index, bucket.count))
                .collect();
            format!(
                "{} {} {} [{}]",
                value.schema,
                value.count,
                value.zero_count,
                buckets.join(" ")
            )
        });
        let values: Vec<String> = floats.chain(natives).collect();
        format!("{} {}", one.labels, values.join(","))
    };
    converted.series.iter().map(show).collect()
}

const IDENTITY: &str = "instance=\"i\", job=\"n/s\"";

#[test]
fn each_kind_becomes_its_series() {
    let info = format!("target_info{{host_name=\"h\", {IDENTITY}}} 1");
    let with_info = |mut series: Vec<String>| {
        series.push(info.clone());
        series
    };
    let settings = OtlpSettings::default();
    let gauge = Data::Gauge(Gauge {
        data_points: vec![number(1.5)],
    });
    let summary = Data::Summary(Summary {
        data_points: vec![SummaryDataPoint {
            time_unix_nano: NOW_MS as u64 * 1_000_000,
            count: 3,
            sum: 4.5,
            quantile_values: vec![ValueAtQuantile {
                quantile: 0.5,
                value: 2.0,
            }],
            ..SummaryDataPoint::default()
        }],
    });
    for (data, series) in [
        (
            gauge,
            vec![format!(
                "m_x_seconds{{http_method=\"GET\", {IDENTITY}}} 1.5"
            )],
        ),
        (
            sum(2),
            vec![format!(
                "m_x_seconds_total{{http_method=\"GET\", {IDENTITY}}} 5"
            )],
        ),
        (
            histogram(),
            vec![
                format!("m_x_seconds_bucket{{{IDENTITY}, le=\"+Inf\"}} 6"),
                format!("m_x_seconds_bucket{{{IDENTITY}, le=\"0.5\"}} 1"),
                format!("m_x_seconds_bucket{{{IDENTITY}, le=\"1000000000\"}} 3"),
                format!("m_x_seconds_count{{{IDENTITY}}} 6"),
                format!("m_x_seconds_sum{{{IDENTITY}}} 9.5"),
            ],
        ),
        (
            exponential(0, 0),
            vec![format!("m_x_seconds{{{IDENTITY}}} 0 7 1 [0:1 2:2 3:3]")],
        ),
        (
            exponential(9, 0),
            vec![format!("m_x_seconds{{{IDENTITY}}} 8 7 1 [0:1 1:2 2:3]")],
        ),
        (
            summary,
            vec![
                format!("m_x_seconds{{{IDENTITY}, quantile=\"0.5\"}} 2"),
                format!("m_x_seconds_count{{{IDENTITY}}} 3"),
                format!("m_x_seconds_sum{{{IDENTITY}}} 4.5"),
            ],
        ),
    ] {
        let mut got = told(data, &settings);
        let mut want = with_info(series);
        got.sort();
        want.sort();
        assert_eq!(got, want);
    }
}

#[test]
fn settings_have_their_effect() {
    let promoted = OtlpSettings {
        promoted: vec!["host.name".to_owned()],
        ..OtlpSettings::default()
    };
    let all = OtlpSettings {
        promote_all: true,
        ignored: vec![
            "service.name".to_owned(),
            "service.namespace".to_owned(),
            "service.instance.id".to_owned(),
        ],
        ..OtlpSettings::default()
    };
    let scoped = OtlpSettings {
        promote_scope_metadata: true,
        ..OtlpSettings::default()
    };
    let custom = OtlpSettings {
        convert_histograms_to_nhcb: true,
        ..OtlpSettings::default()
    };
    let plain = OtlpSettings {
        strategy: TranslationStrategy::NoTranslation,
        ..OtlpSettings::default()
    };
    for (data, settings, says) in [
        (
            sum(2),
            promoted,
            "host_name=\"h\", http_method=\"GET\", instance=\"i\"",
        ),
        (
            sum(2),
            all,
            "host_name=\"h\", http_method=\"GET\", instance=\"i\"",
        ),
        (
            sum(2),
            scoped,
            "otel_scope_k=\"v\", otel_scope_name=\"lib\", otel_scope_schema_url=\"u\", otel_scope_version=\"1\"",
        ),
        (histogram(), custom, "-53 6 0 [0:1 1:2 2:3]"),
        (sum(2), plain, "{\"m.x\", \"http.method\"=\"GET\""),
    ] {
        let got = told(data, &settings);
        assert!(got.iter().any(|one| one.contains(says)), "{says}: {got:?}");
    }
    let keeping = OtlpSettings {
        keep_identifying_resource_attributes: true,
        ..OtlpSettings::default()
    };
    let got = told(sum(2), &keeping);
    assert!(
        got.iter()
            .any(|one| one.starts_with("target_info") && one.contains("service_name=\"s\"")),
        "{got:?}"
    );
}

#[test]
fn what_is_not_recorded_any_more_is_stale_and_deltas_are_refused_or_added_up() {
    let settings = OtlpSettings::default();
    let stale = convert::convert(&request(exponential(0, 1)), &settings, None);
    let ended = stale.series.iter().flat_map(|one| &one.histograms);
    assert!(ended.map(|(_, value)| value.sum).all(is_stale));
    let refused = convert::convert(&request(sum(1)), &settings, None);
    assert_eq!(
        (refused.series.len(), refused.rejected),
        (1, 1),
        "target_info stays"
    );
    assert!(refused.first.is_some_and(|why| why.contains("delta")));
    let mut deltas = Deltas::default();
    deltas.begin(Timestamp::from_ms(NOW_MS));
    let mut later = request(sum(1));
    if let Some(Data::Sum(sum)) = &mut later.resource_metrics[0].scope_metrics[0].metrics[0].data {
        sum.data_points[0].time_unix_nano += 1_000_000;
    }
    let mut values = Vec::new();
    for (request, rejected) in [(request(sum(1)), 0), (later.clone(), 0), (later, 1)] {
        let added = convert::convert(&request, &settings, Some(&mut deltas));
        assert_eq!(added.rejected, rejected, "{added:?}");
        assert_eq!(added.first.is_some(), rejected > 0, "{added:?}");
        let counters = added
            .series
            .iter()
            .filter(|one| one.labels.metric_name() != Some("target_info"));
        values.extend(counters.flat_map(|one| one.floats.iter().map(|(_, value)| *value)));
    }
    assert_eq!(values, [5.0, 10.0], "the same point twice counts once");
}

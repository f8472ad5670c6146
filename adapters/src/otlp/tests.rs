//! OTLP as senders see it: each kind of metric in both encodings, each code, garbage.

use std::io::Write;

use axum::body::to_bytes;
use stillwell_engine::Timestamp;
use stillwell_engine::promql::select::is_stale;
use tower_service::Service;

use super::messages::*;
use super::*;
use crate::test_host::{NOW_MS, NoSignals, TestHost};

const PROTOBUF: &str = "application/x-protobuf";

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
        strategy: Strategy::NoTranslation,
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

async fn send(router: &mut Router, kind: &str, packed: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
    let request = Request::post("/api/v1/otlp/v1/metrics")
        .header(header::CONTENT_TYPE, kind)
        .header(header::CONTENT_ENCODING, packed)
        .body(Body::from(body))
        .expect("valid");
    let response = router.call(request).await.expect("infallible");
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20)
        .await
        .expect("short");
    (status, body.to_vec())
}

fn router_of(takes_writes: bool) -> Router {
    let mut host = TestHost::new(Arc::new(NoSignals));
    host.takes_writes = takes_writes;
    crate::prometheus::router(Arc::new(host))
}

async fn value(router: &mut Router, query: &str) -> String {
    let request = Request::get(format!("/api/v1/query?query={query}"))
        .body(Body::empty())
        .expect("valid");
    let response = router.call(request).await.expect("infallible");
    let body = to_bytes(response.into_body(), 1 << 20)
        .await
        .expect("short");
    String::from_utf8(body.to_vec()).expect("text")
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

const JSON: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"j"}},
    {"key":"n","value":{"intValue":"3"}}]},"scopeMetrics":[{"scope":{},"metrics":[
    {"name":"g","unit":"1","gauge":{"dataPoints":[{"timeUnixNano":"1795460399000000000","asInt":"7"}]}},
    {"name":"c","sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","isMonotonic":true,"dataPoints":[{"timeUnixNano":1795460399000000000,"asDouble":2.5}]}},
    {"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1795460399000000000","count":"2","sum":3,"bucketCounts":["1","1"],"explicitBounds":[1]}]}},
    {"name":"d","sum":{"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"1795460399000000000","asInt":1}]}}]}]}]}"#;

#[tokio::test]
async fn both_encodings_are_taken_plain_and_packed() {
    let mut router = router_of(true);
    let body = request(sum(2)).encode_to_vec();
    assert_eq!(
        send(&mut router, PROTOBUF, "", body).await,
        (200, Vec::new())
    );
    assert!(
        value(&mut router, "m_x_seconds_total")
            .await
            .contains("\"5\"")
    );
    let body = gzipped(&request(histogram()).encode_to_vec());
    assert_eq!(send(&mut router, PROTOBUF, "gzip", body).await.0, 200);
    assert!(
        value(&mut router, "m_x_seconds_count")
            .await
            .contains("\"6\"")
    );
    let (status, body) = send(
        &mut router,
        "application/json; charset=utf-8",
        "",
        JSON.into(),
    )
    .await;
    let said = String::from_utf8(body).expect("text");
    assert_eq!(status, 200, "{said}");
    assert!(
        said.contains("\"rejectedDataPoints\":\"1\"") && said.contains("delta"),
        "{said}"
    );
    for (query, says) in [
        ("g_ratio", "\"7\""),
        ("c_total", "\"2.5\""),
        ("h_bucket", "\"le\":\"1\""),
        ("target_info", "\"n\":\"3\""),
    ] {
        let answer = value(&mut router, query).await;
        assert!(answer.contains(says), "{query}: {answer}");
    }
}

#[tokio::test]
async fn requests_that_are_broken_change_nothing() {
    let mut router = router_of(true);
    let good = request(sum(2)).encode_to_vec();
    let mut many = Vec::new();
    // A metric with 400,000 empty points: 800 kB on the wire, 90 MB in memory.
    let points = [0x0a, 0].repeat(400_000);
    for tag in [5u8, 2, 2, 1] {
        let inner = if many.is_empty() {
            points.clone()
        } else {
            std::mem::take(&mut many)
        };
        many.push(tag << 3 | 2);
        prost::encode_length_delimiter(inner.len(), &mut many).expect("memory");
        many.extend_from_slice(&inner);
    }
    let bomb = gzipped(&vec![0; UNPACKED_BYTES_MAX + 1]);
    let deep = format!(
        "{{\"resourceMetrics\":{}1{}}}",
        "[".repeat(500),
        "]".repeat(500)
    );
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(JSON_BYTES_MAX));
    for (kind, packed, body, code, says) in [
        ("text/plain", "", good.clone(), 415, "Content-Type"),
        (PROTOBUF, "snappy", good.clone(), 415, "gzip"),
        (PROTOBUF, "gzip", good.clone(), 400, "not gzip"),
        (PROTOBUF, "gzip", bomb, 413, "unpacked"),
        (PROTOBUF, "", b"garbage".to_vec(), 400, "not an OTLP"),
        (PROTOBUF, "", many, 413, "memory"),
        ("application/json", "", b"[]".to_vec(), 400, "JSON object"),
        (
            "application/json",
            "",
            b"{\"resourceMetrics\":3}".to_vec(),
            400,
            "not a list",
        ),
        ("application/json", "", deep.into_bytes(), 400, "not JSON"),
        ("application/json", "", long.into_bytes(), 413, "JSON"),
    ] {
        let (status, said) = send(&mut router, kind, packed, body).await;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(status, code, "{kind} {packed}: {said}");
        assert!(said.contains(says), "{said}");
    }
    assert!(
        value(&mut router, "%7B__name__=~%22.%2B%22%7D")
            .await
            .contains("\"result\":[]")
    );
    // Samples that come too late.
    assert_eq!(send(&mut router, PROTOBUF, "", good.clone()).await.0, 200);
    let mut late = request(sum(2));
    if let Some(Data::Sum(sum)) = &mut late.resource_metrics[0].scope_metrics[0].metrics[0].data {
        sum.data_points[0].time_unix_nano -= 1_000_000_000;
    }
    let (status, said) = send(&mut router, PROTOBUF, "", late.encode_to_vec()).await;
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&said));
    let (status, said) = send(&mut router_of(false), PROTOBUF, "", good).await;
    assert_eq!(status, 404);
    assert!(String::from_utf8_lossy(&said).contains("--web.enable-otlp-receiver"));
}

#[test]
fn labels_without_end_are_refused() {
    let points = (0..3_000).map(|at| HistogramDataPoint {
        attributes: vec![pair("long", &"x".repeat(2_000))],
        time_unix_nano: NOW_MS as u64 * 1_000_000 + at * 1_000_000,
        explicit_bounds: (0..100).map(f64::from).collect(),
        bucket_counts: vec![1; 101],
        ..HistogramDataPoint::default()
    });
    let data = Data::Histogram(Histogram {
        data_points: points.collect(),
        aggregation_temporality: 2,
    });
    let converted = convert::convert(&request(data), &OtlpSettings::default(), None);
    assert!(converted.rejected > 1_000, "{}", converted.rejected);
    assert!(
        converted
            .first
            .is_some_and(|why| why.contains("send fewer points"))
    );
}

#[test]
fn json_that_would_take_more_memory_than_protobuf_may_is_refused() {
    let settings = OtlpSettings::default();
    let empty = vec!["{\"\":0}"; 500_000].join(",");
    let hostile = format!("{{\"x\":[{empty}]}}");
    assert!(hostile.len() <= JSON_BYTES_MAX);
    let refused = series(hostile.as_bytes(), Encoding::Json, &settings);
    assert!(
        matches!(&refused, Err(Refusal::TooLarge(why)) if why.contains("send fewer points")),
        "{refused:?}"
    );
    // Of an SDK: some thousand points.
    let point = |at: u32| {
        format!(
            r#"{{"attributes":[{{"key":"http.route","value":{{"stringValue":"/v1/{at}"}}}}],"startTimeUnixNano":"{0}","timeUnixNano":"{0}","asDouble":{at}}}"#,
            NOW_MS as u64 * 1_000_000,
        )
    };
    let points: Vec<String> = (0..20_000).map(point).collect();
    let usual = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":[{}]}}}}]}}]}}]}}"#,
        points.join(",")
    );
    let taken = series(usual.as_bytes(), Encoding::Json, &settings);
    assert_eq!(taken.map(|series| series.len()), Ok(20_000));
}

/// What becomes of a gauge with one point that has these attributes.
fn gauge_with(attributes: Vec<KeyValue>) -> out::Converted {
    let point = NumberDataPoint {
        attributes,
        ..number(1.0)
    };
    let data = Data::Gauge(Gauge {
        data_points: vec![point],
    });
    convert::convert(&request(data), &OtlpSettings::default(), None)
}

#[test]
fn attributes_without_end_are_refused_before_they_are_joined() {
    let same = |count: usize, bytes: usize| {
        let value = "x".repeat(bytes);
        let name = |at: usize| format!("a{}b", [".", "_", "-", "+"][at % 4].repeat(at / 4 + 1));
        (0..count).map(|at| pair(&name(at), &value)).collect()
    };
    for (attributes, why) in [
        (same(4_097, 0), "4097 attributes"),
        (same(4, 300_000), "more than 1048576 bytes"),
    ] {
        let got = gauge_with(attributes);
        assert_eq!((got.rejected, got.series.len()), (1, 1), "target_info");
        assert!(
            got.first.as_ref().is_some_and(|got| got.contains(why)),
            "{got:?}"
        );
    }
    let got = gauge_with(vec![pair("a.b", "1"), pair("a_b", ""), pair("a-b", "3")]);
    assert_eq!((got.rejected, got.series.len()), (0, 2));
    let joined = got.series.iter().filter_map(|one| one.labels.get("a_b"));
    assert_eq!(joined.collect::<Vec<_>>(), ["3;1;"], "sorted by attribute");
}

#[test]
fn what_each_point_of_a_resource_would_copy_is_limited() {
    let long = "x".repeat(70_000);
    let mut request = request(sum(2));
    request.resource_metrics[0].resource = Some(Resource {
        attributes: vec![pair("service.name", &long)],
    });
    let got = convert::convert(&request, &OtlpSettings::default(), None);
    assert_eq!((got.rejected, got.series.len()), (1, 0));
    assert!(got.first.is_some_and(|why| why.contains("share")));
    let settings = OtlpSettings {
        promote_scope_metadata: true,
        ..OtlpSettings::default()
    };
    let mut request = self::request(sum(2));
    request.resource_metrics[0].scope_metrics[0].schema_url = long;
    let got = convert::convert(&request, &settings, None);
    assert!(got.first.is_some_and(|why| why.starts_with("a scope")));
    assert_eq!((got.rejected, got.series.len()), (1, 0));
}

#[test]
fn garbage_is_refused_and_nothing_panics() {
    let good = [
        request(sum(2)).encode_to_vec(),
        request(exponential(9, 0)).encode_to_vec(),
        request(histogram()).encode_to_vec(),
        JSON.as_bytes().to_vec(),
    ];
    let mut state = 7u64;
    for round in 0..20_000 {
        let mut bytes = good[round % good.len()].clone();
        for _ in 0..3 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 20) as u8;
        }
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let _ = series(&bytes, encoding, &OtlpSettings::default()); // any answer will do
        }
    }
}

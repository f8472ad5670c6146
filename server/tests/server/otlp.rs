//! Metrics of OpenTelemetry: the same bytes to this server and to a real Prometheus, which have to end with the same series;
//! and a real SDK.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use serde_json::Value as Json;
use stillwell_adapters::otlp::messages::*;
use tokio::sync::Notify;

use crate::common::rival::{Prometheus, prometheus_binary};
use crate::common::{data, say, server};
use stillwell_adapters::host::Host;

/// Posts bytes, with a client that reads no answer but its status.
async fn post(address: SocketAddr, body: &[u8]) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("listening");
    let head = format!(
        "POST /api/v1/otlp/v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("it reads");
    stream.write_all(body).await.expect("it reads");
    let mut answer = String::new();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("it answers");
    answer.push_str(&String::from_utf8_lossy(&bytes));
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    status.unwrap_or_else(|| panic!("no status: {answer}"))
}

fn any(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: any(Value::String(value.to_owned())),
    }
}

fn attributes(number: i64) -> Vec<KeyValue> {
    vec![
        pair("http.method", "GET"),
        pair("http_method", "joined"),
        pair("_private", "p"),
        pair("a..b", "two"),
        pair("1st", "digit"),
        pair("empty", ""),
        KeyValue {
            key: "n".to_owned(),
            value: any(Value::Int(number)),
        },
        KeyValue {
            key: "f".to_owned(),
            value: any(Value::Double(0.1)),
        },
        KeyValue {
            key: "flag".to_owned(),
            value: any(Value::Bool(true)),
        },
        KeyValue {
            key: "list".to_owned(),
            value: any(Value::Array(ArrayValue {
                values: vec![
                    AnyValue {
                        value: Some(Value::String("<x>".to_owned())),
                    },
                    AnyValue {
                        value: Some(Value::Int(2)),
                    },
                ],
            })),
        },
        KeyValue {
            key: "map".to_owned(),
            value: any(Value::List(KeyValueList {
                values: vec![pair("z", "1"), pair("a", "2")],
            })),
        },
        KeyValue {
            key: "bytes".to_owned(),
            value: any(Value::Bytes(vec![1, 2, 3, 255])),
        },
    ]
}

fn numbers(at_ms: i64) -> Vec<NumberDataPoint> {
    let point = |value, number, flags| NumberDataPoint {
        attributes: attributes(number),
        time_unix_nano: at_ms as u64 * 1_000_000 + 123_456,
        value: Some(value),
        flags,
    };
    vec![
        point(Number::AsDouble(1.5), 1, 0),
        point(Number::AsInt(-7), 2, 0),
        point(Number::AsDouble(3.0), 3, 1),
    ]
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
    }
}

/// Every kind of metric, with names and units that are translated in every way.
fn metrics(at_ms: i64) -> Vec<Metric> {
    let nanos = at_ms as u64 * 1_000_000;
    let gauge = || {
        Data::Gauge(Gauge {
            data_points: numbers(at_ms),
        })
    };
    let sum = |is_monotonic| {
        Data::Sum(Sum {
            data_points: numbers(at_ms),
            aggregation_temporality: 2,
            is_monotonic,
        })
    };
    let histogram = Data::Histogram(Histogram {
        data_points: vec![HistogramDataPoint {
            attributes: vec![pair("k", "v")],
            time_unix_nano: nanos,
            count: 6,
            sum: Some(9.25),
            bucket_counts: vec![0, 1, 2, 3],
            explicit_bounds: vec![0.005, 0.5, 1e9],
            flags: 0,
        }],
        aggregation_temporality: 2,
    });
    let exponential = |scale, offset, counts: &[u64]| {
        let count = counts.iter().sum::<u64>() * 2 + 4;
        let side = Some(Buckets {
            offset,
            bucket_counts: counts.to_vec(),
        });
        Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![ExponentialHistogramDataPoint {
                attributes: vec![pair("k", "v")],
                time_unix_nano: nanos,
                count,
                sum: Some(12.5),
                scale,
                zero_count: 4,
                positive: side.clone(),
                negative: side,
                flags: 0,
            }],
            aggregation_temporality: 2,
        })
    };
    let summary = Data::Summary(Summary {
        data_points: vec![SummaryDataPoint {
            attributes: vec![pair("k", "v")],
            time_unix_nano: nanos,
            count: 5,
            sum: 7.5,
            quantile_values: vec![
                ValueAtQuantile {
                    quantile: 0.5,
                    value: 1.0,
                },
                ValueAtQuantile {
                    quantile: 0.99,
                    value: 2.0,
                },
            ],
            flags: 0,
        }],
    });
    vec![
        metric("plain", "", gauge()),
        metric("ratio.of", "1", gauge()),
        metric("speed", "m/s", gauge()),
        metric("things", "{thing}", sum(true)),
        metric("requests.total", "1", sum(true)),
        metric("io..bytes", "By", sum(true)),
        metric("7days", "d", gauge()),
        metric("up_and_down", "By/s", sum(false)),
        metric("latency", "s", histogram),
        metric("native", "ms", exponential(3, -2, &[1, 2, 0, 0, 3])),
        metric(
            "native.fine",
            "",
            exponential(10, 17, &[1, 2, 3, 4, 5, 6, 7, 8]),
        ),
        metric("native.coarse", "", exponential(-4, 0, &[5])),
        metric("quantiles", "s", summary),
    ]
}

fn request(at_ms: i64) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    pair("service.name", "shop"),
                    pair("service.namespace", "eu"),
                    pair("service.instance.id", "pod-1"),
                    pair("host.name", "h1"),
                    pair("k8s.pod.name", "p"),
                ],
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(Scope {
                    name: "lib".to_owned(),
                    version: "1.2".to_owned(),
                    attributes: vec![pair("extra", "e")],
                }),
                metrics: metrics(at_ms),
                schema_url: "https://schema".to_owned(),
            }],
        }],
    }
}

/// Samples by series, as the API tells them.
fn by_series(answer: &Json) -> BTreeMap<String, String> {
    let list = answer["result"].as_array().expect("a matrix");
    let series = list.iter().map(|one| {
        let values = format!("{} {}", one["values"], one["histograms"]);
        (one["metric"].to_string(), values)
    });
    series.collect()
}

const ALL: &str = "/api/v1/query?query=%7B__name__%21%3D%22%22%7D%5B5m%5D";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_bytes_give_the_series_that_prometheus_gives() {
    let Some(binary) = prometheus_binary() else {
        return;
    };
    let help = std::process::Command::new(&binary).arg("--help").output();
    let help = help.expect("prometheus runs");
    let knows = |text: &[u8]| String::from_utf8_lossy(text).contains("enable-otlp-receiver");
    if !knows(&help.stdout) && !knows(&help.stderr) {
        // Debian's is built without it.
        return say("NOT RUN: this Prometheus takes no OTLP");
    }
    for section in [
        "{}",
        "{promote_resource_attributes: [host.name, service.name]}",
        "{translation_strategy: NoUTF8EscapingWithSuffixes}",
        "{translation_strategy: NoTranslation, convert_histograms_to_nhcb: true}",
        "{keep_identifying_resource_attributes: true, convert_histograms_to_nhcb: true}",
    ] {
        let text = format!("otlp: {section}\n");
        let flags = [
            "--web.enable-otlp-receiver",
            "--enable-feature=native-histograms",
        ];
        let rival = Prometheus::start(&binary, &text, &flags);
        let running = server(&text).await;
        let knocking = Arc::new(Notify::new());
        let knock = Arc::clone(&knocking);
        let knocker = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                knock.notify_waiters();
            }
        });
        rival.ask(&knocking, "/api/v1/status/buildinfo").await;
        let bytes = request(running.app.now().ms()).encode_to_vec();
        assert_eq!(post(running.addresses[0], &bytes).await, 200, "{section}");
        assert_eq!(post(rival.address, &bytes).await, 200, "{section}");
        let ours = by_series(&data(running.addresses[0], ALL).await);
        let theirs = by_series(&rival.ask(&knocking, ALL).await);
        knocker.abort();
        assert!(theirs.len() >= 25, "{section}: {}", theirs.len());
        let ours: BTreeSet<_> = ours.into_iter().collect();
        let theirs: BTreeSet<_> = theirs.into_iter().collect();
        let only_ours: Vec<_> = ours.difference(&theirs).collect();
        let only_theirs: Vec<_> = theirs.difference(&ours).collect();
        assert!(
            only_ours.is_empty() && only_theirs.is_empty(),
            "{section}: only ours {only_ours:#?}, only theirs {only_theirs:#?}"
        );
        running.stop().await;
    }
}

/// `STILLWELL_OTEL_PYTHON` is a Python with `opentelemetry-sdk` and `opentelemetry-exporter-otlp-proto-http`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_instrument_of_a_real_sdk_is_taken() {
    let Some(python) = stillwell_testing::outside::OTEL_PYTHON.find() else {
        return;
    };
    let running = server("{}").await;
    let address = running.addresses[0];
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/otlp_sdk.py");
    let url = format!("http://{address}/api/v1/otlp/v1/metrics");
    let run = move || {
        std::process::Command::new(python)
            .arg(script)
            .arg(url)
            .output()
    };
    let run = tokio::task::spawn_blocking(run)
        .await
        .expect("no panic")
        .expect("python runs");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.trim().is_empty(), "{said}");
    for (query, value) in [
        ("a_counter_total{k=\"v\",job=\"sdk\"}", 3.0),
        ("an_up_down_counter{k=\"v\"}", -2.0),
        ("a_gauge_celsius{k=\"v\"}", 21.5),
        ("an_observable_counter_total{k=\"v\"}", 11.0),
        ("an_observable_up_down_counter{k=\"v\"}", -4.0),
        ("an_observable_gauge{k=\"v\"}", 0.5),
        ("a_histogram_seconds_count{k=\"v\"}", 2.0),
        ("a_histogram_seconds_sum{k=\"v\"}", 1.25),
        ("histogram_count(an_exponential_histogram{k=\"v\"})", 2.0),
        ("histogram_sum(an_exponential_histogram{k=\"v\"})", 1.25),
        (
            "target_info{job=\"sdk\",telemetry_sdk_language=\"python\"}",
            1.0,
        ),
    ] {
        assert_eq!(
            crate::common::value(address, query).await,
            Some(value),
            "{query}"
        );
    }
    running.stop().await;
}

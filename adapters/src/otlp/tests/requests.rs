//! Requests: both encodings, what is broken, garbage.

use std::io::Write;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use prost::Message;
use tower_service::Service;

use super::super::request::{JSON_BYTES_MAX, UNPACKED_BYTES_MAX};
use super::*;

const PROTOBUF: &str = "application/x-protobuf";

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

//! The receiver as senders see it: both protocols, each code, garbage.

use axum::body::to_bytes;
use prost::Message;
use tower_service::Service;

use super::messages::{
    BucketSpan, Count, Histogram, Label, Sample, SymbolSeries, TimeSeries, WriteRequest,
};
use super::*;
use crate::test_host::{NOW_MS, NoSignals, TestHost};

const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

fn pack(message: &impl Message) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(&message.encode_to_vec())
        .expect("fits")
}

fn v1(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let labels = labels.iter().map(|(name, value)| Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    });
    pack(&WriteRequest {
        timeseries: vec![TimeSeries {
            labels: labels.collect(),
            samples: points(samples),
            histograms: Vec::new(),
        }],
    })
}

fn points(samples: &[(i64, f64)]) -> Vec<Sample> {
    let point = |&(ago_ms, value): &(i64, f64)| Sample {
        value,
        timestamp: NOW_MS - ago_ms,
    };
    samples.iter().map(point).collect()
}

fn v2(refs: &[u32], histogram: Histogram) -> Vec<u8> {
    pack(&messages::Request {
        symbols: ["", "__name__", "h", "job", "a"]
            .map(str::to_owned)
            .to_vec(),
        timeseries: vec![SymbolSeries {
            labels_refs: refs.to_vec(),
            samples: points(&[(9000, 1.0)]),
            histograms: vec![histogram],
        }],
    })
}

/// Two observations in one bucket.
fn native() -> Histogram {
    Histogram {
        count: Some(Count::Int(2)),
        sum: 3.0,
        positive_spans: vec![BucketSpan {
            offset: 1,
            length: 1,
        }],
        positive_deltas: vec![2],
        timestamp: NOW_MS - 5000,
        ..Histogram::default()
    }
}

async fn send(router: &mut Router, request: Request<Body>) -> (u16, HeaderMap, String) {
    let response = router.call(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("short");
    let body = String::from_utf8(body.to_vec()).expect("text");
    (parts.status.as_u16(), parts.headers, body)
}

async fn write_to(router: &mut Router, kind: &str, body: Vec<u8>) -> (u16, HeaderMap, String) {
    let request = Request::post("/api/v1/write")
        .header(header::CONTENT_TYPE, kind)
        .header(header::CONTENT_ENCODING, "snappy")
        .body(Body::from(body))
        .expect("valid");
    send(router, request).await
}

async fn value(router: &mut Router, query: &str) -> String {
    let request = Request::get(format!("/api/v1/query?query={query}"))
        .body(Body::empty())
        .expect("valid");
    send(router, request).await.2
}

fn router_of(takes_writes: bool) -> Router {
    let mut host = TestHost::new(Arc::new(NoSignals));
    host.takes_writes = takes_writes;
    crate::prometheus::router(Arc::new(host))
}

#[tokio::test]
async fn what_is_written_can_be_asked_for() {
    let mut router = router_of(true);
    let body = v1(
        &[("job", "a"), ("__name__", "x")],
        &[(2000, 1.5), (1000, 2.5)],
    );
    let (code, headers, text) = write_to(&mut router, "application/x-protobuf", body).await;
    assert_eq!((code, text.as_str()), (204, ""));
    assert!(!headers.contains_key(&WRITTEN[0]));
    let answer = value(&mut router, "sum_over_time(x%7Bjob=%22a%22%7D%5B1m%5D)").await;
    assert!(answer.contains("\"4\""), "{answer}");

    let (code, headers, _) = write_to(&mut router, V2, v2(&[1, 2, 3, 4], native())).await;
    let written = WRITTEN.map(|name| headers[name].to_str().expect("text").to_owned());
    assert_eq!((code, written), (204, ["1", "1", "0"].map(str::to_owned)));
    let answer = value(&mut router, "histogram_sum(h%7Bjob=%22a%22%7D)").await;
    assert!(answer.contains("\"3\""), "{answer}");
}

#[tokio::test]
async fn what_is_not_taken_is_told_and_the_rest_is_taken() {
    let mut router = router_of(true);
    let name = [("__name__", "x")];
    for (samples, code, part) in [
        (vec![(3000, 1.0)], 204, ""),
        (vec![(3000, 1.0)], 204, ""),
        (
            vec![(3000, 2.0), (2000, 5.0)],
            400,
            "duplicate sample for timestamp",
        ),
        (vec![(2500, 2.0)], 400, "out of order sample"),
        (vec![(4_000_000, 2.0)], 400, "out of bounds"),
        (vec![(-700_000, 2.0)], 400, "too far in the future"),
    ] {
        let (got, _, text) = write_to(&mut router, "", v1(&name, &samples)).await;
        assert_eq!(got, code, "{samples:?}: {text}");
        assert!(text.contains(part), "{text}");
    }
    assert!(value(&mut router, "x").await.contains("\"5\""));
}

/// One symbol of 60 kB that 100,000 series referred to was a gigabyte of labels, of a request of 2.7 MB.
#[tokio::test]
async fn symbols_count_for_each_series_that_refers_to_them() {
    let mut router = router_of(true);
    let request = |series: usize, bytes: usize| {
        let one = SymbolSeries {
            labels_refs: vec![1, 2, 3, 4],
            samples: points(&[(9_000, 1.0)]),
            histograms: Vec::new(),
        };
        let value = "x".repeat(bytes);
        pack(&messages::Request {
            symbols: ["", "__name__", "large", "l", &value]
                .map(str::to_owned)
                .to_vec(),
            timeseries: vec![one; series],
        })
    };
    for (series, bytes, expected) in [(10_000, 60_000, 413), (10, 60_000, 204), (10_000, 10, 204)] {
        let (code, _, text) = write_to(&mut router, V2, request(series, bytes)).await;
        assert_eq!(code, expected, "{series} series, {bytes} bytes: {text}");
    }
}

#[tokio::test]
async fn requests_that_are_broken_change_nothing() {
    let mut router = router_of(true);
    let good = v1(&[("__name__", "x")], &[(0, 1.0)]);
    let large = snap::raw::Encoder::new()
        .compress_vec(&vec![0; UNPACKED_BYTES_MAX + 1])
        .expect("fits");
    let many = snap::raw::Encoder::new()
        .compress_vec(&[0x0a, 0].repeat(weigh::PARTS_MAX + 1))
        .expect("fits");
    let negative = Histogram {
        positive_deltas: vec![-2],
        ..native()
    };
    let unknown = Histogram {
        schema: 99,
        ..native()
    };
    let wide = Histogram {
        positive_spans: vec![BucketSpan {
            offset: 0,
            length: u32::MAX,
        }],
        ..native()
    };
    for (kind, body, code, part) in [
        ("text/plain", good.clone(), 415, "application/x-protobuf"),
        (
            "application/x-protobuf;proto=x.Y",
            good.clone(),
            415,
            "proto",
        ),
        ("", b"garbage".to_vec(), 400, "snappy"),
        ("", large, 413, "unpacked"),
        ("", many, 413, "send fewer"),
        ("", v1(&[("a", "b")], &[(0, 1.0)]), 400, "no metric name"),
        (
            "",
            v1(&[("__name__", "x"), ("a", "b"), ("a", "c")], &[]),
            400,
            "twice",
        ),
        ("", v1(&[("__name__", "x"), ("", "b")], &[]), 400, "no name"),
        (V2, v2(&[1, 9], native()), 400, "not in the table"),
        (V2, v2(&[1], native()), 400, "no pairs"),
        (V2, v2(&[1, 2], negative), 400, "negative"),
        (V2, v2(&[1, 2], unknown), 400, "schema"),
        (V2, v2(&[1, 2], wide), 400, "fit"),
    ] {
        let (got, _, text) = write_to(&mut router, kind, body).await;
        assert_eq!(got, code, "{kind} {text}");
        assert!(text.contains(part), "{text}");
    }
    let gzip = Request::post("/api/v1/write")
        .header(header::CONTENT_ENCODING, "gzip")
        .body(Body::from(good.clone()))
        .expect("valid");
    assert_eq!(send(&mut router, gzip).await.0, 415);
    assert!(
        value(&mut router, "%7B__name__=~%22.%2B%22%7D")
            .await
            .contains("\"result\":[]")
    );

    let mut closed = router_of(false);
    let (code, _, text) = write_to(&mut closed, "", good).await;
    assert_eq!(code, 404);
    assert!(
        text.contains("--web.enable-remote-write-receiver"),
        "{text}"
    );
}

#[test]
fn garbage_is_refused_and_nothing_panics() {
    let good = [
        v1(&[("__name__", "x")], &[(0, 1.0)]),
        v2(&[1, 2, 3, 4], native()),
    ];
    let mut state = 7u64;
    for round in 0..20_000 {
        let mut plain = snap::raw::Decoder::new()
            .decompress_vec(&good[round % 2])
            .expect("packed above");
        for _ in 0..3 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = (state >> 33) as usize % plain.len();
            plain[at] = (state >> 20) as u8;
        }
        let packed = snap::raw::Encoder::new()
            .compress_vec(&plain)
            .expect("fits");
        for protocol in [Protocol::V1, Protocol::V2] {
            let _ = decode(&packed, protocol); // any answer will do
            let _ = decode(&plain, protocol);
        }
    }
}

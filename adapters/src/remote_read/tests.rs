use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use prost::Message;
use stillwell_engine::labels;
use stillwell_engine::labels::{Labels, MatchOp, Matcher};
use stillwell_engine::promql::{EvalOptions, MemoryLease, QueryMemory};
use stillwell_engine::{AppendedSeries, Timestamp};
use stillwell_testing::counting::peak_bytes;
use tower_service::Service;

use super::frames::crc32c;
use super::messages::{ChunkedReadResponse, LabelMatcher, Query, ReadRequest, ReadResponse};
use super::reading::Reading;
use super::route::{SAMPLED, STREAMED};
use super::*;
use crate::host::Host;
use crate::test_host::{NOW_MS, NoSignals, TestHost};

fn asked(kinds: &[i32], kind: i32, value: &str) -> ReadRequest {
    ReadRequest {
        queries: vec![Query {
            start_timestamp_ms: NOW_MS - 10_000,
            end_timestamp_ms: NOW_MS,
            matchers: vec![LabelMatcher {
                kind,
                name: "__name__".to_owned(),
                value: value.to_owned(),
            }],
        }],
        accepted_response_types: kinds.to_vec(),
    }
}

async fn post(host: &Arc<TestHost>, packed: Vec<u8>) -> (StatusCode, String, Vec<u8>) {
    let mut router = router(Arc::clone(host) as Arc<dyn Host>);
    let request = Request::post("/api/v1/read").body(Body::from(packed));
    let answer = router
        .call(request.expect("valid"))
        .await
        .expect("never fails");
    let status = answer.status();
    let kind = answer.headers()[header::CONTENT_TYPE]
        .to_str()
        .expect("text");
    let kind = kind.to_owned();
    let body = to_bytes(answer.into_body(), usize::MAX)
        .await
        .expect("memory");
    (status, kind, body.to_vec())
}

fn pack(request: &ReadRequest) -> Vec<u8> {
    let plain = request.encode_to_vec();
    snap::raw::Encoder::new()
        .compress_vec(&plain)
        .expect("memory")
}

fn host() -> Arc<TestHost> {
    let host = TestHost::new(Arc::new(NoSignals));
    let series = |name: &str, pool: &str, values: &[(i64, f64)]| AppendedSeries {
        labels: labels! {"__name__" => name, "pool" => pool},
        floats: values
            .iter()
            .map(|(ago_ms, value)| (Timestamp::from_ms(NOW_MS - ago_ms), *value))
            .collect(),
        histograms: Vec::new(),
    };
    let values = [
        (60_000, 9.0),
        (9_000, 1.0),
        (4_000, 1.5),
        (3_999, 1.5),
        (0, -7e300),
    ];
    let batch = vec![
        series("q", "b", &values),
        series("q", "a", &[(1, 2.0)]),
        series("r", "a", &[(1, 3.0)]),
    ];
    host.append(batch).expect("taken");
    Arc::new(host)
}

#[tokio::test]
async fn samples_come_in_one_message_by_labels_within_the_times() {
    let host = host();
    let (status, kind, body) = post(&host, pack(&asked(&[], 0, "q"))).await;
    assert_eq!((status, &*kind), (StatusCode::OK, SAMPLED));
    let plain = snap::raw::Decoder::new()
        .decompress_vec(&body)
        .expect("snappy");
    let read = ReadResponse::decode(&plain[..]).expect("protobuf");
    let series = &read.results[0].timeseries;
    let pools: Vec<&str> = series
        .iter()
        .map(|one| one.labels[1].value.as_str())
        .collect();
    assert_eq!(pools, ["a", "b"]);
    let values: Vec<f64> = series[1].samples.iter().map(|one| one.value).collect();
    assert_eq!(values, [1.0, 1.5, 1.5, -7e300]);
    let (_, _, body) = post(&host, pack(&asked(&[0], 2, "q|r"))).await;
    let plain = snap::raw::Decoder::new()
        .decompress_vec(&body)
        .expect("snappy");
    let read = ReadResponse::decode(&plain[..]).expect("protobuf");
    assert_eq!(read.results[0].timeseries.len(), 3);
}

/// The bits of the example of Gorilla's paper, as Prometheus' own reader takes them, are in the test with a real
/// Prometheus (`server/tests/server/remote_read.rs`); here the frames are.
#[tokio::test]
async fn chunks_come_in_frames_with_checksums() {
    let (status, kind, body) = post(&host(), pack(&asked(&[7, 1, 0], 0, "q"))).await;
    assert_eq!((status, &*kind), (StatusCode::OK, STREAMED));
    let mut rest = &body[..];
    let mut counts = Vec::new();
    while !rest.is_empty() {
        let length = prost::encoding::decode_varint(&mut rest).expect("a length") as usize;
        let (sum, after) = rest.split_at(4);
        let (message, after) = after.split_at(length);
        assert_eq!(sum, crc32c(message).to_be_bytes());
        let read = ChunkedReadResponse::decode(message).expect("protobuf");
        let chunk = &read.chunked_series[0].chunks[0];
        counts.push((chunk.data[1], chunk.max_time_ms - chunk.min_time_ms));
        rest = after;
    }
    assert_eq!(counts, [(1, 0), (4, 9_000)]);
    assert_eq!(
        crc32c(b"123456789"),
        0xe306_9283,
        "the check value of CRC-32C"
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let host = host();
    let mut large = vec![0xff, 0xff, 0xff, 0xff, 0x0f]; // says that it unpacks to 4 GiB
    large.extend_from_slice(&[0; 20]);
    let many = ReadRequest {
        queries: vec![Query::default(); 101],
        accepted_response_types: Vec::new(),
    };
    // A query of conditions that take two bytes each there, and some eighty here.
    let conditions = [&[0x0a, 0xc0, 0xb8, 0x02][..], &[0x1a, 0x00].repeat(20_000)].concat();
    let encode = |plain: &[u8]| {
        snap::raw::Encoder::new()
            .compress_vec(plain)
            .expect("small")
    };
    let (matchers, bomb) = (encode(&conditions), encode(&[0x1a, 0x00].repeat(1 << 20)));
    for (packed, code) in [
        (b"garbage".to_vec(), 400),
        (large, 413),
        (pack(&asked(&[9], 0, "q")), 400),
        (pack(&asked(&[], 5, "q")), 400),
        (pack(&asked(&[], 2, "(")), 400),
        (pack(&many), 400),
        (matchers, 400),
        (bomb, 413),
    ] {
        let (status, _, body) = post(&host, packed).await;
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status.as_u16(), code, "{body}");
    }
}

/// Answers of 40,000 series took 375 MB under a limit of 256 MB: labels as texts of their own took five times what was counted.
#[test]
fn an_answer_counts_what_it_takes() {
    let host = TestHost::new(Arc::new(NoSignals));
    let series = |at: usize| {
        let (name, pod) = ("__name__", format!("pod-{at}"));
        AppendedSeries {
            labels: labels! {name => "wide", "pod" => &*pod, "model" => "m", "zone" => "z", "node" => "n"},
            floats: vec![(Timestamp::from_ms(NOW_MS - 1), 1.0)],
            histograms: Vec::new(),
        }
    };
    host.append((0..20_000).map(series).collect())
        .expect("taken");
    let matcher = Matcher::new(MatchOp::Equal, "__name__", "wide").expect("valid");
    let asked = [(vec![matcher], NOW_MS - 10_000, NOW_MS)];
    for streamed in [false, true] {
        let memory = Arc::new(QueryMemory::new(64 << 20));
        let options = EvalOptions::default();
        let reading = Reading {
            view: &host.reader().plain(),
            external: &Labels::empty(),
            offset_ms: 0,
            options: &options,
            memory: MemoryLease::new(Some(Arc::clone(&memory)), 64 << 20),
        };
        let (answer, peak) = peak_bytes(|| match streamed {
            false => reading.sampled(&asked),
            true => reading.streamed(&asked),
        });
        let answer = answer.expect("it fits");
        assert!(peak as usize > answer.len() && answer.capacity() == answer.len());
        // It is taken in steps and never given back before the end.
        let counted = memory.used();
        assert!(peak <= counted + (1 << 20), "{peak} of {counted} counted");
    }
}

/// 200 clients that sent one byte of a body each kept everybody else waiting for as long as they were let.
#[tokio::test]
async fn bodies_that_do_not_come_keep_nobody_out() {
    let host = host();
    let mut router = router(Arc::clone(&host) as Arc<dyn Host>);
    for _ in 0..200 {
        let first = tokio_stream::iter([Ok::<_, std::convert::Infallible>("x")]);
        let silent = Body::from_stream(tokio_stream::StreamExt::chain(
            first,
            tokio_stream::pending(),
        ));
        let request = Request::post("/api/v1/read").body(silent);
        tokio::spawn(router.call(request.expect("valid")));
    }
    tokio::task::yield_now().await;
    let request = Request::post("/api/v1/read").body(Body::from(pack(&asked(&[], 0, "q"))));
    let answer = router.call(request.expect("valid")).await;
    assert_eq!(answer.expect("never fails").status(), StatusCode::OK);
}

//! `POST /api/v1/write`: samples from agents, by remote write 1.0 and 2.0.
//!
//! Codes are Prometheus': 204 where all is taken; 400 where the request is broken (nothing is written) or some samples
//! are not taken (the others are, and the text says how many and why, so sending them again is of no use); 503 where
//! memory is full (nothing is written: send again). Exemplars and metadata are read over.

mod decode;
mod histogram;
pub mod messages;
pub mod outgoing;
#[cfg(test)]
mod tests;
mod weigh;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
};
use axum::routing::any;
use bytes::Bytes;

use crate::host::Host;
use crate::reply::reply;
use crate::written::{BodySlots, text};

pub(crate) use weigh::each_part;

use decode::decode_within;
pub use decode::{Protocol, Refusal, UNPACKED_BYTES_MAX, decode};

/// Bytes of a request as sent: packing makes none larger but for some bytes.
const PACKED_BYTES_MAX: usize = UNPACKED_BYTES_MAX;

/// So many requests fill the places of decoding.
const SHARE: usize = 4;

const WRITTEN: [HeaderName; 3] = [
    HeaderName::from_static("x-prometheus-remote-write-samples-written"),
    HeaderName::from_static("x-prometheus-remote-write-histograms-written"),
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written"),
];

/// The route.
pub(crate) fn router(host: Arc<dyn Host>, slots: Arc<BodySlots>) -> Router {
    let handler = move |request: Request<Body>| {
        let (host, slots) = (Arc::clone(&host), Arc::clone(&slots));
        async move { answer(host, &slots, request).await }
    };
    Router::new().route("/api/v1/write", any(handler))
}

async fn answer(host: Arc<dyn Host>, slots: &BodySlots, request: Request<Body>) -> Response<Body> {
    if request.method() != Method::POST {
        return crate::reply::not_allowed("POST");
    }
    if !host.takes_writes() {
        return text(
            StatusCode::NOT_FOUND,
            "remote write receiver needs to be enabled with --web.enable-remote-write-receiver",
        );
    }
    let protocol = match negotiate(request.headers()) {
        Ok(protocol) => protocol,
        Err(why) => return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, why),
    };
    let bytes_max = slots.request_bytes_max();
    let work = move |packed: Bytes| write(&*host, packed, protocol, bytes_max);
    slots.take(request, (PACKED_BYTES_MAX, SHARE), work).await
}

fn write(host: &dyn Host, packed: Bytes, protocol: Protocol, bytes_max: usize) -> Response<Body> {
    let nothing = |status, why: &str| with_written(text(status, why), protocol, [0; 3]);
    let decoded = decode_within(&packed, protocol, bytes_max);
    drop(packed);
    let batch = match decoded {
        Ok(batch) => batch,
        Err(Refusal::TooLarge(why)) => return nothing(StatusCode::PAYLOAD_TOO_LARGE, &why),
        Err(Refusal::Bad(why)) => return nothing(StatusCode::BAD_REQUEST, &why),
    };
    let appended = match host.append(batch) {
        Ok(appended) => appended,
        Err(error) => return nothing(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    let response = match &appended.first_refused {
        None => reply(StatusCode::NO_CONTENT, "text/plain", String::new()),
        Some(first) => text(
            StatusCode::BAD_REQUEST,
            &format!(
                "{} samples not taken, the others are; the first: {first}",
                appended.refused
            ),
        ),
    };
    let written = [appended.floats, appended.histograms, 0];
    with_written(response, protocol, written)
}

/// The message by `Content-Type`; both are snappy blocks.
fn negotiate(headers: &HeaderMap) -> Result<Protocol, &'static str> {
    let header = |name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("").trim().to_ascii_lowercase()
    };
    let kind = header(header::CONTENT_TYPE);
    let mut parts = kind.split(';').map(str::trim);
    if !matches!(parts.next(), Some("" | "application/x-protobuf")) {
        return Err("Content-Type must be application/x-protobuf");
    }
    let protocol = match parts.find_map(|part| part.strip_prefix("proto=")) {
        None | Some("prometheus.writerequest") => Protocol::V1,
        Some("io.prometheus.write.v2.request") => Protocol::V2,
        Some(_) => {
            return Err(
                "Content-Type: proto must be prometheus.WriteRequest or io.prometheus.write.v2.Request",
            );
        }
    };
    match &*header(header::CONTENT_ENCODING) {
        "" | "snappy" => Ok(protocol),
        _ => Err("Content-Encoding must be snappy"),
    }
}

/// Adds what 2.0 wants to know.
fn with_written(
    mut response: Response<Body>,
    protocol: Protocol,
    written: [u64; 3],
) -> Response<Body> {
    if protocol == Protocol::V2 {
        for (name, count) in WRITTEN.into_iter().zip(written) {
            response
                .headers_mut()
                .insert(name, HeaderValue::from(count));
        }
    }
    response
}

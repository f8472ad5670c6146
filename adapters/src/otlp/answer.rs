//! The route, and what is answered to a request.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use axum::routing::any;
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;

use super::convert;
use super::deltas::Deltas;
use super::messages::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use super::request::{Encoding, Refusal, UNPACKED_BYTES_MAX, decode, negotiate, unpack};
use crate::host::{Host, OtlpSettings};
use crate::reply::{not_allowed, reply, reply_bytes};
use crate::written::{BodySlots, text};

/// So many requests fill the places of decoding.
const SHARE: usize = 2;

struct State {
    slots: Arc<BodySlots>,
    deltas: Arc<Mutex<Deltas>>,
}

/// The route.
pub(crate) fn router(host: Arc<dyn Host>, slots: Arc<BodySlots>) -> Router {
    let state = Arc::new(State {
        slots,
        deltas: Arc::default(),
    });
    let handler = move |request: Request<Body>| {
        let (host, state) = (Arc::clone(&host), Arc::clone(&state));
        async move { answer(host, &state, request).await }
    };
    Router::new().route("/api/v1/otlp/v1/metrics", any(handler))
}

async fn answer(host: Arc<dyn Host>, state: &State, request: Request<Body>) -> Response<Body> {
    if request.method() != Method::POST {
        return not_allowed("POST");
    }
    let Some(settings) = host.otlp() else {
        return text(
            StatusCode::NOT_FOUND,
            "otlp write receiver needs to be enabled with --web.enable-otlp-receiver",
        );
    };
    let (encoding, is_gzip) = match negotiate(request.headers()) {
        Ok(found) => found,
        Err(why) => return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, why),
    };
    let deltas = Arc::clone(&state.deltas);
    let bytes_max = state.slots.request_bytes_max();
    let work = move |packed: Bytes| {
        let decoded =
            unpack(&packed, is_gzip).and_then(|bytes| decode(&bytes, encoding, bytes_max));
        drop(packed);
        write(&*host, &settings, &deltas, decoded, (encoding, bytes_max))
    };
    state
        .slots
        .take(request, (UNPACKED_BYTES_MAX, SHARE), work)
        .await
}

fn write(
    host: &dyn Host,
    settings: &OtlpSettings,
    deltas: &Mutex<Deltas>,
    decoded: Result<ExportMetricsServiceRequest, Refusal>,
    (encoding, bytes_max): (Encoding, usize),
) -> Response<Body> {
    let request = match decoded {
        Ok(request) => request,
        Err(Refusal::TooLarge(why)) => return text(StatusCode::PAYLOAD_TOO_LARGE, &why),
        Err(Refusal::Bad(why)) => return text(StatusCode::BAD_REQUEST, &why),
    };
    let converted = match settings.adds_up_deltas {
        true => {
            let mut deltas = deltas.lock();
            deltas.begin(host.now());
            convert::convert_within(bytes_max, &request, settings, Some(&mut deltas))
        }
        false => convert::convert_within(bytes_max, &request, settings, None),
    };
    drop(request);
    let appended = match host.append(converted.series) {
        Ok(appended) => appended,
        Err(error) => return text(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    if let Some(first) = &appended.first_refused {
        let why = format!(
            "{} samples not taken, the others are; the first: {first}",
            appended.refused
        );
        return text(StatusCode::BAD_REQUEST, &why);
    }
    success(encoding, converted.rejected, converted.first)
}

fn success(encoding: Encoding, rejected: i64, first: Option<String>) -> Response<Body> {
    let partial_success = first.map(|error_message| ExportMetricsPartialSuccess {
        rejected_data_points: rejected,
        error_message,
    });
    match encoding {
        Encoding::Protobuf => {
            let response = ExportMetricsServiceResponse { partial_success };
            let bytes = response.encode_to_vec();
            reply_bytes(StatusCode::OK, "application/x-protobuf", bytes)
        }
        Encoding::Json => {
            let body = match partial_success {
                None => serde_json::json!({}),
                Some(partial) => serde_json::json!({"partialSuccess": {
                    "rejectedDataPoints": partial.rejected_data_points.to_string(),
                    "errorMessage": partial.error_message,
                }}),
            };
            reply(StatusCode::OK, "application/json", body.to_string())
        }
    }
}

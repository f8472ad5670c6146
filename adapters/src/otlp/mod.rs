//! `POST /api/v1/otlp/v1/metrics`: metrics of OpenTelemetry SDKs and collectors, in protobuf or JSON, plain or gzipped.
//!
//! Series and names are those that Prometheus makes of the same request (storage/remote/otlptranslator), steered by the
//! section `otlp` of the configuration. What cannot be a series here is told as OTLP's `partial_success`, the rest is taken;
//! samples that are refused for their time are 400, as in Prometheus, so that nobody sends them again. Limits and deadlines
//! are those of remote write. Exemplars, descriptions and start times are read over. Fuzz target: `otlp`.

mod context;
mod convert;
mod deltas;
mod histogram;
mod json;
pub mod messages;
mod names;
mod out;
#[cfg(test)]
mod tests;
mod text;
mod weigh;

use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use axum::routing::any;
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use stillwell_engine::AppendedSeries;

use crate::host::Host;
use crate::reply::{reply, reply_bytes};
use crate::written::{BodySlots, text};
use deltas::Deltas;
use messages::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};

pub use names::{LabelNames, Strategy};

/// Bytes of a request once unpacked.
const UNPACKED_BYTES_MAX: usize = 16 << 20;
/// In JSON, of which each value is looked at before the request is made of them.
const JSON_BYTES_MAX: usize = 4 << 20;
/// So many requests fill the places of decoding.
const SHARE: usize = 2;

/// The section `otlp`, with Prometheus' defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSettings {
    /// How names are made.
    pub strategy: Strategy,
    /// Attributes of the resource that become labels of every series.
    pub promoted: Vec<String>,
    /// All of them do, but those in `ignored`.
    pub promote_all: bool,
    /// See `promote_all`.
    pub ignored: Vec<String>,
    /// Whether `target_info` has `service.name` and its like as labels too.
    pub keep_identifying_resource_attributes: bool,
    /// Whether histograms with bounds become native ones with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// Whether the scope becomes labels.
    pub promote_scope_metadata: bool,
    /// Whether a label that begins with one `_` gets `key` in front.
    pub label_name_underscore_sanitization: bool,
    /// Whether several `_` in a row stay in names of labels.
    pub label_name_preserve_multiple_underscores: bool,
    /// Whether deltas are added up; they are refused otherwise.
    pub adds_up_deltas: bool,
}

impl Default for OtlpSettings {
    fn default() -> OtlpSettings {
        OtlpSettings {
            strategy: Strategy::default(),
            promoted: Vec::new(),
            promote_all: false,
            ignored: Vec::new(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
            adds_up_deltas: false,
        }
    }
}

impl OtlpSettings {
    fn label_names(&self) -> LabelNames {
        LabelNames {
            strategy: self.strategy,
            guards_underscore: self.label_name_underscore_sanitization,
            keeps_underscores: self.label_name_preserve_multiple_underscores,
        }
    }

    fn promotes(&self, attribute: &str) -> bool {
        let lists = |names: &[String]| names.iter().any(|name| name == attribute);
        match self.promote_all {
            true => !lists(&self.ignored),
            false => lists(&self.promoted),
        }
    }
}

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Larger than it may be.
    TooLarge(String),
    /// Not what it says it is.
    Bad(String),
}

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
        return crate::reply::not_allowed("POST");
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

/// The series of a request, as the server makes them; deltas are refused.
pub fn series(
    bytes: &[u8],
    encoding: Encoding,
    settings: &OtlpSettings,
) -> Result<Vec<AppendedSeries>, Refusal> {
    let request = decode(bytes, encoding, weigh::MEMORY_BYTES_MAX)?;
    Ok(convert::convert(&request, settings, None).series)
}

fn decode(
    bytes: &[u8],
    encoding: Encoding,
    bytes_max: usize,
) -> Result<ExportMetricsServiceRequest, Refusal> {
    let not_heavier = |weight| not_heavier(weight, bytes_max);
    if encoding == Encoding::Json {
        if bytes.len() > JSON_BYTES_MAX {
            return Err(Refusal::TooLarge(format!(
                "{} bytes of JSON; at most {JSON_BYTES_MAX} are taken, send fewer points at a time",
                bytes.len()
            )));
        }
        not_heavier(weigh::weigh_json(bytes))?;
        return json::request(bytes).map_err(Refusal::Bad);
    }
    let Some(weight) = weigh::weigh(bytes) else {
        let why = "not an OTLP metrics request, or nested too deeply";
        return Err(Refusal::Bad(why.to_owned()));
    };
    not_heavier(weight)?;
    ExportMetricsServiceRequest::decode(bytes)
        .map_err(|error| Refusal::Bad(format!("not an OTLP metrics request: {error}")))
}

fn not_heavier(weight: usize, bytes_max: usize) -> Result<(), Refusal> {
    match weight > bytes_max {
        true => Err(Refusal::TooLarge(format!(
            "it would take {weight} bytes of memory; at most {bytes_max} are taken, send fewer points at a time"
        ))),
        false => Ok(()),
    }
}

fn unpack(packed: &[u8], is_gzip: bool) -> Result<Cow<'_, [u8]>, Refusal> {
    if !is_gzip {
        return Ok(Cow::Borrowed(packed));
    }
    let mut bytes = Vec::new();
    let mut unpacker = flate2::read::GzDecoder::new(packed).take(UNPACKED_BYTES_MAX as u64 + 1);
    let read = unpacker.read_to_end(&mut bytes);
    read.map_err(|error| Refusal::Bad(format!("not gzip: {error}")))?;
    if bytes.len() > UNPACKED_BYTES_MAX {
        return Err(Refusal::TooLarge(format!(
            "more than {UNPACKED_BYTES_MAX} bytes unpacked; send fewer points at a time"
        )));
    }
    Ok(Cow::Owned(bytes))
}

fn negotiate(headers: &HeaderMap) -> Result<(Encoding, bool), &'static str> {
    let header = |name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("").trim().to_ascii_lowercase()
    };
    let kind = header(header::CONTENT_TYPE);
    let encoding = match kind.split(';').next().unwrap_or("").trim() {
        "application/x-protobuf" => Encoding::Protobuf,
        "application/json" => Encoding::Json,
        _ => return Err("Content-Type must be application/x-protobuf or application/json"),
    };
    match &*header(header::CONTENT_ENCODING) {
        "" | "identity" => Ok((encoding, false)),
        "gzip" => Ok((encoding, true)),
        _ => Err("Content-Encoding must be gzip, or left out"),
    }
}

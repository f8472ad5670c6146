//! From the body of a request to its messages: what it says it is, unpacked and decoded within limits.

use std::borrow::Cow;
use std::io::Read;

use axum::http::{HeaderMap, header};
use prost::Message;

use super::json;
use super::messages::ExportMetricsServiceRequest;
use super::weigh::{weigh, weigh_json};

/// Bytes of a request once unpacked.
pub(super) const UNPACKED_BYTES_MAX: usize = 16 << 20;
/// In JSON, of which each value is looked at before the request is made of them.
pub(super) const JSON_BYTES_MAX: usize = 4 << 20;

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

/// In which encoding a request is written, and whether it is gzipped. Error: in another.
pub(super) fn negotiate(headers: &HeaderMap) -> Result<(Encoding, bool), &'static str> {
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

/// The body of a request as it was before it was packed.
pub(super) fn unpack(packed: &[u8], is_gzip: bool) -> Result<Cow<'_, [u8]>, Refusal> {
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

/// The messages of an unpacked request that may take `bytes_max` of memory.
pub(super) fn decode(
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
        not_heavier(weigh_json(bytes))?;
        return json::request(bytes).map_err(Refusal::Bad);
    }
    let Some(weight) = weigh(bytes) else {
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

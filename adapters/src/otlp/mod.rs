//! `POST /api/v1/otlp/v1/metrics`: metrics of OpenTelemetry SDKs and collectors, in protobuf or JSON, plain or gzipped.
//!
//! Series and names are those that Prometheus makes of the same request (storage/remote/otlptranslator), steered by the
//! section `otlp` of the configuration. What cannot be a series here is told as OTLP's `partial_success`, the rest is taken;
//! samples that are refused for their time are 400, as in Prometheus, so that nobody sends them again. Limits and deadlines
//! are those of remote write. Exemplars, descriptions and start times are read over. Fuzz target: `otlp`.

mod answer;
mod context;
mod convert;
mod deltas;
mod histogram;
mod json;
pub mod messages;
mod names;
mod out;
mod request;
#[cfg(test)]
mod tests;
mod text;
mod weigh;

use stillwell_engine::AppendedSeries;

use crate::host::OtlpSettings;

pub(crate) use answer::router;
pub use request::{Encoding, Refusal};

/// The series of a request, as the server makes them; deltas are refused.
pub fn series(
    bytes: &[u8],
    encoding: Encoding,
    settings: &OtlpSettings,
) -> Result<Vec<AppendedSeries>, Refusal> {
    let request = request::decode(bytes, encoding, weigh::MEMORY_BYTES_MAX)?;
    Ok(convert::convert(&request, settings, None).series)
}

//! Loading a server with samples of our own times, by remote write 1.0.

use prost::Message as _;
use stillwell_adapters::remote_write::messages::{Label, Sample, TimeSeries, WriteRequest};
use stillwell_engine::labels::Labels;

use crate::contender::Client;

/// Samples in a request: some hundred kilobytes, as agents send.
const SAMPLES_PER_REQUEST: usize = 20_000;

/// Of a remote write 1.0 request.
pub const HEADERS: [&str; 3] = [
    "Content-Type: application/x-protobuf",
    "Content-Encoding: snappy",
    "X-Prometheus-Remote-Write-Version: 0.1.0",
];

/// A series' part of a request. Samples ascend in time (milliseconds).
pub fn series(labels: &Labels, samples: impl Iterator<Item = (i64, f64)>) -> TimeSeries {
    let label = |(name, value): (&str, &str)| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples
            .map(|(timestamp, value)| Sample { value, timestamp })
            .collect(),
        histograms: Vec::new(),
    }
}

/// Sends these series in as many requests as they need, in their order; each must be taken whole.
pub fn send(client: &mut Client, all: Vec<TimeSeries>) -> std::io::Result<()> {
    let (mut request, mut samples) = (WriteRequest::default(), 0);
    for one in all {
        samples += one.samples.len() + one.histograms.len();
        request.timeseries.push(one);
        if samples >= SAMPLES_PER_REQUEST {
            post(client, &request)?;
            (request, samples) = (WriteRequest::default(), 0);
        }
    }
    if samples > 0 {
        post(client, &request)?;
    }
    Ok(())
}

fn post(client: &mut Client, request: &WriteRequest) -> std::io::Result<()> {
    let packed = snap::raw::Encoder::new()
        .compress_vec(&request.encode_to_vec())
        .map_err(std::io::Error::other)?;
    match client.post("/api/v1/write", &HEADERS, &packed)? {
        (200..300, _) => Ok(()),
        (status, body) => Err(std::io::Error::other(format!(
            "remote write was answered {status}: {body}"
        ))),
    }
}

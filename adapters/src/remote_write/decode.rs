//! From a request's bytes to series: unpack, decode, check. A bad series refuses the request before anything is
//! written.

use prost::Message;
use stillwell_engine::labels::Labels;
use stillwell_engine::{AppendedSeries, Timestamp};

use super::histogram;
use super::messages::{Histogram, Request, Sample, WriteRequest};
use super::weigh::{PART_BYTES, PARTS_MAX, weigh, weigh_symbols};

/// Bytes of a request once unpacked. Prometheus' sender packs 2,000 samples, which is some 200 kB.
pub const UNPACKED_BYTES_MAX: usize = 16 << 20;

/// Labels of one series: as on a page.
const LABELS_MAX: usize = stillwell_engine::limits::LABELS_PER_SERIES_MAX;

/// Bytes of one label's value: as of a page's line.
const VALUE_BYTES_MAX: usize = stillwell_engine::limits::LINE_BYTES_MAX;

/// Which message a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Larger than it may be.
    TooLarge(String),
    /// Not what it says it is.
    Bad(String),
}

/// The series of a request.
pub fn decode(packed: &[u8], protocol: Protocol) -> Result<Vec<AppendedSeries>, Refusal> {
    decode_within(packed, protocol, PARTS_MAX * PART_BYTES)
}

/// The series of a request that takes so many bytes of memory, about.
pub(super) fn decode_within(
    packed: &[u8],
    protocol: Protocol,
    bytes_max: usize,
) -> Result<Vec<AppendedSeries>, Refusal> {
    let parts_max = PARTS_MAX.min(bytes_max / PART_BYTES);
    let bytes = unpack(packed)?;
    let broken = |error: prost::DecodeError| {
        Refusal::Bad(format!(
            "not the protobuf message that Content-Type names: {error}"
        ))
    };
    let series_tag = match protocol {
        Protocol::V1 => 1,
        Protocol::V2 => 5,
    };
    let parts = match (weigh(&bytes, series_tag), protocol) {
        (Some(parts), Protocol::V2) if parts <= parts_max => {
            let copied = weigh_symbols(&bytes, series_tag);
            copied.map(|copied| parts.saturating_add(copied))
        }
        (parts, _) => parts,
    };
    match parts {
        Some(parts) if parts <= parts_max => {}
        Some(_) => {
            return Err(Refusal::TooLarge(format!(
                "more than {parts_max} series, symbols, labels, samples and buckets; send fewer at a time"
            )));
        }
        None => return Err(Refusal::Bad("not a protobuf message".to_owned())),
    }
    match protocol {
        Protocol::V1 => {
            let request = WriteRequest::decode(&bytes[..]).map_err(broken)?;
            drop(bytes);
            let series = request.timeseries.into_iter().map(|series| {
                let pairs = series
                    .labels
                    .iter()
                    .map(|label| (&*label.name, &*label.value));
                make(labels(pairs)?, &series.samples, &series.histograms)
            });
            series.collect()
        }
        Protocol::V2 => {
            let request = Request::decode(&bytes[..]).map_err(broken)?;
            drop(bytes);
            if request
                .symbols
                .first()
                .is_some_and(|first| !first.is_empty())
            {
                return Err(Refusal::Bad(
                    "symbols: the first must be the empty string".to_owned(),
                ));
            }
            let series = request.timeseries.iter().map(|series| {
                let pairs = symbol_pairs(&series.labels_refs, &request.symbols)?;
                make(
                    labels(pairs.into_iter())?,
                    &series.samples,
                    &series.histograms,
                )
            });
            series.collect()
        }
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, Refusal> {
    let broken = |error: snap::Error| Refusal::Bad(format!("not a snappy block: {error}"));
    let length = snap::raw::decompress_len(packed).map_err(broken)?;
    if length > UNPACKED_BYTES_MAX {
        return Err(Refusal::TooLarge(format!(
            "{length} bytes unpacked; at most {UNPACKED_BYTES_MAX} are taken, send fewer series at a time"
        )));
    }
    snap::raw::Decoder::new()
        .decompress_vec(packed)
        .map_err(broken)
}

fn symbol_pairs<'a>(
    refs: &[u32],
    symbols: &'a [String],
) -> Result<Vec<(&'a str, &'a str)>, Refusal> {
    let text = |&number: &u32| {
        let found = symbols.get(number as usize).map(String::as_str);
        found.ok_or_else(|| {
            Refusal::Bad(format!(
                "labels_refs: {number} is not in the table of {} symbols",
                symbols.len()
            ))
        })
    };
    if !refs.len().is_multiple_of(2) {
        return Err(Refusal::Bad(format!(
            "labels_refs: {} numbers are no pairs",
            refs.len()
        )));
    }
    if refs.len() / 2 > LABELS_MAX {
        return Err(too_many(refs.len() / 2));
    }
    refs.chunks_exact(2)
        .map(|pair| Ok((text(&pair[0])?, text(&pair[1])?)))
        .collect()
}

fn labels<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Labels, Refusal> {
    let mut sorted: Vec<(&str, &str)> = pairs.collect();
    if sorted.len() > LABELS_MAX {
        return Err(too_many(sorted.len()));
    }
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Refusal::Bad(format!(
            "a series has the label {:?} twice",
            twice[0].0
        )));
    }
    if sorted.iter().any(|(name, _)| name.is_empty()) {
        return Err(Refusal::Bad("a label has no name".to_owned()));
    }
    let is_long = |(name, value): &&(&str, &str)| name.len().max(value.len()) > VALUE_BYTES_MAX;
    if let Some((name, value)) = sorted.iter().find(is_long) {
        let bytes = name.len().max(value.len());
        return Err(Refusal::Bad(format!(
            "a label has {bytes} bytes; at most {VALUE_BYTES_MAX} are taken"
        )));
    }
    sorted.retain(|(_, value)| !value.is_empty());
    let labels = Labels::from_sorted(sorted);
    match labels.metric_name() {
        Some(_) => Ok(labels),
        None => Err(Refusal::Bad(format!("{labels} has no metric name"))),
    }
}

fn too_many(count: usize) -> Refusal {
    Refusal::Bad(format!(
        "a series has {count} labels; at most {LABELS_MAX} are taken"
    ))
}

fn make(
    labels: Labels,
    samples: &[Sample],
    histograms: &[Histogram],
) -> Result<AppendedSeries, Refusal> {
    let floats = samples
        .iter()
        .map(|sample| (Timestamp::from_ms(sample.timestamp), sample.value))
        .collect();
    let mut values = Vec::with_capacity(histograms.len());
    for wire in histograms {
        let value = histogram::value(wire)
            .map_err(|why| Refusal::Bad(format!("a histogram of {labels}: {why}")))?;
        values.push((Timestamp::from_ms(wire.timestamp), value));
    }
    Ok(AppendedSeries {
        labels,
        floats,
        histograms: values,
    })
}

//! What is written by hand is what the receiver reads: the messages of both versions, field by field.

use std::sync::Arc;

use prost::Message;
use stillwell_engine::Exemplar;
use stillwell_engine::histogram::{Bucket, Buckets, FloatHistogram};
use stillwell_engine::labels::Labels;
use stillwell_engine::metadata::{FamilyMetadata, FamilyType};
use stillwell_engine::promql::select::{STALE_NAN_BITS, Samples};

use super::super::decode::decode;
use super::super::messages::Label;
use super::*;
use crate::remote_write::Protocol;

/// What the receiver reads over.
#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<WithExemplars>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
struct WithExemplars {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<TextExemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct TextExemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    metric_family_name: String,
    #[prost(string, tag = "4")]
    help: String,
    #[prost(string, tag = "5")]
    unit: String,
}

/// The same of 2.0.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<Told>,
}

#[derive(Clone, PartialEq, Message)]
struct Told {
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<SymbolExemplar>,
    #[prost(message, optional, tag = "5")]
    metadata: Option<SymbolMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct SymbolExemplar {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct SymbolMetadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "3")]
    help_ref: u32,
    #[prost(uint32, tag = "4")]
    unit_ref: u32,
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn unpack(packed: &Packed) -> Vec<u8> {
    let plain = snap::raw::Decoder::new().decompress_vec(&packed.bytes);
    plain.expect("a snappy block")
}

fn samples(list: &[(i64, f64)]) -> Samples {
    Samples {
        times_ms: list.iter().map(|(at, _)| *at).collect(),
        values: list.iter().map(|(_, value)| *value).collect(),
        ..Samples::default()
    }
}

fn mixed() -> Samples {
    let native = Arc::new(FloatHistogram {
        count: 2.0,
        sum: 3.0,
        positive: Buckets::from_sorted(vec![Bucket {
            index: 1,
            count: 2.0,
        }]),
        ..FloatHistogram::default()
    });
    Samples {
        histograms: vec![None, Some(Arc::clone(&native)), Some(native), None],
        ..samples(&[
            (1, 1.0),
            (2, 0.0),
            (3, 0.0),
            (4, f64::from_bits(STALE_NAN_BITS)),
        ])
    }
}

const MESSAGES: [Protocol; 2] = [Protocol::V1, Protocol::V2];

#[test]
fn every_sample_is_read_back_bit_for_bit() {
    let values = [
        0.0,
        -0.0,
        1.5,
        f64::NAN,
        f64::from_bits(STALE_NAN_BITS),
        f64::INFINITY,
        -1e300,
    ];
    let list: Vec<(i64, f64)> = values
        .iter()
        .zip([1, 2, 300, 1 << 40, 1 << 41, 1 << 42, i64::MAX / 2])
        .map(|(value, at)| (at, *value))
        .collect();
    let long = "x".repeat(300);
    let one = labels(&[("__name__", "a"), ("long", &long), ("z", "\u{e9}")]);
    for protocol in MESSAGES {
        let mut out = Outgoing::new(protocol);
        for _ in 0..2 {
            out.push(one.iter(), None, &samples(&list), (7, true));
            let packed = out
                .take(&mut Packer::default())
                .expect("it holds something");
            assert_eq!(packed.counts.samples, values.len() as u64);
            assert_eq!(packed.newest_ms, i64::MAX / 2);
            let read = decode(&packed.bytes, protocol).expect("it is one");
            assert_eq!(read.len(), 1);
            assert_eq!(read[0].labels, one);
            let got: Vec<(i64, u64)> = read[0]
                .floats
                .iter()
                .map(|(at, value)| (at.ms(), value.to_bits()))
                .collect();
            let want: Vec<(i64, u64)> = list
                .iter()
                .map(|(at, value)| (at + 7, value.to_bits()))
                .collect();
            assert_eq!(got, want, "{protocol:?}");
        }
        assert!(out.take(&mut Packer::default()).is_none());
    }
}

#[test]
fn an_entry_has_one_kind_of_samples_and_their_order_is_kept() {
    let one = labels(&[("__name__", "h")]);
    for protocol in MESSAGES {
        for (with, kinds) in [
            (true, vec![(1, 0), (0, 2), (1, 0)]),
            (false, vec![(1, 0), (1, 0)]),
        ] {
            let mut out = Outgoing::new(protocol);
            out.push(one.iter(), None, &mixed(), (0, with));
            let packed = out
                .take(&mut Packer::default())
                .expect("it holds something");
            let read = decode(&packed.bytes, protocol).expect("it is one");
            let got: Vec<(usize, usize)> = read
                .iter()
                .map(|one| (one.floats.len(), one.histograms.len()))
                .collect();
            assert_eq!(got, kinds, "{protocol:?}");
            assert_eq!(packed.counts.histograms, if with { 2 } else { 0 });
        }
    }
}

#[test]
fn what_is_known_of_a_family_is_told() {
    let metadata = FamilyMetadata {
        family_type: FamilyType::Counter,
        help: "Help.".to_owned(),
        unit: "seconds".to_owned(),
    };
    let mut out = Outgoing::new(Protocol::V1);
    out.push_metadata("a", &metadata);
    let packed = out
        .take(&mut Packer::default())
        .expect("it holds something");
    let read = WriteRequest::decode(&unpack(&packed)[..]).expect("it is one");
    let told = &read.metadata[0];
    let texts = (
        told.metric_family_name.as_str(),
        told.help.as_str(),
        told.unit.as_str(),
    );
    assert_eq!((told.kind, texts), (1, ("a", "Help.", "seconds")));

    let mut out = Outgoing::new(Protocol::V2);
    out.push_metadata("a", &metadata);
    assert!(
        out.take(&mut Packer::default()).is_none(),
        "2.0 has no such message"
    );
    let described = Described {
        family_type: FamilyType::Counter,
        help: "Help.",
        unit: "",
    };
    let one = labels(&[("__name__", "a"), ("l", "Help.")]);
    out.push(
        one.iter(),
        Some(described),
        &samples(&[(1, 1.0)]),
        (0, true),
    );
    let packed = out
        .take(&mut Packer::default())
        .expect("it holds something");
    let read = Request::decode(&unpack(&packed)[..]).expect("it is one");
    assert_eq!(read.symbols, ["", "__name__", "a", "l", "Help."]);
    let told = read.timeseries[0].metadata.as_ref().expect("it is told");
    assert_eq!((told.kind, told.help_ref, told.unit_ref), (1, 4, 0));
}

#[test]
fn exemplars_have_their_series() {
    let exemplar = Exemplar {
        labels: labels(&[("trace_id", "t")]),
        value: 2.5,
        time_ms: 10,
    };
    let series = labels(&[("__name__", "a")]);
    let mut out = Outgoing::new(Protocol::V1);
    out.push_exemplar(series.iter(), &exemplar, 5);
    let packed = out
        .take(&mut Packer::default())
        .expect("it holds something");
    assert_eq!(packed.counts.exemplars, 1);
    let read = WriteRequest::decode(&unpack(&packed)[..]).expect("it is one");
    let told = &read.timeseries[0].exemplars[0];
    assert_eq!((told.value, told.timestamp), (2.5, 15));
    assert_eq!(told.labels[0].name, "trace_id");
    assert_eq!(read.timeseries[0].labels[0].value, "a");

    let mut out = Outgoing::new(Protocol::V2);
    out.push_exemplar(series.iter(), &exemplar, 5);
    let packed = out
        .take(&mut Packer::default())
        .expect("it holds something");
    let read = Request::decode(&unpack(&packed)[..]).expect("it is one");
    let told = &read.timeseries[0].exemplars[0];
    assert_eq!((told.value, told.timestamp), (2.5, 15));
    let texts: Vec<&str> = told
        .labels_refs
        .iter()
        .map(|number| read.symbols[*number as usize].as_str())
        .collect();
    assert_eq!(texts, ["trace_id", "t"]);
}

#[test]
fn external_labels_give_way_to_those_of_a_series() {
    for (own, external, joined) in [
        (vec![], vec![("a", "1")], vec![("a", "1")]),
        (vec![("b", "2")], vec![], vec![("b", "2")]),
        (
            vec![("__name__", "n"), ("b", "2"), ("d", "4")],
            vec![("__replica__", "r"), ("b", "x"), ("c", "3"), ("e", "5")],
            vec![
                ("__name__", "n"),
                ("__replica__", "r"),
                ("b", "2"),
                ("c", "3"),
                ("d", "4"),
                ("e", "5"),
            ],
        ),
    ] {
        let (own, external) = (labels(&own), labels(&external));
        let got: Vec<(&str, &str)> = with_external(&own, &external).collect();
        assert_eq!(got, joined);
    }
}

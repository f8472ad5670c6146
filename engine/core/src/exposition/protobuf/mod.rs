//! Pages in protobuf: messages `io.prometheus.client.MetricFamily`, each behind its length (client_model metrics.proto),
//! read as Prometheus does (model/textparse/protobufparse.go).
//!
//! The messages are read where they lie and written as text for the template (`decoded`). There is no tree of messages:
//! a page is read in one walk, whose memory is that of the text. Bench: `formats`; fuzz target: `protobuf`, which
//! compares with prost.
//!
//! * `decoder`: the walk, and what is written.
//! * `family`: what a family is beside its metrics.
//! * `values`: gauges, counters, untyped values and summaries.
//! * `histogram`: histograms and exemplars.
//! * `wire`: fields of messages.

mod decoder;
mod family;
mod histogram;
mod values;
mod wire;

pub(crate) use decoder::decode;

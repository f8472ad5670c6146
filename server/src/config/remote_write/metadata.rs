//! `metadata_config`: how often descriptions of families are sent.

use crate::config::global::nonzero_ms;
use crate::config::schema::{Key, read};

/// `metadata_config`, with Prometheus' defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataConfig {
    /// Whether it is sent at all.
    pub send: bool,
    /// How often.
    pub interval_ms: u64,
    /// Families of one request.
    pub per_send_max: u64,
}

impl Default for MetadataConfig {
    fn default() -> MetadataConfig {
        MetadataConfig {
            send: true,
            interval_ms: 60_000,
            per_send_max: 2_000,
        }
    }
}

pub(super) static METADATA: &[Key<MetadataConfig>] = &[
    read("send", |entry, metadata, report| {
        metadata.send = report.flag(entry).unwrap_or(true);
    }),
    read("send_interval", |entry, metadata, report| {
        metadata.interval_ms = nonzero_ms(entry, report).unwrap_or(metadata.interval_ms);
    }),
    read("max_samples_per_send", |entry, metadata, report| {
        metadata.per_send_max = report.number(entry).unwrap_or(metadata.per_send_max).max(1);
    }),
];

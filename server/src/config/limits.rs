//! The limits that a job has itself or takes from `global`.

use super::schema::{Key, read};
use super::units::size_bytes;
use crate::yaml::Entry;
use crate::yaml::Report;

/// What a page may have where nothing is configured: nearly twice the largest gateway page seen (36 MB, 237,539 series). A
/// page is held whole while it is read, so that one target costs no more than this; Prometheus has no limit by default.
pub const BODY_BYTES_MAX_DEFAULT: u64 = 64 << 20;

/// The limits that a job takes from `global` where it sets none itself; 0 is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageLimits {
    /// Bytes of a page, before and after inflating.
    pub body_bytes_max: u64,
    /// Samples of a page after relabelling.
    pub samples_max: u64,
    /// Targets of the job.
    pub targets_max: u64,
    /// Labels of a series.
    pub labels_max: u64,
    /// Bytes of a label's name.
    pub label_name_bytes_max: u64,
    /// Bytes of a label's value.
    pub label_value_bytes_max: u64,
    /// Dropped targets that are remembered for `/api/v1/targets`.
    pub dropped_targets_max: u64,
}

pub(super) static LIMITS: &[Key<PageLimits>] = &[
    read("body_size_limit", |entry, limits, report| {
        limits.body_bytes_max = report.parsed(entry, size_bytes).unwrap_or(0);
    }),
    read("sample_limit", |entry, limits, report| {
        limits.samples_max = count(entry, report);
    }),
    read("target_limit", |entry, limits, report| {
        limits.targets_max = count(entry, report);
    }),
    read("label_limit", |entry, limits, report| {
        limits.labels_max = count(entry, report);
    }),
    read("label_name_length_limit", |entry, limits, report| {
        limits.label_name_bytes_max = count(entry, report);
    }),
    read("label_value_length_limit", |entry, limits, report| {
        limits.label_value_bytes_max = count(entry, report);
    }),
    read("keep_dropped_targets", |entry, limits, report| {
        limits.dropped_targets_max = count(entry, report);
    }),
];

fn count(entry: &Entry, report: &mut Report) -> u64 {
    report.number(entry).unwrap_or(0)
}

impl PageLimits {
    /// Takes from `global` what is not set.
    pub(super) fn inherit(&mut self, global: &PageLimits) {
        for (own, global) in [
            (&mut self.body_bytes_max, global.body_bytes_max),
            (&mut self.samples_max, global.samples_max),
            (&mut self.targets_max, global.targets_max),
            (&mut self.labels_max, global.labels_max),
            (&mut self.label_name_bytes_max, global.label_name_bytes_max),
            (
                &mut self.label_value_bytes_max,
                global.label_value_bytes_max,
            ),
            (&mut self.dropped_targets_max, global.dropped_targets_max),
        ] {
            if *own == 0 {
                *own = global;
            }
        }
        if self.body_bytes_max == 0 {
            self.body_bytes_max = BODY_BYTES_MAX_DEFAULT;
        }
    }
}

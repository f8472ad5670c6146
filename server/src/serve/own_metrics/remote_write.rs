//! What was sent on to each receiver of remote write. Names and meanings are those of `prometheus_remote_storage_*`, with our
//! prefix, where there is the same.

use std::sync::atomic::Ordering;

use super::family::{Families, Family, Kind};
use crate::remote_write::{Counts, Kinds, Shown};

/// Names and help texts of the four numbers of what was sent.
type Names = [(&'static str, &'static str); 4];

const SENT: Names = [
    (
        "stillwell_remote_write_samples_total",
        "Floats that a receiver has taken.",
    ),
    (
        "stillwell_remote_write_histograms_total",
        "Native histograms that a receiver has taken.",
    ),
    (
        "stillwell_remote_write_exemplars_total",
        "Exemplars that a receiver has taken.",
    ),
    (
        "stillwell_remote_write_metadata_total",
        "Descriptions of families that a receiver has taken.",
    ),
];
const FAILED: Names = [
    (
        "stillwell_remote_write_samples_failed_total",
        "Floats that a receiver has refused, so that they are not sent again.",
    ),
    (
        "stillwell_remote_write_histograms_failed_total",
        "Native histograms that a receiver has refused.",
    ),
    (
        "stillwell_remote_write_exemplars_failed_total",
        "Exemplars that a receiver has refused.",
    ),
    (
        "stillwell_remote_write_metadata_failed_total",
        "Descriptions of families that a receiver has refused.",
    ),
];
const RETRIED: Names = [
    (
        "stillwell_remote_write_samples_retried_total",
        "Floats in requests that were tried again.",
    ),
    (
        "stillwell_remote_write_histograms_retried_total",
        "Native histograms in requests that were tried again.",
    ),
    (
        "stillwell_remote_write_exemplars_retried_total",
        "Exemplars in requests that were tried again.",
    ),
    (
        "stillwell_remote_write_metadata_retried_total",
        "Descriptions of families in requests that were tried again.",
    ),
];

/// A family with one number for each receiver.
type One = (&'static str, Kind, &'static str, fn(&Shown) -> f64);

const ONES: [One; 10] = [
    (
        "stillwell_remote_write_bytes_total",
        Kind::Counter,
        "Bytes of requests that a receiver has taken, packed.",
        |shown| shown.counts.bytes.load(Ordering::Relaxed) as f64,
    ),
    (
        "stillwell_remote_write_requests_total",
        Kind::Counter,
        "Requests that were answered or failed.",
        |shown| shown.counts.requests.count() as f64,
    ),
    (
        "stillwell_remote_write_request_duration_seconds_total",
        Kind::Counter,
        "The time that they took together.",
        |shown| shown.counts.requests.sum_ns() as f64 / 1e9,
    ),
    (
        "stillwell_remote_write_pending_scrapes",
        Kind::Gauge,
        "Scrapes of targets of which samples have not been sent.",
        |shown| shown.counts.pending_scrapes.load(Ordering::Relaxed) as f64,
    ),
    (
        "stillwell_remote_write_held_bytes",
        Kind::Gauge,
        "Bytes of requests that wait or are under way.",
        |shown| shown.counts.held_bytes.load(Ordering::Relaxed) as f64,
    ),
    (
        "stillwell_remote_write_highest_timestamp_seconds",
        Kind::Gauge,
        "The time of the newest scrape.",
        |shown| shown.counts.newest_ms.load(Ordering::Relaxed) as f64 / 1e3,
    ),
    (
        "stillwell_remote_write_queue_highest_sent_timestamp_seconds",
        Kind::Gauge,
        "The time of the newest sample that a receiver has taken; 0 where it has taken none.",
        |shown| shown.counts.newest_sent_ms.load(Ordering::Relaxed) as f64 / 1e3,
    ),
    (
        "stillwell_remote_write_shards",
        Kind::Gauge,
        "Requests that may be under way at the same time.",
        |shown| shown.counts.shards.load(Ordering::Relaxed) as f64,
    ),
    (
        "stillwell_remote_write_shards_min",
        Kind::Gauge,
        "The least of them.",
        |shown| shown.shards.0 as f64,
    ),
    (
        "stillwell_remote_write_shards_max",
        Kind::Gauge,
        "The most of them.",
        |shown| shown.shards.1 as f64,
    ),
];

/// The families of all receivers.
pub(super) fn receivers(page: &mut Families, all: &[Shown]) {
    kinds(page, all, &SENT, |counts| &counts.sent);
    kinds(page, all, &FAILED, |counts| &counts.failed);
    kinds(page, all, &RETRIED, |counts| &counts.retried);
    dropped(page, all);
    for (name, kind, help, value) in ONES {
        let mut family = Family::new(name, kind, help);
        for shown in all {
            family.add(&labels(shown), value(shown));
        }
        page.push(family);
    }
}

fn labels(shown: &Shown) -> [(&str, &str); 2] {
    [("remote_name", &shown.name), ("url", &shown.url)]
}

fn kinds(page: &mut Families, all: &[Shown], names: &Names, of: fn(&Counts) -> &Kinds) {
    for (at, (name, help)) in names.iter().enumerate() {
        let mut family = Family::new(name, Kind::Counter, help);
        for shown in all {
            family.add(&labels(shown), of(&shown.counts).get()[at] as f64);
        }
        page.push(family);
    }
}

fn dropped(page: &mut Families, all: &[Shown]) {
    let help = "Floats and native histograms that were never sent: too old, or of series that relabelling drops.";
    let name = "stillwell_remote_write_samples_dropped_total";
    let mut family = Family::new(name, Kind::Counter, help);
    for shown in all {
        let [name, url] = labels(shown);
        let [samples, histograms, _, _] = shown.counts.too_old.get();
        let relabelled = shown.counts.relabelled_away.load(Ordering::Relaxed);
        let reasons = [
            ("too_old", samples + histograms),
            ("dropped_series", relabelled),
        ];
        for (reason, count) in reasons {
            family.add(&[name, url, ("reason", reason)], count as f64);
        }
    }
    page.push(family);
    let help = "Exemplars that newer ones replaced before they were sent.";
    let name = "stillwell_remote_write_exemplars_dropped_total";
    let mut family = Family::new(name, Kind::Counter, help);
    for shown in all {
        let lost = shown.counts.exemplars_lost.load(Ordering::Relaxed);
        family.add(&labels(shown), lost as f64);
    }
    page.push(family);
}

//! Sections of `prometheus.yml` that have no effect here: their keys, so that a typo among them is found as in
//! Prometheus (config/config.go).

use super::http_client::{RESERVED, UnusedHttp};
use super::schema::Shape::{Any, Duration, Flag, Float, Int, List, OneOf, Size, Text};
use super::schema::Shape::{Mapping as Map, TextMap};
use super::schema::{Mapping, Shape};
use crate::yaml::{Kind, Node, Report};

/// Headers that a client sets by itself, or by other keys.
const HEADERS: Shape = Shape::Checked(|node, name, report| {
    for entry in report.entries(node, name) {
        report.text(&entry.value, &entry.key);
        let header = entry.key.to_ascii_lowercase();
        if RESERVED.contains(&header.as_str()) {
            report.error(
                entry.line,
                format!(
                    "{name}: {} is set by the client itself, or by a key of its own",
                    entry.key
                ),
            );
        }
    }
});

/// From 0 to 100.
const PERCENTAGE: Shape = Shape::Checked(|node, name, report| {
    let Some(text) = report.text(node, name) else {
        return;
    };
    let percent = text.parse::<f64>().ok();
    if !percent.is_some_and(|percent| (0.0..=100.0).contains(&percent)) {
        report.error(
            node.line,
            format!("{name}: {text:?} is no number from 0 to 100"),
        );
    }
});

/// Two of one list may not have one name.
fn unique_names(node: &Node, list: &str, report: &mut Report) {
    let mut seen: Vec<&str> = Vec::new();
    for item in report.list(node, list) {
        let Kind::Map(entries) = &item.kind else {
            continue;
        };
        let named = entries.iter().find(|entry| entry.key == "name");
        if let Some(Kind::Scalar { text, .. }) = named.map(|entry| &entry.value.kind)
            && !text.is_empty()
        {
            if seen.contains(&text.as_str()) {
                report.error(item.line, format!("{list}: a second one is named {text:?}"));
            }
            seen.push(text);
        }
    }
}

/// Signatures of AWS.
pub(super) const SIGV4: Mapping = Mapping {
    what: "sigv4",
    keys: &[
        ("region", Text),
        ("access_key", Text),
        ("secret_key", Text),
        ("profile", Text),
        ("role_arn", Text),
        ("external_id", Text),
        ("use_fips_sts_endpoint", Flag),
        ("service_name", Text),
    ],
    inline: None,
};

/// `remote_read`.
pub(super) const REMOTE_READ: Shape = Shape::Checked(|node, name, report| {
    unique_names(node, name, report);
    READS.check(node, name, report);
});

const READS: Shape = List(&Map(&Mapping {
    what: "a remote_read",
    keys: &[
        ("url", Text),
        ("remote_timeout", Duration),
        ("chunked_read_limit", Int),
        ("headers", HEADERS),
        ("read_recent", Flag),
        ("name", Text),
        ("required_matchers", TextMap),
        ("filter_external_labels", Flag),
    ],
    inline: Some(&UnusedHttp),
}));

/// `storage`.
pub(super) const STORAGE: Shape = Map(&Mapping {
    what: "storage",
    keys: &[
        (
            "tsdb",
            Map(&Mapping {
                what: "storage.tsdb",
                keys: &[
                    ("out_of_order_time_window", Duration),
                    ("stale_series_compaction_threshold", Float),
                    ("chunk_encoding", Map(&CHUNKS)),
                    ("retention", Map(&RETENTION)),
                ],
                inline: None,
            }),
        ),
        (
            "exemplars",
            Map(&Mapping {
                what: "storage.exemplars",
                keys: &[("max_exemplars", Int)],
                inline: None,
            }),
        ),
    ],
    inline: None,
});

const CHUNKS: Mapping = Mapping {
    what: "chunk_encoding",
    keys: &[("floats", OneOf(&["xor", "xor2"]))],
    inline: None,
};

const RETENTION: Mapping = Mapping {
    what: "retention",
    keys: &[
        ("time", Duration),
        ("size", Size),
        ("percentage", PERCENTAGE),
    ],
    inline: None,
};

/// `tracing`.
pub(super) const TRACING: Shape = Map(&Mapping {
    what: "tracing",
    keys: &[
        ("client_type", OneOf(&["http", "grpc"])),
        ("endpoint", Text),
        ("sampling_fraction", Float),
        ("insecure", Flag),
        ("tls_config", Any),
        ("headers", HEADERS),
        ("compression", OneOf(&["", "gzip"])),
        ("timeout", Duration),
    ],
    inline: None,
});

/// `runtime`.
pub(super) const RUNTIME: Shape = Map(&Mapping {
    what: "runtime",
    keys: &[("gogc", Int)],
    inline: None,
});

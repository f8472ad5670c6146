//! Formats that a job asks its targets for, and how names are to be escaped in them.

use std::fmt::Write;

use stillwell_engine::Format;

use crate::yaml::Entry;
use crate::yaml::Report;

/// The formats that Prometheus knows, in the order in which it asks for them (config/config.go,
/// `DefaultScrapeProtocols`): name, media type, format. Protobuf is asked for only where native histograms are wanted.
const PROTOCOLS: [(&str, &str, Format); 5] = [
    (
        PROTOBUF,
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        Format::Protobuf,
    ),
    (
        "OpenMetricsText1.0.0",
        "application/openmetrics-text;version=1.0.0",
        Format::OpenMetrics,
    ),
    (
        "OpenMetricsText0.0.1",
        "application/openmetrics-text;version=0.0.1",
        Format::OpenMetrics,
    ),
    (
        "PrometheusText1.0.0",
        "text/plain;version=1.0.0",
        Format::Text,
    ),
    (
        "PrometheusText0.0.4",
        "text/plain;version=0.0.4",
        Format::Text,
    ),
];

const PROTOBUF: &str = "PrometheusProto";

/// The formats whose names may hold any character, and that say how they are escaped.
const WITH_ESCAPING: [&str; 2] = ["OpenMetricsText1.0.0", "PrometheusText1.0.0"];

/// The escaping by underscores.
pub(super) const UNDERSCORES: &str = "underscores";
/// The escaping that asks for names as they are.
pub(super) const ALLOW_UTF8: &str = "allow-utf-8";
/// The other ones.
pub(super) const ESCAPINGS: [&str; 4] = [ALLOW_UTF8, "underscores", "dots", "values"];

/// Reads a list of formats.
pub(super) fn protocols(entry: &Entry, report: &mut Report) -> Vec<String> {
    let names = report.texts(entry);
    if names.is_empty() {
        report.error(entry.line, "scrape_protocols cannot be empty");
    }
    for (at, name) in names.iter().enumerate() {
        known(entry, name, report);
        if names[..at].contains(name) {
            report.error(
                entry.line,
                format!("scrape_protocols: {name} is given twice"),
            );
        }
    }
    names
}

/// Reads the format of pages that do not say theirs.
pub(super) fn fallback(entry: &Entry, report: &mut Report) -> Option<Format> {
    let name = report.text(&entry.value, &entry.key)?;
    known(entry, name, report)
}

/// The value of `Accept`: `protocols` in their order, or those of Prometheus, and last whatever there is.
pub(super) fn accept(protocols: &[String], native_histograms: bool, escaping: &str) -> String {
    let usual = PROTOCOLS.iter().map(|(name, _, _)| *name);
    let names: Vec<&str> = match protocols {
        [] => usual
            .filter(|name| native_histograms || *name != PROTOBUF)
            .collect(),
        given => given.iter().map(String::as_str).collect(),
    };
    let mut accept = String::new();
    for (at, name) in names.iter().enumerate() {
        let Some((_, media_type, _)) = PROTOCOLS.iter().find(|(known, _, _)| known == name) else {
            continue;
        };
        accept.push_str(media_type);
        if WITH_ESCAPING.contains(name) {
            write!(accept, ";escaping={escaping}").ok(); // writing to a String does not fail
        }
        write!(accept, ";q=0.{},", PROTOCOLS.len() + 1 - at).ok();
    }
    write!(accept, "*/*;q=0.{}", PROTOCOLS.len() + 1 - names.len()).ok();
    accept
}

/// The format of a name.
fn known(entry: &Entry, name: &str, report: &mut Report) -> Option<Format> {
    let found = PROTOCOLS.iter().find(|(known, _, _)| *known == name);
    if found.is_none() {
        let known = PROTOCOLS.map(|(known, _, _)| known).join(", ");
        report.error(
            entry.line,
            format!("{}: {name:?} is not one of {known}", entry.key),
        );
    }
    found.map(|(_, _, format)| *format)
}

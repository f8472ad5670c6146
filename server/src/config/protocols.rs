//! Formats that a job asks its targets for, and how names are to be escaped in them.

use std::fmt::Write;

use stillwell_engine::Format;

use super::report::Report;
use super::yaml::Entry;

/// The formats that Prometheus knows, with the media type of those that are read here.
const PROTOCOLS: [(&str, Option<&str>); 5] = [
    ("PrometheusProto", None),
    ("OpenMetricsText1.0.0", None),
    ("OpenMetricsText0.0.1", None),
    ("PrometheusText1.0.0", Some("text/plain;version=1.0.0")),
    ("PrometheusText0.0.4", Some("text/plain;version=0.0.4")),
];

/// The format whose names may hold any character, and that says how they are escaped.
const WITH_ESCAPING: &str = "PrometheusText1.0.0";

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
    if !names.iter().any(|name| media_type(name).is_some()) {
        report.warn(
            entry.line,
            "scrape_protocols has no effect here: only the text formats are read, and they are asked for",
        );
    }
    names
}

/// Reads the format of pages that do not say theirs; `None` where it is not read.
pub(super) fn fallback(entry: &Entry, report: &mut Report) -> Option<Format> {
    let name = report.text(&entry.value, &entry.key)?;
    known(entry, name, report);
    if media_type(name).is_some() {
        return Some(Format::Text);
    }
    report.warn(
        entry.line,
        format!(
            "{}: {name} is not read; pages of an unknown type are refused",
            entry.key
        ),
    );
    None
}

/// The value of `Accept`: what is read of `protocols`, in their order, and last whatever there is.
pub(super) fn accept(protocols: &[String], escaping: &str) -> String {
    let asked = protocols.iter().map(String::as_str);
    let mut types: Vec<&str> = asked.filter(|name| media_type(name).is_some()).collect();
    if types.is_empty() {
        let all = PROTOCOLS.iter().filter(|(_, media)| media.is_some());
        types = all.map(|(name, _)| *name).collect();
    }
    let mut accept = String::new();
    for (at, name) in types.iter().enumerate() {
        accept.push_str(media_type(name).unwrap_or(""));
        if *name == WITH_ESCAPING {
            write!(accept, ";escaping={escaping}").ok(); // writing to a String does not fail
        }
        write!(accept, ";q=0.{},", types.len() + 1 - at).ok();
    }
    accept.push_str("*/*;q=0.1");
    accept
}

fn media_type(name: &str) -> Option<&'static str> {
    let found = PROTOCOLS.iter().find(|(known, _)| *known == name)?;
    found.1
}

fn known(entry: &Entry, name: &str, report: &mut Report) {
    if !PROTOCOLS.iter().any(|(known, _)| *known == name) {
        let known = PROTOCOLS.map(|(known, _)| known).join(", ");
        report.error(
            entry.line,
            format!("{}: {name:?} is not one of {known}", entry.key),
        );
    }
}

//! The keys that give headers, and the headers that nobody may give.

use super::super::schema::{Key, decode, read};
use super::super::secret::Secret;
use super::options::Header;
use super::secret_keys::{file, given};
use crate::yaml::{Entry, Report};

/// Headers that belong to the connection or are set by the client itself.
pub(in crate::config) const RESERVED: [&str; 18] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

static HEADER: &[Key<Header>] = &[
    read("values", |entry, header, report| {
        let texts = report.texts(entry).into_iter();
        header.values.extend(texts.map(given));
    }),
    read("secrets", |entry, header, report| {
        let texts = report.texts(entry).into_iter();
        header.values.extend(texts.map(given));
    }),
    read("files", |entry, header, report| {
        let texts = report.texts(entry).into_iter();
        header.values.extend(texts.map(file));
    }),
];

/// Reads `http_headers`.
pub(super) fn headers(entry: &Entry, report: &mut Report) -> Vec<Header> {
    let mut headers = Vec::new();
    for named in report.entries(&entry.value, "http_headers") {
        let mut header = Header {
            name: named.key.clone(),
            values: Vec::new(),
        };
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if RESERVED
            .iter()
            .any(|name| named.key.eq_ignore_ascii_case(name))
        {
            let name = &named.key;
            report.error(
                named.line,
                format!("http_headers: {name} is set by the client and cannot be given"),
            );
        } else if named.key.is_empty() || !named.key.bytes().all(legal) {
            let name = &named.key;
            report.error(
                named.line,
                format!("http_headers: {name:?} is no name of a header"),
            );
        }
        decode(
            &named.value,
            "a header of http_headers",
            &[&HEADER],
            &mut header,
            report,
        );
        headers.push(header);
    }
    headers
}

/// Reads `proxy_connect_header`.
pub(super) fn connect_headers(entry: &Entry, report: &mut Report) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    for named in report.entries(&entry.value, &entry.key) {
        for value in report.list(&named.value, &named.key) {
            let value = report.text(value, &named.key).unwrap_or("");
            headers.push((named.key.clone(), Secret::new(value)));
        }
    }
    headers
}

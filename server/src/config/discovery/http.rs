//! `http_sd_configs`: lists of targets that HTTP servers give.

use axum::http::Uri;

use super::refresh;
use crate::config::http_client::{HTTP, HttpClientConfig};
use crate::config::schema::{Inline, Key, decode, read};
use crate::yaml::{Node, Report};

/// A list of targets that an HTTP server gives.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpDiscovery {
    /// Where.
    pub url: String,
    /// Asked this often.
    pub refresh_ms: u64,
    /// As whom.
    pub http: HttpClientConfig,
}

pub(super) fn http(node: &Node, report: &mut Report) -> HttpDiscovery {
    static URL: &[Key<HttpDiscovery>] = &[
        read("url", |entry, http, report| {
            http.url = report.text(&entry.value, "url").unwrap_or("").to_owned();
        }),
        read("refresh_interval", |entry, http, report| {
            refresh(entry, &mut http.refresh_ms, report);
        }),
    ];
    let mut http = HttpDiscovery {
        url: String::new(),
        refresh_ms: 60_000,
        http: HttpClientConfig::default(),
    };
    let inline = Inline {
        keys: HTTP,
        part: |http: &mut HttpDiscovery| &mut http.http,
    };
    decode(
        node,
        "an http_sd_config",
        &[&URL, &inline],
        &mut http,
        report,
    );
    http.http.check(report);
    let url = http.url.parse::<Uri>();
    let usable = url.is_ok_and(|url| {
        let scheme = url.scheme_str().unwrap_or("").to_ascii_lowercase();
        matches!(scheme.as_str(), "http" | "https") && url.host().is_some()
    });
    if !usable {
        report.error(
            node.line,
            "an http_sd_config needs a url like http://host/path",
        );
    }
    http
}

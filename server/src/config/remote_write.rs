//! `remote_write`: where samples are sent on (config/config.go, `RemoteWriteConfig` and `QueueConfig`), with two keys of our
//! own for what our resolution would cost a receiver: `write_interval` and `write_extremes`.

mod metadata;
mod queue;

use std::path::Path;

use stillwell_adapters::remote_write::Protocol;
use stillwell_engine::labels::RelabelRule;

use super::global::nonzero_ms;
use super::http_client::{HTTP, Header, HttpClientConfig, RESERVED};
use super::relabel::rules;
use super::schema::{Inline, Key, Shape, decode, read, unused};
use super::secret::{Secret, SecretSource};
use super::unused_sections::SIGV4;
use crate::yaml::{Entry, Kind, Line, Node, Report};

pub use metadata::MetadataConfig;
pub use queue::QueueConfig;

/// One receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteWrite {
    /// How it is called in metrics and logs; a part of its URL where it was not given.
    pub name: String,
    /// Where samples are posted.
    pub url: String,
    /// For one request.
    pub timeout_ms: u64,
    /// How it is reached, `headers` among that.
    pub http: HttpClientConfig,
    /// Rewrites the labels of what is sent.
    pub relabel: Vec<RelabelRule>,
    /// Which message is sent.
    pub protocol: Protocol,
    /// Whether exemplars are sent.
    pub exemplars: bool,
    /// Whether native histograms are.
    pub histograms: bool,
    /// Whether the states and numbers of signals are.
    pub signals: bool,
    /// Of all samples of a series in such an interval the last one is sent; every one where it is not given.
    pub interval_ms: Option<u64>,
    /// Whether the least and the greatest of them are sent too.
    pub extremes: Extremes,
    /// Requests.
    pub queue: QueueConfig,
    /// Descriptions of families.
    pub metadata: MetadataConfig,
    /// Where it stands in the file.
    pub line: Line,
}

impl RemoteWrite {
    /// Makes relative paths ones below `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        self.http.resolve(base);
    }
}

/// What of an interval is sent beside its last sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extremes {
    /// The least, as a series of its own.
    pub min: bool,
    /// The greatest.
    pub max: bool,
}

/// Reads the section; a receiver that cannot be written to as configured is a warning and left out.
pub(super) fn remote_writes(entry: &Entry, report: &mut Report) -> Vec<RemoteWrite> {
    let mut all: Vec<RemoteWrite> = Vec::new();
    let mut names = Vec::new();
    for item in report.sections(entry) {
        let (named, one) = remote_write(item, report);
        if !named.is_empty() {
            if names.contains(&named) {
                report.error(
                    item.line,
                    format!("remote_write: a second one is named {named:?}"),
                );
            }
            names.push(named);
        }
        all.extend(one);
    }
    // Two to one URL go on where they stood after a restart, by their names.
    let shown: Vec<String> = all.iter().map(|one| one.name.clone()).collect();
    for (at, one) in all.iter_mut().enumerate() {
        let before = shown[..at].iter().filter(|name| **name == one.name).count();
        if before > 0 {
            one.name = format!("{}-{}", one.name, before + 1);
        }
    }
    all
}

fn remote_write(node: &Node, report: &mut Report) -> (String, Option<RemoteWrite>) {
    let mut draft = Draft {
        http: HttpClientConfig::default(),
        ..Draft::default()
    };
    let http = Inline {
        keys: HTTP,
        part: |draft: &mut Draft| &mut draft.http,
    };
    let tables: [&dyn super::schema::Keys<Draft>; 2] = [&REMOTE_WRITE, &http];
    decode(node, "a remote_write", &tables, &mut draft, report);
    (draft.name.clone(), finish(draft, node.line, report))
}

/// An entry while its keys are read.
#[derive(Default)]
struct Draft {
    url: String,
    name: String,
    timeout_ms: Option<u64>,
    http: HttpClientConfig,
    headers: Vec<Header>,
    relabel: Vec<RelabelRule>,
    protocol: Option<Protocol>,
    exemplars: bool,
    histograms: bool,
    signals: Option<bool>,
    interval_ms: Option<u64>,
    extremes: (Extremes, usize),
    queue: QueueConfig,
    metadata: MetadataConfig,
    /// How requests would have to be signed, and where that is asked for.
    signed: Option<(&'static str, usize)>,
}

const TIMEOUT_MS_DEFAULT: u64 = 30_000;

static REMOTE_WRITE: &[Key<Draft>] = &[
    read("url", |entry, draft, report| {
        draft.url = report.string(entry)
    }),
    read("name", |entry, draft, report| {
        draft.name = report.string(entry)
    }),
    read("remote_timeout", |entry, draft, report| {
        draft.timeout_ms = nonzero_ms(entry, report);
    }),
    read("headers", |entry, draft, report| {
        draft.headers = headers(entry, report);
    }),
    read("write_relabel_configs", |entry, draft, report| {
        draft.relabel = rules(entry, report);
    }),
    read("protobuf_message", |entry, draft, report| {
        draft.protocol = report.parsed(entry, |text| match text {
            "prometheus.WriteRequest" => Ok(Protocol::V1),
            "io.prometheus.write.v2.Request" => Ok(Protocol::V2),
            _ => Err(format!(
                "{text:?} is neither prometheus.WriteRequest nor io.prometheus.write.v2.Request"
            )),
        });
    }),
    read("send_exemplars", |entry, draft, report| {
        draft.exemplars = report.flag(entry).unwrap_or(false);
    }),
    read("send_native_histograms", |entry, draft, report| {
        draft.histograms = report.flag(entry).unwrap_or(false);
    }),
    read("send_signals", |entry, draft, report| {
        draft.signals = report.flag(entry);
    }),
    read("write_interval", |entry, draft, report| {
        draft.interval_ms = nonzero_ms(entry, report);
    }),
    read("write_extremes", |entry, draft, report| {
        draft.extremes = (extremes(entry, report), entry.line);
    }),
    read("queue_config", |entry, draft, report| {
        decode(
            &entry.value,
            "queue_config",
            &[&queue::QUEUE],
            &mut draft.queue,
            report,
        );
        queue::check(&draft.queue, entry, report);
    }),
    read("metadata_config", |entry, draft, report| {
        let into = &mut draft.metadata;
        decode(
            &entry.value,
            "metadata_config",
            &[&metadata::METADATA],
            into,
            report,
        );
    }),
    read("sigv4", |entry, draft, report| {
        Shape::Mapping(&SIGV4).check(&entry.value, "sigv4", report);
        sign(entry, "AWS' sigv4", draft);
    }),
    read("azuread", |entry, draft, _| sign(entry, "azuread", draft)),
    read("google_iam", |entry, draft, _| {
        sign(entry, "google_iam", draft)
    }),
    unused(
        "round_robin_dns",
        Shape::Flag,
        "a connection is kept while it lasts, and a new one goes to the first address that answers",
    ),
    unused(
        "failed_request_logging",
        Shape::Flag,
        "failures are in the ordinary log",
    ),
];

/// What follows from several keys together.
fn finish(mut draft: Draft, line: usize, report: &mut Report) -> Option<RemoteWrite> {
    draft.http.check(report);
    if draft.url.is_empty() {
        report.error(line, "a remote_write needs a url");
        return None;
    }
    let (extremes, extremes_line) = draft.extremes;
    if extremes != Extremes::default() && draft.interval_ms.is_none() {
        report.error(extremes_line, "write_extremes needs a write_interval");
    }
    let not_sent = |why: &str| format!("no samples are sent to this remote_write: {why}");
    if let Some((how, line)) = draft.signed {
        if !matches!(draft.http.credentials(), super::Credentials::None) {
            let problem = "at most one of basic_auth, authorization, oauth2, sigv4, azuread and google_iam may be configured";
            report.error(line, problem);
        }
        report.warn(line, not_sent(&format!("requests are not signed by {how}")));
        return None;
    }
    if let Some((why, line)) = draft.http.unsupported.clone() {
        report.warn(line.0, not_sent(&why));
        return None;
    }
    let Some(shown) = shown(&draft.url) else {
        let why = format!(
            "url: {:?} is no absolute URL like http://host:port/path",
            draft.url
        );
        report.warn(line, not_sent(&why));
        return None;
    };
    draft.http.take_user_of(&draft.url);
    draft.http.headers.append(&mut draft.headers);
    Some(RemoteWrite {
        name: match draft.name.as_str() {
            "" => shown,
            _ => draft.name,
        },
        timeout_ms: draft.timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT),
        http: draft.http,
        relabel: draft.relabel,
        protocol: draft.protocol.unwrap_or(Protocol::V1),
        exemplars: draft.exemplars,
        histograms: draft.histograms,
        signals: draft.signals.unwrap_or(true),
        interval_ms: draft.interval_ms,
        extremes,
        queue: draft.queue,
        metadata: draft.metadata,
        url: draft.url,
        line: Line(line),
    })
}

/// Host and path of a URL: without what may be secret. `None` where it is none.
fn shown(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let is_http = ["http", "https"]
        .iter()
        .any(|one| scheme.eq_ignore_ascii_case(one));
    let rest = rest.split(['?', '#']).next().unwrap_or("");
    let authority = rest.split('/').next().unwrap_or("");
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let path = &rest[authority.len()..];
    (is_http && !host.is_empty()).then(|| format!("{host}{path}"))
}

fn sign(entry: &Entry, how: &'static str, draft: &mut Draft) {
    if !matches!(entry.value.kind, Kind::Null) {
        draft.signed = Some((how, entry.line));
    }
}

fn extremes(entry: &Entry, report: &mut Report) -> Extremes {
    let mut extremes = Extremes::default();
    for name in report.texts(entry) {
        match name.as_str() {
            "min" => extremes.min = true,
            "max" => extremes.max = true,
            _ => report.error(
                entry.line,
                format!("write_extremes: {name:?} is neither min nor max"),
            ),
        }
    }
    extremes
}

/// Headers of every request. What a client sets by itself, or by other keys, may not be among them.
fn headers(entry: &Entry, report: &mut Report) -> Vec<Header> {
    let mut headers = Vec::new();
    for named in report.entries(&entry.value, "headers") {
        let name = named.key.to_ascii_lowercase();
        let value = report.text(&named.value, &named.key).unwrap_or("");
        if RESERVED.contains(&name.as_str()) {
            report.error(
                named.line,
                format!(
                    "headers: {} is set by the client itself, or by a key of its own",
                    named.key
                ),
            );
        }
        headers.push(Header {
            name: named.key.clone(),
            values: vec![SecretSource::Given(Secret::new(value))],
        });
    }
    headers
}

#[cfg(test)]
mod tests;

//! `remote_write`: where samples are sent on (config/config.go, `RemoteWriteConfig` and `QueueConfig`), with two keys of our
//! own for what our resolution would cost a receiver: `write_interval` and `write_extremes`.

use std::path::Path;

use stillwell_adapters::remote_write::Protocol;
use stillwell_engine::labels::RelabelRule;

use super::global::nonzero_ms;
use super::http_client::{HTTP, Header, HttpClientConfig, RESERVED};
use super::relabel::rules;
use super::schema::{Inline, Key, Shape, decode, read, unused};
use super::secret::{Secret, SecretSource};
use super::unused_sections::SIGV4;
use crate::yaml::{Entry, Kind, Node, Report};

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
    pub line: usize,
}

/// What of an interval is sent beside its last sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extremes {
    /// The least, as a series of its own.
    pub min: bool,
    /// The greatest.
    pub max: bool,
}

/// `queue_config`, with Prometheus' defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Samples that wait for one shard.
    pub capacity: u64,
    /// Requests at a time, at most ...
    pub shards_max: u64,
    /// ... and at least.
    pub shards_min: u64,
    /// Samples of one request.
    pub samples_per_send_max: u64,
    /// How long a sample waits before it is sent.
    pub deadline_ms: u64,
    /// The wait after a first failure ...
    pub backoff_min_ms: u64,
    /// ... and what it doubles up to.
    pub backoff_max_ms: u64,
    /// Whether a request is sent again that was one too many.
    pub retry_on_429: bool,
    /// Samples that are older are dropped, where it is given.
    pub age_limit_ms: Option<u64>,
}

impl Default for QueueConfig {
    fn default() -> QueueConfig {
        QueueConfig {
            capacity: 10_000,
            shards_max: 50,
            shards_min: 1,
            samples_per_send_max: 2_000,
            deadline_ms: 5_000,
            backoff_min_ms: 30,
            backoff_max_ms: 5_000,
            // Prometheus drops such samples unless it is told otherwise, because they would fill its queues. Here they stay
            // in history.
            retry_on_429: true,
            age_limit_ms: None,
        }
    }
}

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

impl RemoteWrite {
    /// Makes relative paths ones below `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        self.http.resolve(base);
    }
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
            &[&QUEUE],
            &mut draft.queue,
            report,
        );
        check_queue(&draft.queue, entry, report);
    }),
    read("metadata_config", |entry, draft, report| {
        let into = &mut draft.metadata;
        decode(&entry.value, "metadata_config", &[&METADATA], into, report);
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

static QUEUE: &[Key<QueueConfig>] = &[
    read("capacity", |entry, queue, report| {
        queue.capacity = report.number(entry).unwrap_or(queue.capacity);
    }),
    read("max_shards", |entry, queue, report| {
        queue.shards_max = report.number(entry).unwrap_or(queue.shards_max);
    }),
    read("min_shards", |entry, queue, report| {
        queue.shards_min = report.number(entry).unwrap_or(queue.shards_min);
    }),
    read("max_samples_per_send", |entry, queue, report| {
        let count = report.number(entry);
        queue.samples_per_send_max = count.unwrap_or(queue.samples_per_send_max);
    }),
    read("batch_send_deadline", |entry, queue, report| {
        queue.deadline_ms = nonzero_ms(entry, report).unwrap_or(queue.deadline_ms);
    }),
    read("min_backoff", |entry, queue, report| {
        queue.backoff_min_ms = nonzero_ms(entry, report).unwrap_or(queue.backoff_min_ms);
    }),
    read("max_backoff", |entry, queue, report| {
        queue.backoff_max_ms = nonzero_ms(entry, report).unwrap_or(queue.backoff_max_ms);
    }),
    read("retry_on_http_429", |entry, queue, report| {
        queue.retry_on_429 = report.flag(entry).unwrap_or(queue.retry_on_429);
    }),
    read("sample_age_limit", |entry, queue, report| {
        queue.age_limit_ms = nonzero_ms(entry, report);
    }),
];

static METADATA: &[Key<MetadataConfig>] = &[
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
        report.warn(line, not_sent(&why));
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
        line,
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

fn check_queue(queue: &QueueConfig, entry: &Entry, report: &mut Report) {
    let QueueConfig {
        shards_min,
        shards_max,
        ..
    } = queue;
    let problem = match queue {
        QueueConfig { shards_max: 0, .. } => "max_shards must be 1 or more".to_owned(),
        QueueConfig { shards_min: 0, .. } => "min_shards must be 1 or more".to_owned(),
        QueueConfig {
            samples_per_send_max: 0,
            ..
        } => "max_samples_per_send must be 1 or more".to_owned(),
        _ if shards_min > shards_max => {
            format!("min_shards {shards_min} is more than max_shards {shards_max}")
        }
        _ => return,
    };
    report.error(entry.line, format!("queue_config: {problem}"));
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
mod tests {
    use super::*;
    use crate::config::{Credentials, load};

    fn read(text: &str) -> (Vec<RemoteWrite>, Vec<String>, Vec<String>) {
        let (config, report) = load(text);
        let texts = |problems: &[crate::yaml::Problem]| {
            let texts = problems.iter().map(|problem| problem.message.clone());
            texts.collect::<Vec<String>>()
        };
        let found = config.map_or(Vec::new(), |config| config.remote_writes);
        (found, texts(&report.errors), texts(&report.warnings))
    }

    #[test]
    fn what_is_not_given_is_as_in_prometheus() {
        let (all, errors, warnings) =
            read("remote_write: [{url: 'http://h:1/api/v1/write?x=1'}]\n");
        assert_eq!((errors, warnings), (Vec::new(), Vec::new()));
        let one = &all[0];
        assert_eq!(
            (one.name.as_str(), one.timeout_ms),
            ("h:1/api/v1/write", 30_000)
        );
        assert_eq!(one.protocol, Protocol::V1);
        assert!(!one.exemplars && !one.histograms && one.signals && one.metadata.send);
        assert_eq!(one.queue, QueueConfig::default());
        assert_eq!((one.interval_ms, one.extremes), (None, Extremes::default()));
    }

    #[test]
    fn every_key_is_read() {
        let (all, errors, warnings) = read(
            "remote_write:\n- url: https://u:p%40w@h/w\n  name: n\n  remote_timeout: 5s\n  headers: {X-Scope-OrgID: t}\n  write_relabel_configs: [{action: labeldrop, regex: x}]\n  protobuf_message: io.prometheus.write.v2.Request\n  send_exemplars: true\n  send_native_histograms: true\n  send_signals: false\n  write_interval: 15s\n  write_extremes: [min, max]\n  queue_config: {capacity: 1, max_shards: 2, min_shards: 2, max_samples_per_send: 3, batch_send_deadline: 4ms, min_backoff: 5ms, max_backoff: 6ms, retry_on_http_429: false, sample_age_limit: 1m}\n  metadata_config: {send: false, send_interval: 1s, max_samples_per_send: 7}\n",
        );
        assert_eq!((errors, warnings), (Vec::new(), Vec::new()));
        let one = &all[0];
        assert_eq!(
            (one.name.as_str(), one.timeout_ms, one.signals),
            ("n", 5_000, false)
        );
        assert_eq!(one.protocol, Protocol::V2);
        assert!(one.exemplars && one.histograms);
        assert_eq!((one.relabel.len(), one.interval_ms), (1, Some(15_000)));
        assert_eq!(
            one.extremes,
            Extremes {
                min: true,
                max: true
            }
        );
        let queue = QueueConfig {
            capacity: 1,
            shards_max: 2,
            shards_min: 2,
            samples_per_send_max: 3,
            deadline_ms: 4,
            backoff_min_ms: 5,
            backoff_max_ms: 6,
            retry_on_429: false,
            age_limit_ms: Some(60_000),
        };
        assert_eq!(one.queue, queue);
        let metadata = MetadataConfig {
            send: false,
            interval_ms: 1_000,
            per_send_max: 7,
        };
        assert_eq!(one.metadata, metadata);
        assert_eq!(one.http.headers[0].name, "X-Scope-OrgID");
        let Credentials::Basic(basic) = one.http.credentials() else {
            panic!("the URL names a user");
        };
        assert_eq!(
            basic.password,
            Some(SecretSource::Given(Secret::new("p@w")))
        );
    }

    #[test]
    fn two_receivers_have_two_names() {
        let (all, errors, _) = read("remote_write: [{url: 'http://h/w'}, {url: 'http://h/w'}]\n");
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!([&*all[0].name, &*all[1].name], ["h/w", "h/w-2"]);
        let (_, errors, _) =
            read("remote_write: [{url: 'http://h/w', name: a}, {url: 'http://i/w', name: a}]\n");
        assert!(errors[0].contains("named \"a\""), "{errors:?}");
    }

    #[test]
    fn what_is_wrong_is_an_error_and_what_cannot_be_sent_a_warning() {
        for (inner, says) in [
            ("name: x", "needs a url"),
            (
                "url: 'http://h', queue_config: {min_shards: 9, max_shards: 3}",
                "more than max_shards",
            ),
            (
                "url: 'http://h', queue_config: {max_samples_per_send: 0}",
                "1 or more",
            ),
            (
                "url: 'http://h', headers: {Content-Type: x}",
                "set by the client",
            ),
            (
                "url: 'http://h', protobuf_message: x",
                "neither prometheus.WriteRequest",
            ),
            (
                "url: 'http://h', write_extremes: [min]",
                "needs a write_interval",
            ),
            (
                "url: 'http://h', write_interval: 1s, write_extremes: [mean]",
                "neither min nor max",
            ),
            (
                "url: 'http://h', sigv4: {region: x}, basic_auth: {username: u}",
                "at most one of",
            ),
        ] {
            let (_, errors, _) = read(&format!("remote_write: [{{{inner}}}]\n"));
            assert!(
                errors.iter().any(|error| error.contains(says)),
                "{inner}: {errors:?}"
            );
        }
        for (inner, says) in [
            ("url: x", "no samples are sent to this remote_write: url"),
            (
                "url: 'http://h', sigv4: {region: x}",
                "not signed by AWS' sigv4",
            ),
            (
                "url: 'http://h', proxy_url: 'socks5://p'",
                "no samples are sent",
            ),
        ] {
            let (all, errors, warnings) = read(&format!("remote_write: [{{{inner}}}]\n"));
            assert_eq!((all.len(), errors), (0, Vec::new()), "{inner}");
            assert!(
                warnings.iter().any(|text| text.contains(says)),
                "{inner}: {warnings:?}"
            );
        }
    }
}

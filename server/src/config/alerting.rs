//! `alerting`: where alerts are sent, and what is rewritten before (config/config.go, `AlertingConfig`).

use std::path::Path;

use stillwell_engine::labels::RelabelRule;

use super::discovery::{self, DISCOVERY, Discovery, Sources};
use super::http_client::{HTTP, HttpClientConfig};
use super::relabel::rules;
use super::schema::{Inline, Key, Shape, decode, read, unused};
use super::scrape::check_addresses;
use super::units::duration_ms;
use super::unused_discovery::NotBuilt;
use super::unused_sections::SIGV4;
use crate::yaml::{Entry, Kind, Line, Node, Report};

/// Prometheus' default for one request to an Alertmanager.
const TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// `alerting`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alerting {
    /// Rewrites every alert that leaves.
    pub relabel: Vec<RelabelRule>,
    /// To whom they are sent.
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

/// One entry of `alertmanagers`: servers that are found and reached in the same way.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertmanagerConfig {
    /// `http` or `https`, before relabelling.
    pub scheme: String,
    /// In front of `/api/v2/alerts`.
    pub path_prefix: String,
    /// For one request.
    pub timeout_ms: u64,
    /// How they are reached.
    pub http: HttpClientConfig,
    /// Rewrites the servers' labels.
    pub relabel: Vec<RelabelRule>,
    /// Rewrites the alerts that these servers get, after those of the section.
    pub alert_relabel: Vec<RelabelRule>,
    /// Where they are found.
    pub discovery: Vec<Discovery>,
    /// Where it stands in the file.
    pub line: Line,
}

impl Alerting {
    /// Makes relative paths ones below `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        for one in &mut self.alertmanagers {
            one.http.resolve(base);
            discovery::resolve(&mut one.discovery, base);
        }
    }
}

/// An entry while its keys are read.
struct Draft {
    one: AlertmanagerConfig,
    sources: Sources,
    sigv4: Option<usize>,
}

static ALERTING: &[Key<Alerting>] = &[
    read("alert_relabel_configs", |entry, alerting, report| {
        alerting.relabel = rules(entry, report);
    }),
    read("alertmanagers", |entry, alerting, report| {
        for item in report.sections(entry) {
            let one = alertmanager(item, report);
            alerting.alertmanagers.extend(one);
        }
    }),
];

static ALERTMANAGER: &[Key<Draft>] = &[
    read("scheme", |entry, draft, report| {
        draft.one.scheme = text(entry, "http", report);
    }),
    read("path_prefix", |entry, draft, report| {
        draft.one.path_prefix = text(entry, "", report);
    }),
    read("timeout", |entry, draft, report| {
        let ms = report.parsed(entry, duration_ms);
        draft.one.timeout_ms = ms.unwrap_or(TIMEOUT_MS_DEFAULT);
    }),
    read("api_version", |entry, _, report| {
        report.parsed(entry, |text| match text {
            "v2" | "" => Ok(()),
            _ => Err(format!(
                "{text:?} is not served by any Alertmanager since 0.28: write v2, or leave it out"
            )),
        });
    }),
    read("relabel_configs", |entry, draft, report| {
        draft.one.relabel = rules(entry, report);
    }),
    read("alert_relabel_configs", |entry, draft, report| {
        draft.one.alert_relabel = rules(entry, report);
    }),
    read("sigv4", |entry, draft, report| {
        Shape::Mapping(&SIGV4).check(&entry.value, "sigv4", report);
        draft.sigv4 = (!matches!(entry.value.kind, Kind::Null)).then_some(entry.line);
    }),
    unused("google_iam", Shape::Any, "requests are not signed"),
];

/// Reads the section.
pub(super) fn alerting(node: &Node, report: &mut Report) -> Alerting {
    let mut alerting = Alerting::default();
    decode(node, "alerting", &[&ALERTING], &mut alerting, report);
    alerting
}

/// One entry; `None` where nothing can be sent to it, which is a warning.
fn alertmanager(node: &Node, report: &mut Report) -> Option<AlertmanagerConfig> {
    let mut draft = Draft {
        one: AlertmanagerConfig {
            scheme: "http".to_owned(),
            path_prefix: String::new(),
            timeout_ms: TIMEOUT_MS_DEFAULT,
            http: HttpClientConfig::default(),
            relabel: Vec::new(),
            alert_relabel: Vec::new(),
            discovery: Vec::new(),
            line: Line(node.line),
        },
        sources: Sources::default(),
        sigv4: None,
    };
    let http = Inline {
        keys: HTTP,
        part: |draft: &mut Draft| &mut draft.one.http,
    };
    let discovery = Inline {
        keys: DISCOVERY,
        part: |draft: &mut Draft| &mut draft.sources,
    };
    let not_built = Inline {
        keys: NotBuilt,
        part: |draft: &mut Draft| &mut draft.sources,
    };
    let tables: [&dyn super::schema::Keys<Draft>; 4] =
        [&ALERTMANAGER, &http, &discovery, &not_built];
    decode(node, "an alertmanager", &tables, &mut draft, report);
    finish(draft, report)
}

/// What follows from several keys together.
fn finish(draft: Draft, report: &mut Report) -> Option<AlertmanagerConfig> {
    let Draft {
        mut one,
        sources,
        sigv4,
    } = draft;
    one.http.check(report);
    if one.relabel.is_empty() {
        check_addresses(&sources.ways, report);
    }
    let not_sent = |why: &str| format!("no alerts are sent to this alertmanager: {why}");
    if let Some(line) = sigv4 {
        if !matches!(one.http.credentials(), super::Credentials::None) {
            let problem =
                "at most one of basic_auth, authorization, oauth2 and sigv4 may be configured";
            report.error(line, problem);
        }
        report.warn(line, not_sent("requests are not signed by AWS' sigv4"));
        return None;
    }
    if let Some((why, line)) = one.http.unsupported.clone() {
        report.warn(line.0, not_sent(&why));
        return None;
    }
    for (name, line) in &sources.missing {
        let why = format!("alertmanagers of {name}, which is not built, get no alerts");
        report.warn(*line, why);
    }
    one.discovery = sources.ways;
    (!one.discovery.is_empty() || sources.missing.is_empty()).then_some(one)
}

fn text(entry: &Entry, default: &str, report: &mut Report) -> String {
    let text = report.text(&entry.value, &entry.key);
    text.unwrap_or(default).to_owned()
}

//! `monitors` and `inference_pools`: objects of a cluster that are read and become scrape jobs or rules.

use std::path::{Path, PathBuf};

use super::discovery::{KubernetesDiscovery, KubernetesRole};
use super::http_client::HTTP;
use super::schema::{Inline, Key, decode, read};
use super::units::duration_ms;
use super::{Global, ScrapeJob, nearest, scrape};
use crate::yaml;
use crate::yaml::Report;
use crate::yaml::{Entry, Line, Node};

/// Kinds of objects that name targets, or rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MonitorKind {
    /// prometheus-operator: endpoints of Services.
    ServiceMonitor,
    /// prometheus-operator: pods.
    PodMonitor,
    /// prometheus-operator: a scrape configuration.
    ScrapeConfig,
    /// prometheus-operator: recording and alerting rules, which name no targets.
    PrometheusRule,
    /// Google Managed Prometheus: pods of a namespace.
    PodMonitoring,
    /// Google Managed Prometheus: pods of all namespaces.
    ClusterPodMonitoring,
    /// Gateway API Inference Extension: the Endpoint Picker of a pool.
    InferencePool,
}

impl MonitorKind {
    /// What `monitors` may read.
    const MONITORS: [MonitorKind; 6] = [
        MonitorKind::ServiceMonitor,
        MonitorKind::PodMonitor,
        MonitorKind::ScrapeConfig,
        MonitorKind::PrometheusRule,
        MonitorKind::PodMonitoring,
        MonitorKind::ClusterPodMonitoring,
    ];

    /// As it is written in an object's `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            MonitorKind::ServiceMonitor => "ServiceMonitor",
            MonitorKind::PodMonitor => "PodMonitor",
            MonitorKind::ScrapeConfig => "ScrapeConfig",
            MonitorKind::PrometheusRule => "PrometheusRule",
            MonitorKind::PodMonitoring => "PodMonitoring",
            MonitorKind::ClusterPodMonitoring => "ClusterPodMonitoring",
            MonitorKind::InferencePool => "InferencePool",
        }
    }
}

/// Which objects are read, and what of their jobs is decided here.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitors {
    /// Their kinds.
    pub kinds: Vec<MonitorKind>,
    /// Only those with these labels (a selector as kubectl takes it); all where it is empty.
    pub selector: String,
    /// Replaces the intervals that the objects give, as text: prometheus-operator's are made for minutes.
    pub scrape_interval: Option<String>,
    /// What is kept of their pages: `all` or `signals`.
    pub retain: Option<String>,
    /// Whether targets get `top_level_controller_name` and `top_level_controller_type`.
    pub controller_labels: bool,
    /// Whether objects may name files of this process (`bearerTokenFile`, `caFile`): whoever may write an object then sends what
    /// they hold where he likes (prometheus-operator's `arbitraryFSAccessThroughSMs`).
    pub arbitrary_fs_access: bool,
    /// How the API server is reached, and the namespaces that are read.
    pub cluster: KubernetesDiscovery,
    /// Where it stands.
    pub line: Line,
}

impl Monitors {
    /// Makes paths relative to the folder of the configuration.
    pub(super) fn resolve(&mut self, base: &Path) {
        self.cluster.resolve(base);
    }
}

static MONITORS: &[Key<Monitors>] = &[
    read("kinds", |entry, monitors, report| {
        monitors.kinds = kinds(entry, report);
    }),
    read("selector", |entry, monitors, report| {
        monitors.selector = report.string(entry);
    }),
    read("scrape_interval", |entry, monitors, report| {
        monitors.scrape_interval = interval(entry, report);
    }),
    read("retain", |entry, monitors, report| {
        let text = report.string(entry);
        if !matches!(text.as_str(), "all" | "signals") {
            report.error(entry.line, format!("retain is {text:?}: all or signals"));
        }
        monitors.retain = Some(text);
    }),
    read("controller_labels", |entry, monitors, report| {
        monitors.controller_labels = report.flag(entry).unwrap_or(true);
    }),
    read("arbitrary_fs_access", |entry, monitors, report| {
        monitors.arbitrary_fs_access = report.flag(entry).unwrap_or(false);
    }),
    read("namespaces", |entry, monitors, report| {
        monitors.cluster.namespaces = report.texts(entry);
    }),
    read("api_server", |entry, monitors, report| {
        monitors.cluster.api_server = report.string(entry);
    }),
    read("kubeconfig_file", |entry, monitors, report| {
        let path = report.string(entry);
        monitors.cluster.kubeconfig_file = (!path.is_empty()).then(|| PathBuf::from(path));
    }),
];

/// Reads `monitors`.
pub(super) fn monitors(node: &Node, report: &mut Report) -> Monitors {
    section(node, "monitors", MonitorKind::MONITORS.to_vec(), report)
}

/// Reads `inference_pools`.
pub(super) fn inference_pools(node: &Node, report: &mut Report) -> Monitors {
    let what = "inference_pools";
    let mut read = section(node, what, vec![MonitorKind::InferencePool], report);
    read.kinds = vec![MonitorKind::InferencePool];
    read
}

fn section(node: &Node, what: &str, kinds: Vec<MonitorKind>, report: &mut Report) -> Monitors {
    let mut monitors = Monitors {
        kinds,
        selector: String::new(),
        scrape_interval: None,
        retain: None,
        controller_labels: true,
        arbitrary_fs_access: false,
        cluster: KubernetesDiscovery::of(KubernetesRole::Pod),
        line: Line(node.line),
    };
    let http = Inline {
        keys: HTTP,
        part: |monitors: &mut Monitors| &mut monitors.cluster.http,
    };
    decode(node, what, &[&MONITORS, &http], &mut monitors, report);
    monitors.cluster.check_access(node.line, what, report);
    monitors
}

fn kinds(entry: &Entry, report: &mut Report) -> Vec<MonitorKind> {
    let mut kinds = Vec::new();
    for text in report.texts(entry) {
        match MonitorKind::MONITORS
            .iter()
            .find(|kind| kind.as_str() == text)
        {
            Some(kind) => kinds.push(*kind),
            None => {
                let known = MonitorKind::MONITORS.map(MonitorKind::as_str);
                let near =
                    nearest(&text, known).map_or(String::new(), |near| format!("; {near} is near"));
                report.error(
                    entry.line,
                    format!(
                        "kinds of monitors: there is no {text:?}{near}; there are {}",
                        known.join(", ")
                    ),
                );
            }
        }
    }
    kinds
}

fn interval(entry: &Entry, report: &mut Report) -> Option<String> {
    let text = report.string(entry);
    match duration_ms(&text) {
        Ok(_) => Some(text),
        Err(why) => {
            report.error(entry.line, format!("scrape_interval: {why}"));
            None
        }
    }
}

/// A job from the text of a `scrape_config` in JSON, with what it inherits from `global`; the error says what is wrong
/// with it.
pub fn job_from_json(text: &str, global: &Global) -> Result<ScrapeJob, String> {
    let tree = yaml::parse(text).map_err(|problem| problem.message)?;
    let mut report = Report::default();
    let job = scrape::job(&tree, global, &mut report);
    match report.errors.into_iter().next() {
        Some(problem) => Err(problem.message),
        None => Ok(job),
    }
}

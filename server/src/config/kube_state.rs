//! `kube_state`: series about workloads and pods, of the names and labels that kube-state-metrics gives them.

use std::path::{Path, PathBuf};

use super::discovery::{KubernetesDiscovery, KubernetesRole};
use super::http_client::HTTP;
use super::schema::{Inline, Key, decode, read};
use super::units::duration_ms;
use crate::yaml::Report;
use crate::yaml::{Line, Node};

/// Once a second: each scrape asks the API server whether it is there.
const INTERVAL_MS_MIN: u64 = 1_000;

/// Which objects are told of, and how the API server is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct KubeState {
    /// All objects of all kinds, not only those that signals, rules and triggers name.
    pub all: bool,
    /// Between two pages; that of `global` where it is left out, at least a second.
    pub interval_ms: u64,
    /// How the API server is reached, and the namespaces that are watched.
    pub cluster: KubernetesDiscovery,
    /// Where it stands.
    pub line: Line,
}

impl KubeState {
    /// The `job` of its series, and the name of its job.
    pub const JOB: &'static str = "kube-state-metrics";

    /// Makes paths relative to the folder of the configuration.
    pub(super) fn resolve(&mut self, base: &Path) {
        self.cluster.resolve(base);
    }
}

static KUBE_STATE: &[Key<KubeState>] = &[
    read("all", |entry, state, report| {
        state.all = report.flag(entry).unwrap_or(false);
    }),
    read("scrape_interval", |entry, state, report| {
        if let Some(ms) = report.parsed(entry, duration_ms) {
            if ms < INTERVAL_MS_MIN {
                let least = "kube_state: scrape_interval is at least 1s: each page asks the API server whether it is there";
                report.error(entry.line, least);
            }
            state.interval_ms = ms;
        }
    }),
    read("namespaces", |entry, state, report| {
        state.cluster.namespaces = report.texts(entry);
    }),
    read("api_server", |entry, state, report| {
        state.cluster.api_server = report.string(entry);
    }),
    read("kubeconfig_file", |entry, state, report| {
        let path = report.string(entry);
        state.cluster.kubeconfig_file = (!path.is_empty()).then(|| PathBuf::from(path));
    }),
];

/// Reads the section. `interval_ms` is that of jobs which give none.
pub(super) fn kube_state(node: &Node, interval_ms: u64, report: &mut Report) -> KubeState {
    let mut state = KubeState {
        all: false,
        interval_ms: interval_ms.max(INTERVAL_MS_MIN),
        cluster: KubernetesDiscovery::of(KubernetesRole::Pod),
        line: Line(node.line),
    };
    let http = Inline {
        keys: HTTP,
        part: |state: &mut KubeState| &mut state.cluster.http,
    };
    decode(
        node,
        "kube_state",
        &[&KUBE_STATE, &http],
        &mut state,
        report,
    );
    state.cluster.check_access(node.line, "kube_state", report);
    state
}

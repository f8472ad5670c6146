//! `events`: Kubernetes Events on the HorizontalPodAutoscalers and ScaledObjects that read a signal.

use std::path::{Path, PathBuf};

use super::discovery::{KubernetesDiscovery, KubernetesRole};
use super::http_client::HTTP;
use super::schema::{Inline, Key, decode, read};
use crate::yaml::Report;
use crate::yaml::{Line, Node};

/// Where readers of signals are looked for, and how the API server is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    /// How the API server is reached, and the namespaces that are watched.
    pub cluster: KubernetesDiscovery,
    /// Where it stands.
    pub line: Line,
}

impl Events {
    /// Makes paths relative to the folder of the configuration.
    pub(super) fn resolve(&mut self, base: &Path) {
        self.cluster.resolve(base);
    }
}

static EVENTS: &[Key<Events>] = &[
    read("namespaces", |entry, events, report| {
        events.cluster.namespaces = report.texts(entry);
    }),
    read("api_server", |entry, events, report| {
        events.cluster.api_server = report.string(entry);
    }),
    read("kubeconfig_file", |entry, events, report| {
        let path = report.string(entry);
        events.cluster.kubeconfig_file = (!path.is_empty()).then(|| PathBuf::from(path));
    }),
];

/// Reads the section.
pub(super) fn events(node: &Node, report: &mut Report) -> Events {
    let mut events = Events {
        // The role says nothing here: the same options lead to the same API server.
        cluster: KubernetesDiscovery::of(KubernetesRole::Pod),
        line: Line(node.line),
    };
    let http = Inline {
        keys: HTTP,
        part: |events: &mut Events| &mut events.cluster.http,
    };
    decode(node, "events", &[&EVENTS, &http], &mut events, report);
    events.cluster.check_access(node.line, "events", report);
    events
}

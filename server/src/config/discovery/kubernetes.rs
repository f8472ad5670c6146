//! `kubernetes_sd_configs`: objects of a Kubernetes API server.

use std::path::{Path, PathBuf};

use crate::config::http_client::{HTTP, HttpClientConfig};
use crate::config::schema::{Inline, Key, Shape, decode, read, unused};
use crate::yaml::{Kind, Node, Report};

/// Objects of a Kubernetes API server.
#[derive(Clone, Debug, PartialEq)]
pub struct KubernetesDiscovery {
    /// Where; the cluster that this pod runs in where it is empty.
    pub api_server: String,
    /// Which objects.
    pub role: KubernetesRole,
    /// Credentials in kubectl's format.
    pub kubeconfig_file: Option<PathBuf>,
    /// As whom.
    pub http: HttpClientConfig,
    /// Only these namespaces; all where it is empty.
    pub namespaces: Vec<String>,
    /// Also the one that this pod runs in.
    pub own_namespace: bool,
    /// Only these objects.
    pub selectors: Vec<KubernetesSelector>,
    /// Whether the node's labels are attached to pods and endpoints.
    pub attach_node: bool,
    /// Whether the namespace's labels are attached.
    pub attach_namespace: bool,
}

impl KubernetesDiscovery {
    /// All objects of a role in the cluster that this pod runs in.
    pub fn of(role: KubernetesRole) -> KubernetesDiscovery {
        KubernetesDiscovery {
            api_server: String::new(),
            role,
            kubeconfig_file: None,
            http: HttpClientConfig::default(),
            namespaces: Vec::new(),
            own_namespace: false,
            selectors: Vec::new(),
            attach_node: false,
            attach_namespace: false,
        }
    }

    /// Makes relative paths ones below `base`.
    pub(in crate::config) fn resolve(&mut self, base: &Path) {
        self.http.resolve(base);
        if let Some(path) = &mut self.kubeconfig_file {
            *path = base.join(&*path);
        }
    }

    /// Checks how the API server is reached.
    pub(in crate::config) fn check_access(&mut self, line: usize, what: &str, report: &mut Report) {
        self.http.check(report);
        let elsewhere = !self.api_server.is_empty();
        if elsewhere && self.kubeconfig_file.is_some() {
            report.error(
                line,
                format!("{what}: api_server and kubeconfig_file exclude one another: keep one"),
            );
        }
        if !elsewhere && self.http.is_given() {
            report.error(
                line,
                format!("{what}: options of the HTTP client need an api_server"),
            );
        }
    }
}

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KubernetesRole {
    /// Nodes.
    Node,
    /// Pods, a target per container port.
    Pod,
    /// Services, a target per port.
    Service,
    /// Endpoints, a target per address and port.
    Endpoints,
    /// EndpointSlices, a target per address and port.
    EndpointSlice,
    /// Ingresses, a target per path.
    Ingress,
}

impl KubernetesRole {
    const ALL: [KubernetesRole; 6] = [
        KubernetesRole::Node,
        KubernetesRole::Pod,
        KubernetesRole::Service,
        KubernetesRole::Endpoints,
        KubernetesRole::EndpointSlice,
        KubernetesRole::Ingress,
    ];

    /// As written in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            KubernetesRole::Node => "node",
            KubernetesRole::Pod => "pod",
            KubernetesRole::Service => "service",
            KubernetesRole::Endpoints => "endpoints",
            KubernetesRole::EndpointSlice => "endpointslice",
            KubernetesRole::Ingress => "ingress",
        }
    }

    fn from_name(name: &str) -> Result<KubernetesRole, String> {
        let fits = |role: &KubernetesRole| role.as_str().eq_ignore_ascii_case(name);
        KubernetesRole::ALL.into_iter().find(fits).ok_or_else(|| {
            let known = KubernetesRole::ALL.map(KubernetesRole::as_str).join(", ");
            format!("{name:?} is not one of {known}")
        })
    }

    /// The kinds that a job of this role watches, and may therefore select.
    pub fn watched(self) -> &'static [KubernetesRole] {
        use KubernetesRole::{EndpointSlice, Endpoints, Ingress, Node, Pod, Service};
        match self {
            Pod => &[Pod],
            Service => &[Service],
            Endpoints => &[Endpoints, Pod, Service],
            EndpointSlice => &[EndpointSlice, Pod, Service],
            Node => &[Node],
            Ingress => &[Ingress],
        }
    }
}

/// Only the objects of a kind that fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSelector {
    /// Of what.
    pub role: KubernetesRole,
    /// A label selector.
    pub label: String,
    /// A field selector.
    pub field: String,
}

pub(super) fn kubernetes(node: &Node, report: &mut Report) -> KubernetesDiscovery {
    let mut kubernetes = KubernetesDiscovery::of(KubernetesRole::Pod);
    let inline = Inline {
        keys: HTTP,
        part: |kubernetes: &mut KubernetesDiscovery| &mut kubernetes.http,
    };
    let what = "a kubernetes_sd_config";
    decode(node, what, &[&KUBERNETES, &inline], &mut kubernetes, report);
    let has_role = matches!(&node.kind, Kind::Map(entries)
        if entries.iter().any(|entry| entry.key == "role"));
    if !has_role {
        report.error(
            node.line,
            format!("{what} needs a role: pod, endpoints, endpointslice, service, node or ingress"),
        );
    }
    kubernetes.check_access(node.line, what, report);
    let elsewhere = !kubernetes.api_server.is_empty();
    if elsewhere && kubernetes.own_namespace {
        report.error(
            node.line,
            format!("{what}: own_namespace is of the cluster of this pod and excludes api_server"),
        );
    }
    if kubernetes.kubeconfig_file.is_some() && kubernetes.own_namespace {
        let why = "own_namespace is of the cluster of this pod and excludes kubeconfig_file";
        report.error(node.line, format!("{what}: {why}"));
    }
    let mut seen = Vec::new();
    for selector in &kubernetes.selectors {
        let (role, of) = (selector.role.as_str(), kubernetes.role);
        // Nodes are watched beside pods where their labels are asked for.
        let is_of_node = (of, selector.role) == (KubernetesRole::Pod, KubernetesRole::Node);
        if !is_of_node && !of.watched().contains(&selector.role) {
            let of = of.as_str();
            report.error(
                node.line,
                format!("{what}: a selector of the role {role} selects nothing for the role {of}"),
            );
        }
        if seen.contains(&selector.role) {
            report.error(
                node.line,
                format!("{what}: two selectors of the role {role}"),
            );
        }
        seen.push(selector.role);
    }
    kubernetes
}

static KUBERNETES: &[Key<KubernetesDiscovery>] = &[
    read("api_server", |entry, kubernetes, report| {
        kubernetes.api_server = report.string(entry);
    }),
    read("role", |entry, kubernetes, report| {
        let role = report.parsed(entry, KubernetesRole::from_name);
        kubernetes.role = role.unwrap_or(kubernetes.role);
    }),
    read("kubeconfig_file", |entry, kubernetes, report| {
        let path = report.string(entry);
        kubernetes.kubeconfig_file = (!path.is_empty()).then(|| PathBuf::from(path));
    }),
    read("namespaces", |entry, kubernetes, report| {
        static NAMESPACES: &[Key<KubernetesDiscovery>] = &[
            read("own_namespace", |entry, kubernetes, report| {
                kubernetes.own_namespace = report.flag(entry).unwrap_or(false);
            }),
            read("names", |entry, kubernetes, report| {
                kubernetes.namespaces = report.texts(entry);
            }),
        ];
        decode(
            &entry.value,
            "namespaces",
            &[&NAMESPACES],
            kubernetes,
            report,
        );
    }),
    read("selectors", |entry, kubernetes, report| {
        for item in report.sections(entry) {
            let selector = selector(item, report);
            kubernetes.selectors.push(selector);
        }
    }),
    read("attach_metadata", |entry, kubernetes, report| {
        const NOT_ATTACHED: &str = "the owners of pods are not looked up";
        static ATTACH: &[Key<KubernetesDiscovery>] = &[
            read("node", |entry, kubernetes, report| {
                kubernetes.attach_node = report.flag(entry).unwrap_or(false);
            }),
            read("namespace", |entry, kubernetes, report| {
                kubernetes.attach_namespace = report.flag(entry).unwrap_or(false);
            }),
            unused("deployment", Shape::Flag, NOT_ATTACHED),
            unused("job", Shape::Flag, NOT_ATTACHED),
            unused("cronjob", Shape::Flag, NOT_ATTACHED),
        ];
        decode(
            &entry.value,
            "attach_metadata",
            &[&ATTACH],
            kubernetes,
            report,
        );
    }),
];

fn selector(node: &Node, report: &mut Report) -> KubernetesSelector {
    static SELECTOR: &[Key<KubernetesSelector>] = &[
        read("role", |entry, selector, report| {
            let role = report.parsed(entry, KubernetesRole::from_name);
            selector.role = role.unwrap_or(selector.role);
        }),
        read("label", |entry, selector, report| {
            selector.label = report.string(entry);
        }),
        read("field", |entry, selector, report| {
            let field = report.parsed(entry, field_selector);
            selector.field = field.unwrap_or_default();
        }),
    ];
    let mut selector = KubernetesSelector {
        role: KubernetesRole::Pod,
        label: String::new(),
        field: String::new(),
    };
    decode(node, "a selector", &[&SELECTOR], &mut selector, report);
    selector
}

/// As Kubernetes reads one: `name=value`, `name==value` or `name!=value`, with commas between.
fn field_selector(text: &str) -> Result<String, String> {
    let mut terms = text.split(',').filter(|term| !term.is_empty());
    match terms.find(|term| !term.contains('=')) {
        Some(term) => Err(format!(
            "invalid selector {text:?}: {term:?} is neither name=value nor name!=value"
        )),
        None => Ok(text.to_owned()),
    }
}

//! `*_sd_configs` and `static_configs`: where targets are found.
//!
//! Names, defaults and checks are those of Prometheus (discovery/*/).

use std::path::{Path, PathBuf};

use axum::http::Uri;
use stillwell_engine::labels::{Labels, LabelsBuilder, Re2};

use super::http_client::{HTTP, HttpClientConfig};
use super::schema::{Inline, Key, decode, read};
use super::units::duration_ms;
use crate::yaml::Report;
use crate::yaml::{Entry, Kind, Node};

/// One way to find targets.
#[derive(Clone, Debug, PartialEq)]
pub enum Discovery {
    /// Targets of the file itself.
    Static(StaticGroup),
    /// `file_sd_configs`.
    File(FileDiscovery),
    /// `http_sd_configs`.
    Http(Box<HttpDiscovery>),
    /// `dns_sd_configs`.
    Dns(DnsDiscovery),
    /// `kubernetes_sd_configs`.
    Kubernetes(Box<KubernetesDiscovery>),
}

/// One entry of `static_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticGroup {
    /// `host:port` each.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: Labels,
    /// Where it stands.
    pub line: usize,
}

/// Lists of targets in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiscovery {
    /// Paths, the last part of which may be a pattern.
    pub files: Vec<PathBuf>,
    /// They are read again this often, changed or not.
    pub refresh_ms: u64,
}

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

/// Names that resolve to targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsDiscovery {
    /// The names.
    pub names: Vec<String>,
    /// What is asked for.
    pub record: DnsRecord,
    /// The port of what is no SRV record.
    pub port: u16,
    /// Asked this often.
    pub refresh_ms: u64,
}

/// Kinds of DNS records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsRecord {
    /// Host and port.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail exchangers.
    Mx,
    /// Name servers.
    Ns,
}

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
    pub(super) fn resolve(&mut self, base: &Path) {
        self.http.resolve(base);
        if let Some(path) = &mut self.kubeconfig_file {
            *path = base.join(&*path);
        }
    }

    /// Checks how the API server is reached.
    pub(super) fn check_access(&mut self, line: usize, what: &str, report: &mut Report) {
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

/// What a job's discovery keys come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sources {
    /// Ways that are gone.
    pub ways: Vec<Discovery>,
    /// Keys of mechanisms that are not built, with their lines.
    pub missing: Vec<(&'static str, usize)>,
}

/// Makes relative paths ones below `base`.
pub(super) fn resolve(ways: &mut [Discovery], base: &Path) {
    for way in ways {
        match way {
            Discovery::Static(_) | Discovery::Dns(_) => {}
            Discovery::File(file) => {
                for path in &mut file.files {
                    *path = base.join(&*path);
                }
            }
            Discovery::Http(http) => http.http.resolve(base),
            Discovery::Kubernetes(kubernetes) => kubernetes.resolve(base),
        }
    }
}

/// The keys of the ways that are built.
pub(super) static DISCOVERY: &[Key<Sources>] = &[
    read("static_configs", |entry, sources, report| {
        let groups = static_groups(entry, report).into_iter();
        sources.ways.extend(groups.map(Discovery::Static));
    }),
    read("file_sd_configs", |entry, sources, report| {
        for item in report.sections(entry) {
            sources.ways.push(Discovery::File(file(item, report)));
        }
    }),
    read("http_sd_configs", |entry, sources, report| {
        for item in report.sections(entry) {
            let http = Box::new(http(item, report));
            sources.ways.push(Discovery::Http(http));
        }
    }),
    read("dns_sd_configs", |entry, sources, report| {
        for item in report.sections(entry) {
            sources.ways.push(Discovery::Dns(dns(item, report)));
        }
    }),
    read("kubernetes_sd_configs", |entry, sources, report| {
        for item in report.sections(entry) {
            let kubernetes = Box::new(kubernetes(item, report));
            sources.ways.push(Discovery::Kubernetes(kubernetes));
        }
    }),
];

fn static_groups(entry: &Entry, report: &mut Report) -> Vec<StaticGroup> {
    static GROUP: &[Key<StaticGroup>] = &[
        read("targets", |entry, group, report| {
            group.targets = report.texts(entry);
        }),
        read("labels", |entry, group, report| {
            group.labels = labels(entry, report);
        }),
    ];
    let mut groups = Vec::new();
    for item in report.sections(entry) {
        let mut group = StaticGroup {
            targets: Vec::new(),
            labels: Labels::empty(),
            line: item.line,
        };
        decode(item, "a static_config", &[&GROUP], &mut group, report);
        groups.push(group);
    }
    groups
}

fn file(node: &Node, report: &mut Report) -> FileDiscovery {
    static FILE: &[Key<FileDiscovery>] = &[
        read("files", |entry, file, report| {
            let pattern = Re2::new(r"[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)");
            for name in report.texts(entry) {
                if pattern
                    .as_ref()
                    .is_ok_and(|pattern| !pattern.is_match(&name))
                {
                    report.error(
                        entry.line,
                        format!(
                            "file_sd_configs: {name:?} must end in .json, .yml or .yaml, with one * at most, \
                             in its last part"
                        ),
                    );
                }
                file.files.push(PathBuf::from(name));
            }
        }),
        read("refresh_interval", |entry, file, report| {
            refresh(entry, &mut file.refresh_ms, report);
        }),
    ];
    let mut file = FileDiscovery {
        files: Vec::new(),
        refresh_ms: 300_000,
    };
    decode(node, "a file_sd_config", &[&FILE], &mut file, report);
    if file.files.is_empty() {
        report.error(node.line, "a file_sd_config needs files");
    }
    file
}

fn http(node: &Node, report: &mut Report) -> HttpDiscovery {
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

fn dns(node: &Node, report: &mut Report) -> DnsDiscovery {
    static DNS: &[Key<(DnsDiscovery, bool)>] = &[
        read("names", |entry, (dns, _), report| {
            dns.names = report.texts(entry);
        }),
        read("type", |entry, (dns, _), report| {
            let record = report.parsed(entry, |text| {
                Ok(match text.to_ascii_uppercase().as_str() {
                    "SRV" => DnsRecord::Srv,
                    "A" => DnsRecord::A,
                    "AAAA" => DnsRecord::Aaaa,
                    "MX" => DnsRecord::Mx,
                    "NS" => DnsRecord::Ns,
                    _ => return Err(format!("{text:?} is not SRV, A, AAAA, MX or NS")),
                })
            });
            dns.record = record.unwrap_or(dns.record);
        }),
        read("port", |entry, (dns, port), report| {
            dns.port = self::port(entry, report);
            *port = true;
        }),
        read("refresh_interval", |entry, (dns, _), report| {
            refresh(entry, &mut dns.refresh_ms, report);
        }),
    ];
    let dns = DnsDiscovery {
        names: Vec::new(),
        record: DnsRecord::Srv,
        port: 0,
        refresh_ms: 30_000,
    };
    let mut read = (dns, false);
    decode(node, "a dns_sd_config", &[&DNS], &mut read, report);
    let (dns, port) = read;
    if dns.names.is_empty() {
        report.error(node.line, "a dns_sd_config needs names");
    }
    if dns.record != DnsRecord::Srv && !port {
        report.error(
            node.line,
            "a dns_sd_config needs a port, for only SRV records name one",
        );
    }
    dns
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
            super::schema::unused("deployment", super::schema::Shape::Flag, NOT_ATTACHED),
            super::schema::unused("job", super::schema::Shape::Flag, NOT_ATTACHED),
            super::schema::unused("cronjob", super::schema::Shape::Flag, NOT_ATTACHED),
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

fn kubernetes(node: &Node, report: &mut Report) -> KubernetesDiscovery {
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

fn refresh(entry: &Entry, into: &mut u64, report: &mut Report) {
    let read = report.parsed(entry, |text| match duration_ms(text)? {
        0 => Err("must be longer than 0".to_owned()),
        ms => Ok(ms),
    });
    *into = read.unwrap_or(*into);
}

fn port(entry: &Entry, report: &mut Report) -> u16 {
    let port = report.parsed(entry, |text| {
        let port = text.parse::<u16>();
        port.map_err(|_| format!("{text:?} is not a port"))
    });
    port.unwrap_or(0)
}

/// A mapping of label names to values.
pub(crate) fn labels(entry: &Entry, report: &mut Report) -> Labels {
    let mut builder = LabelsBuilder::default();
    for label in report.entries(&entry.value, &entry.key) {
        let value = report.text(&label.value, &label.key).unwrap_or("");
        if label.key.is_empty() {
            report.error(label.line, "a label needs a name");
        } else {
            builder.set(&label.key, value);
        }
    }
    builder.build()
}

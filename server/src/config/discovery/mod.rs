//! `*_sd_configs` and `static_configs`: where targets are found.
//!
//! Names, defaults and checks are those of Prometheus (discovery/*/).

mod dns;
mod file;
mod http;
mod kubernetes;
mod static_groups;

use std::path::Path;

use super::http_client::HttpClientConfig;
use super::schema::{Key, read};
use super::units::duration_ms;
use crate::yaml::{Entry, Report};

pub use dns::{DnsDiscovery, DnsRecord};
pub use file::FileDiscovery;
pub use http::HttpDiscovery;
pub use kubernetes::{KubernetesDiscovery, KubernetesRole, KubernetesSelector};
pub use static_groups::StaticGroup;

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

impl Discovery {
    /// Whether both read the same source, whatever else differs: how often, and who asks. A list of one is a list of the other.
    pub fn reads_as(&self, other: &Discovery) -> bool {
        match (self, other) {
            (Discovery::File(one), Discovery::File(other)) => one.files == other.files,
            (Discovery::Http(one), Discovery::Http(other)) => one.url == other.url,
            (Discovery::Dns(one), Discovery::Dns(other)) => {
                let of = |dns: &DnsDiscovery| DnsDiscovery {
                    refresh_ms: 0,
                    ..dns.clone()
                };
                of(one) == of(other)
            }
            (Discovery::Kubernetes(one), Discovery::Kubernetes(other)) => {
                let of = |kubernetes: &KubernetesDiscovery| KubernetesDiscovery {
                    http: HttpClientConfig::default(),
                    ..kubernetes.clone()
                };
                of(one) == of(other)
            }
            (Discovery::Static(one), Discovery::Static(other)) => one == other,
            _ => false,
        }
    }
}

/// What a job's discovery keys come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sources {
    /// Its mechanisms.
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
        let groups = static_groups::static_groups(entry, report).into_iter();
        sources.ways.extend(groups.map(Discovery::Static));
    }),
    read("file_sd_configs", |entry, sources, report| {
        for item in report.sections(entry) {
            sources.ways.push(Discovery::File(file::file(item, report)));
        }
    }),
    read("http_sd_configs", |entry, sources, report| {
        for item in report.sections(entry) {
            let http = Box::new(http::http(item, report));
            sources.ways.push(Discovery::Http(http));
        }
    }),
    read("dns_sd_configs", |entry, sources, report| {
        for item in report.sections(entry) {
            sources.ways.push(Discovery::Dns(dns::dns(item, report)));
        }
    }),
    read("kubernetes_sd_configs", |entry, sources, report| {
        for item in report.sections(entry) {
            let kubernetes = Box::new(kubernetes::kubernetes(item, report));
            sources.ways.push(Discovery::Kubernetes(kubernetes));
        }
    }),
];

/// `refresh_interval`, which several have.
fn refresh(entry: &Entry, into: &mut u64, report: &mut Report) {
    let read = report.parsed(entry, |text| match duration_ms(text)? {
        0 => Err("must be longer than 0".to_owned()),
        ms => Ok(ms),
    });
    *into = read.unwrap_or(*into);
}

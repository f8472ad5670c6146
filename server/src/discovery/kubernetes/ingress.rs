//! Ingresses: a target per path of a rule.

use k8s_openapi::api::networking::v1::{Ingress, IngressRule};
use stillwell_engine::labels::{Labels, LabelsBuilder};

use super::meta::{add, namespace, set, set_some};
use crate::scrape::TargetGroup;

/// The group of an ingress; `attached` are labels of its namespace.
pub(super) fn group(ingress: &Ingress, attached: Vec<Labels>) -> TargetGroup {
    let spec = ingress.spec.as_ref();
    let tls = spec
        .and_then(|spec| spec.tls.as_ref())
        .into_iter()
        .flatten();
    let tls_hosts: Vec<&String> = tls.flat_map(|one| one.hosts.iter().flatten()).collect();
    let mut targets = Vec::new();
    for rule in spec
        .and_then(|spec| spec.rules.as_ref())
        .into_iter()
        .flatten()
    {
        let host = rule.host.as_deref().unwrap_or("");
        let secure = tls_hosts.iter().any(|pattern| covers(pattern, host));
        let scheme = if secure { "https" } else { "http" };
        for path in paths(rule) {
            let mut target = LabelsBuilder::default();
            target.set("__address__", host);
            set(&mut target, "ingress_scheme", scheme);
            set(&mut target, "ingress_host", host);
            set(&mut target, "ingress_path", path);
            targets.push(target.build());
        }
    }
    let mut labels = LabelsBuilder::default();
    set(&mut labels, "namespace", namespace(&ingress.metadata));
    let class = spec.and_then(|spec| spec.ingress_class_name.as_deref());
    set_some(&mut labels, "ingress_class_name", class);
    add(&mut labels, &ingress.metadata, "ingress");
    TargetGroup {
        targets,
        labels: labels.build(),
        attached,
    }
}

fn paths(rule: &IngressRule) -> Vec<&str> {
    match &rule.http {
        None => vec!["/"],
        Some(http) => {
            let paths = http.paths.iter().map(|path| path.path.as_deref());
            paths
                .map(|path| path.filter(|path| !path.is_empty()).unwrap_or("/"))
                .collect()
        }
    }
}

/// Whether a certificate for `pattern` is one for `host`: a star stands for one label, the first.
pub(super) fn covers(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((_, rest))) => domain == rest,
        _ => false,
    }
}

//! Services: a target per port, by the service's name.

use k8s_openapi::api::core::v1::Service;
use stillwell_engine::labels::{Labels, LabelsBuilder};

use super::meta::{add, host_port, namespace, set};
use crate::scrape::TargetGroup;

/// The group of a service; `attached` are labels of its namespace.
pub(super) fn group(service: &Service, attached: Vec<Labels>) -> TargetGroup {
    let spec = service.spec.as_ref();
    let name = service.metadata.name.as_deref().unwrap_or("");
    let host = format!("{name}.{}.svc", namespace(&service.metadata));
    let kind = spec.and_then(|spec| spec.type_.as_deref()).unwrap_or("");
    let mut targets = Vec::new();
    let ports = spec.and_then(|spec| spec.ports.as_ref());
    for port in ports.into_iter().flatten() {
        let mut target = LabelsBuilder::default();
        target.set("__address__", &host_port(&host, port.port));
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        set(&mut target, "service_port_name", &text(&port.name));
        set(&mut target, "service_port_number", &port.port.to_string());
        set(&mut target, "service_port_protocol", &text(&port.protocol));
        set(&mut target, "service_type", kind);
        if let Some(spec) = spec {
            match kind {
                "ExternalName" => {
                    let name = text(&spec.external_name);
                    set(&mut target, "service_external_name", &name);
                }
                _ => set(&mut target, "service_cluster_ip", &text(&spec.cluster_ip)),
            }
        }
        if kind == "LoadBalancer" {
            set(&mut target, "service_loadbalancer_ip", &balancers(service));
        }
        targets.push(target.build());
    }
    TargetGroup {
        targets,
        labels: labels(service),
        attached,
    }
}

/// What a service gives to its endpoints.
pub(super) fn labels(service: &Service) -> Labels {
    let mut labels = LabelsBuilder::default();
    set(&mut labels, "namespace", namespace(&service.metadata));
    add(&mut labels, &service.metadata, "service");
    labels.build()
}

/// Addresses of load balancers, comma-separated.
fn balancers(service: &Service) -> String {
    let status = service.status.as_ref();
    let balancer = status.and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref());
    let addresses = ingress.into_iter().flatten();
    let addresses = addresses.filter_map(|one| one.ip.as_deref());
    let addresses: Vec<&str> = addresses.filter(|ip| !ip.is_empty()).collect();
    if !addresses.is_empty() {
        return addresses.join(",");
    }
    let spec = service.spec.as_ref();
    let given = spec.and_then(|spec| spec.load_balancer_ip.clone());
    given.unwrap_or_default()
}

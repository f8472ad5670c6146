//! EndpointSlices: a target per address and port, and one per further port of the pods behind them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use stillwell_engine::labels::{Labels, LabelsBuilder};

use super::endpoints::pod_key;
use super::lookup::Lookup;
use super::meta::{add, host_port, merge, namespace, sanitized, set, set_some};
use crate::scrape::TargetGroup;

/// The label by which a slice belongs to a service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The group of a slice.
pub(super) fn group(slice: &EndpointSlice, lookup: &impl Lookup) -> TargetGroup {
    let mut labels = LabelsBuilder::default();
    set(&mut labels, "namespace", namespace(&slice.metadata));
    set(
        &mut labels,
        "endpointslice_address_type",
        &slice.address_type,
    );
    add(&mut labels, &slice.metadata, "endpointslice");
    let service = service_key(slice).and_then(|key| lookup.service(&key));
    if let Some(service) = service {
        merge(&mut labels, &super::service::labels(service));
    }
    let attached = lookup.namespace(namespace(&slice.metadata)).cloned();
    let mut targets = Vec::new();
    let mut seen: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    if !service.is_some_and(|service| is_second_family(service, slice)) {
        for endpoint in slice.endpoints.iter().flatten() {
            for port in slice.ports.iter().flatten() {
                for address in &endpoint.addresses {
                    targets.push(target(address, endpoint, port, lookup, &mut seen));
                }
            }
        }
    }
    for (pod, ports) in &seen {
        if let Some(pod) = lookup.pod(pod) {
            targets.extend(pod.other_ports(ports));
        }
    }
    TargetGroup {
        targets,
        labels: labels.build(),
        attached: attached.into_iter().collect(),
    }
}

fn target(
    address: &str,
    endpoint: &Endpoint,
    port: &EndpointPort,
    lookup: &impl Lookup,
    seen: &mut BTreeMap<String, Vec<i32>>,
) -> Labels {
    let mut target = LabelsBuilder::default();
    let whole = port
        .port
        .map_or(address.to_owned(), |port| host_port(address, port));
    target.set("__address__", &whole);
    describe(&mut target, endpoint, port);
    let behind = endpoint.target_ref.as_ref();
    let is_node = behind.is_some_and(|behind| behind.kind.as_deref() == Some("Node"));
    let node = match is_node {
        true => behind.and_then(|behind| behind.name.as_deref()),
        false => endpoint.node_name.as_deref(),
    };
    if let Some(labels) = node.and_then(|node| lookup.node(node)) {
        merge(&mut target, labels);
    }
    if let Some(key) = pod_key(behind)
        && let Some(pod) = lookup.pod(&key)
    {
        pod.attach(&mut target, port.port, None);
        seen.entry(key).or_default().extend(port.port);
    }
    target.build()
}

/// What the endpoint and the port say of themselves.
fn describe(target: &mut LabelsBuilder, endpoint: &Endpoint, port: &EndpointPort) {
    let number = port.port.map(|port| port.to_string());
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let condition = |holds: Option<bool>| holds.map(|holds| holds.to_string());
    let behind = endpoint.target_ref.as_ref();
    for (label, value) in [
        ("port_name", port.name.clone()),
        ("port_protocol", port.protocol.clone()),
        ("port", number),
        ("port_app_protocol", port.app_protocol.clone()),
        ("endpoint_conditions_ready", condition(conditions.ready)),
        ("endpoint_conditions_serving", condition(conditions.serving)),
        (
            "endpoint_conditions_terminating",
            condition(conditions.terminating),
        ),
        ("endpoint_hostname", endpoint.hostname.clone()),
        (
            "address_target_kind",
            behind.and_then(|behind| behind.kind.clone()),
        ),
        (
            "address_target_name",
            behind.and_then(|behind| behind.name.clone()),
        ),
        ("endpoint_node_name", endpoint.node_name.clone()),
        ("endpoint_zone", endpoint.zone.clone()),
    ] {
        set_some(target, &format!("endpointslice_{label}"), value.as_deref());
    }
    for (key, value) in endpoint.deprecated_topology.iter().flatten() {
        let name = format!("endpointslice_endpoint_topology_{}", sanitized(key));
        set(target, &name, value);
        let name = format!("endpointslice_endpoint_topology_present_{}", sanitized(key));
        set(target, &name, "true");
    }
}

/// Whether the slice repeats the targets of a dual-stack service in its second address family.
fn is_second_family(service: &Service, slice: &EndpointSlice) -> bool {
    let Some(spec) = &service.spec else {
        return false;
    };
    let dual = matches!(
        spec.ip_family_policy.as_deref(),
        Some("PreferDualStack" | "RequireDualStack")
    );
    let first = spec.ip_families.iter().flatten().next();
    dual && first.is_some_and(|first| *first != slice.address_type)
}

/// The service that a slice belongs to.
pub(super) fn service_key(slice: &EndpointSlice) -> Option<String> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(format!("{}/{name}", namespace(&slice.metadata)))
}

/// The pods that a slice names.
pub(super) fn pods(slice: &EndpointSlice) -> Vec<String> {
    let endpoints = slice.endpoints.iter().flatten();
    endpoints
        .filter_map(|endpoint| pod_key(endpoint.target_ref.as_ref()))
        .collect()
}

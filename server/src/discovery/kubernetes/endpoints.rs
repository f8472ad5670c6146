//! Endpoints: a target per address and port, and one per further port of the pods behind them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, Endpoints, ObjectReference};
use stillwell_engine::labels::{Labels, LabelsBuilder};

use super::lookup::Lookup;
use super::meta::{add, host_port, merge, namespace, set, set_some};
use crate::scrape::TargetGroup;

/// The group of an Endpoints object.
pub(super) fn group(endpoints: &Endpoints, lookup: &impl Lookup) -> TargetGroup {
    let space = namespace(&endpoints.metadata);
    let name = endpoints.metadata.name.as_deref().unwrap_or("");
    let mut labels = LabelsBuilder::default();
    set(&mut labels, "namespace", space);
    if let Some(service) = lookup.service(&format!("{space}/{name}")) {
        merge(&mut labels, &super::service::labels(service));
    }
    add(&mut labels, &endpoints.metadata, "endpoints");
    let mut targets = Vec::new();
    // By pod, the ports that are targets already.
    let mut seen: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for subset in endpoints.subsets.iter().flatten() {
        for port in subset.ports.iter().flatten() {
            for (addresses, ready) in [
                (&subset.addresses, "true"),
                (&subset.not_ready_addresses, "false"),
            ] {
                for address in addresses.iter().flatten() {
                    targets.push(target(address, port, ready, lookup, &mut seen));
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
        attached: lookup.namespace(space).cloned().into_iter().collect(),
    }
}

fn target(
    address: &EndpointAddress,
    port: &EndpointPort,
    ready: &str,
    lookup: &impl Lookup,
    seen: &mut BTreeMap<String, Vec<i32>>,
) -> Labels {
    let mut target = LabelsBuilder::default();
    target.set("__address__", &host_port(&address.ip, port.port));
    set_some(&mut target, "endpoint_port_name", port.name.as_deref());
    set_some(
        &mut target,
        "endpoint_port_protocol",
        port.protocol.as_deref(),
    );
    set(&mut target, "endpoint_ready", ready);
    let behind = address.target_ref.as_ref();
    let kind = behind.and_then(|behind| behind.kind.as_deref());
    set_some(&mut target, "endpoint_address_target_kind", kind);
    let name = behind.and_then(|behind| behind.name.as_deref());
    set_some(&mut target, "endpoint_address_target_name", name);
    set_some(
        &mut target,
        "endpoint_node_name",
        address.node_name.as_deref(),
    );
    set_some(
        &mut target,
        "endpoint_hostname",
        address.hostname.as_deref(),
    );
    let node = address.node_name.as_deref();
    let node = node.or(name.filter(|_| kind == Some("Node")));
    if let Some(labels) = node.and_then(|node| lookup.node(node)) {
        merge(&mut target, labels);
    }
    if let Some(key) = pod_key(behind)
        && let Some(pod) = lookup.pod(&key)
    {
        let protocol = port.protocol.as_deref().unwrap_or("");
        pod.attach(&mut target, Some(port.port), Some(protocol));
        seen.entry(key).or_default().push(port.port);
    }
    target.build()
}

/// The pod that an address is of.
pub(super) fn pod_key(behind: Option<&ObjectReference>) -> Option<String> {
    let behind = behind.filter(|behind| behind.kind.as_deref() == Some("Pod"))?;
    let namespace = behind.namespace.as_deref().unwrap_or("");
    Some(format!("{namespace}/{}", behind.name.as_deref()?))
}

/// The pods that an Endpoints object names.
pub(super) fn pods(endpoints: &Endpoints) -> Vec<String> {
    let subsets = endpoints.subsets.iter().flatten();
    let addresses = subsets.flat_map(|subset| {
        let ready = subset.addresses.iter().flatten();
        ready.chain(subset.not_ready_addresses.iter().flatten())
    });
    addresses
        .filter_map(|address| pod_key(address.target_ref.as_ref()))
        .collect()
}

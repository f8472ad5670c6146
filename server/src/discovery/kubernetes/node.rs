//! Nodes: a target each, its kubelet.

use k8s_openapi::api::core::v1::Node;
use stillwell_engine::labels::{Labels, LabelsBuilder};

use super::meta::{PREFIX, add, host_port, sanitized, set};
use crate::scrape::TargetGroup;

/// Which address of a node is its own, in this order.
const ADDRESSES: [&str; 6] = [
    "InternalIP",
    "InternalDNS",
    "ExternalIP",
    "ExternalDNS",
    "LegacyHostIP",
    "Hostname",
];

/// The group of a node; none where it has no address.
pub(super) fn group(node: &Node) -> Option<TargetGroup> {
    let status = node.status.as_ref()?;
    let addresses = status.addresses.as_deref().unwrap_or(&[]);
    let of_type = |kind: &str| addresses.iter().find(|address| address.type_ == kind);
    let address = ADDRESSES.iter().find_map(|kind| of_type(kind))?;
    let endpoint = status.daemon_endpoints.as_ref();
    let endpoint = endpoint.and_then(|endpoints| endpoints.kubelet_endpoint.as_ref());
    let port = endpoint.map_or(0, |endpoint| endpoint.port);
    let mut target = LabelsBuilder::default();
    target.set("__address__", &host_port(&address.address, port));
    target.set("instance", node.metadata.name.as_deref().unwrap_or(""));
    for one in addresses.iter().rev() {
        // From the last to the first: of several of a type the first one stays.
        let name = sanitized(&format!("{PREFIX}node_address_{}", one.type_));
        target.set(&name, &one.address);
    }
    Some(TargetGroup {
        targets: vec![target.build()],
        labels: labels(node),
        attached: Vec::new(),
    })
}

fn labels(node: &Node) -> Labels {
    let mut labels = LabelsBuilder::default();
    let spec = node.spec.as_ref();
    let provider = spec.and_then(|spec| spec.provider_id.as_deref());
    set(&mut labels, "node_provider_id", provider.unwrap_or(""));
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    for condition in conditions.into_iter().flatten() {
        let name = sanitized(&condition.type_.to_lowercase());
        let value = condition.status.to_lowercase();
        set(&mut labels, &format!("node_condition_{name}"), &value);
    }
    add(&mut labels, &node.metadata, "node");
    labels.build()
}

/// What a node gives to its pods.
pub(super) fn attached(node: &Node) -> Labels {
    let mut labels = LabelsBuilder::default();
    add(&mut labels, &node.metadata, "node");
    labels.build()
}

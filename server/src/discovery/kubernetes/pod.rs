//! Pods: a target per port of a container, one per container without ports.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use stillwell_engine::labels::{Labels, LabelsBuilder};

use super::meta::{METADATA_BYTES_MAX, add_within, controller, host_port, namespace, set};
use crate::scrape::TargetGroup;

/// What labels and annotations of a pod may take over all of its ports, each of which is a target that has them: most pods have
/// one or two, some have 10,000 ...
const OF_ALL_PORTS_BYTES_MAX: usize = 8 << 20;
/// ... and what they may take in any case.
const OF_EACH_PORT_BYTES_MIN: usize = 2 << 10;
/// Ports of a pod: there are no more numbers.
const PORTS_MAX: usize = 1 << 16;
/// Addresses, names and images; see [`set`].
const TEXT_BYTES_MAX: usize = 4 << 10;

/// What is kept of a pod: a tenth of the object.
#[derive(Debug)]
pub(super) struct PodFacts {
    pub(super) namespace: String,
    pub(super) node: String,
    /// Empty where it has none yet, or none any more.
    pub(super) ip: String,
    /// Of every target that the pod is behind.
    pub(super) labels: Labels,
    pub(super) containers: Vec<ContainerFacts>,
}

#[derive(Debug)]
pub(super) struct ContainerFacts {
    name: String,
    image: String,
    id: String,
    is_init: bool,
    pub(super) ports: Vec<PortFacts>,
}

#[derive(Debug)]
pub(super) struct PortFacts {
    pub(super) number: i32,
    name: String,
    protocol: String,
}

/// What is kept of a pod.
pub(super) fn facts(pod: &Pod) -> PodFacts {
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    let mut containers = Vec::new();
    if let Some(spec) = spec {
        let statuses = status.and_then(|status| status.container_statuses.as_deref());
        let ordinary = spec.containers.iter();
        containers.extend(ordinary.map(|one| container(one, statuses, false)));
        let statuses = status.and_then(|status| status.init_container_statuses.as_deref());
        let init = spec.init_containers.iter().flatten();
        containers.extend(init.map(|one| container(one, statuses, true)));
    }
    let mut ports = 0;
    for container in &mut containers {
        container.ports.truncate(PORTS_MAX - ports);
        ports += container.ports.len();
    }
    PodFacts {
        namespace: namespace(&pod.metadata).to_owned(),
        node: text(spec.and_then(|spec| spec.node_name.as_ref())),
        ip: text(status.and_then(|status| status.pod_ip.as_ref())),
        labels: labels(pod, containers.len().max(ports)),
        containers,
    }
}

fn text(value: Option<&String>) -> String {
    let value = value.filter(|value| value.len() <= TEXT_BYTES_MAX);
    value.cloned().unwrap_or_default()
}

fn container(
    container: &Container,
    statuses: Option<&[ContainerStatus]>,
    is_init: bool,
) -> ContainerFacts {
    let status = statuses.unwrap_or(&[]).iter();
    let status = status
        .into_iter()
        .find(|status| status.name == container.name);
    let ports = container.ports.iter().flatten().map(|port| PortFacts {
        number: port.container_port,
        name: text(port.name.as_ref()),
        protocol: text(port.protocol.as_ref()),
    });
    ContainerFacts {
        name: text(Some(&container.name)),
        image: text(container.image.as_ref()),
        id: text(status.and_then(|status| status.container_id.as_ref())),
        is_init,
        ports: ports.collect(),
    }
}

/// Labels of each of so many targets.
fn labels(pod: &Pod, targets: usize) -> Labels {
    let mut labels = LabelsBuilder::default();
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    let text = |value: Option<&String>| value.map_or("", String::as_str).to_owned();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|one| one.type_ == "Ready");
    let ready = ready.map_or("unknown".to_owned(), |one| one.status.to_lowercase());
    for (name, value) in [
        (
            "pod_ip",
            text(status.and_then(|status| status.pod_ip.as_ref())),
        ),
        ("pod_ready", ready),
        (
            "pod_phase",
            text(status.and_then(|status| status.phase.as_ref())),
        ),
        (
            "pod_node_name",
            text(spec.and_then(|spec| spec.node_name.as_ref())),
        ),
        (
            "pod_host_ip",
            text(status.and_then(|status| status.host_ip.as_ref())),
        ),
        ("pod_uid", text(pod.metadata.uid.as_ref())),
    ] {
        set(&mut labels, name, &value);
    }
    let each = OF_ALL_PORTS_BYTES_MAX / targets.max(1);
    let each = each.clamp(OF_EACH_PORT_BYTES_MIN, METADATA_BYTES_MAX);
    add_within(&mut labels, &pod.metadata, "pod", each);
    if let Some(owner) = controller(&pod.metadata) {
        set(&mut labels, "pod_controller_kind", &owner.kind);
        set(&mut labels, "pod_controller_name", &owner.name);
    }
    labels.build()
}

impl PodFacts {
    /// How many bytes it holds, about.
    pub(super) fn bytes(&self) -> usize {
        let of_container = |one: &ContainerFacts| {
            let port =
                |port: &PortFacts| size_of::<PortFacts>() + port.name.len() + port.protocol.len();
            let texts = one.name.len() + one.image.len() + one.id.len();
            size_of::<ContainerFacts>() + texts + one.ports.iter().map(port).sum::<usize>()
        };
        let texts = self.namespace.len() + self.node.len() + self.ip.len();
        let containers = self.containers.iter().map(of_container);
        size_of::<PodFacts>() + texts + self.labels.bytes() + containers.sum::<usize>()
    }
}

/// The group of a pod; `attached` are labels of its node and namespace.
pub(super) fn group(pod: &PodFacts, attached: Vec<Labels>) -> TargetGroup {
    let mut targets = Vec::new();
    if pod.ip.is_empty() {
        return TargetGroup::default();
    }
    for container in &pod.containers {
        let mut target = LabelsBuilder::default();
        container.describe(&mut target);
        set(&mut target, "pod_container_id", &container.id);
        if container.ports.is_empty() {
            targets.push(target.set("__address__", &pod.ip).build());
        }
        for port in &container.ports {
            let mut target = target.clone();
            port.describe(&mut target, &port.protocol);
            target.set("__address__", &host_port(&pod.ip, port.number));
            targets.push(target.build());
        }
    }
    let mut labels = pod.labels.to_builder();
    set(&mut labels, "namespace", &pod.namespace);
    TargetGroup {
        targets,
        labels: labels.build(),
        attached,
    }
}

impl ContainerFacts {
    fn describe(&self, target: &mut LabelsBuilder) {
        set(target, "pod_container_name", &self.name);
        set(target, "pod_container_image", &self.image);
        set(target, "pod_container_init", &self.is_init.to_string());
    }
}

impl PortFacts {
    fn describe(&self, target: &mut LabelsBuilder, protocol: &str) {
        set(target, "pod_container_port_name", &self.name);
        set(
            target,
            "pod_container_port_number",
            &self.number.to_string(),
        );
        set(target, "pod_container_port_protocol", protocol);
    }
}

impl PodFacts {
    /// Adds the pod's labels to a target behind which it is, and those of the container whose port the target is. The
    /// protocol is the container port's, unless `protocol` gives another.
    pub(super) fn attach(
        &self,
        target: &mut LabelsBuilder,
        number: Option<i32>,
        protocol: Option<&str>,
    ) {
        super::meta::merge(target, &self.labels);
        for container in &self.containers {
            let port = container
                .ports
                .iter()
                .find(|port| Some(port.number) == number);
            if let Some(port) = port {
                container.describe(target);
                port.describe(target, protocol.unwrap_or(&port.protocol));
            }
        }
    }

    /// Targets of the container ports that are not among `seen`: a service need not name every port of its pods.
    pub(super) fn other_ports(&self, seen: &[i32]) -> Vec<Labels> {
        let mut targets = Vec::new();
        if self.ip.is_empty() {
            return targets;
        }
        for container in &self.containers {
            for port in &container.ports {
                if seen.contains(&port.number) {
                    continue;
                }
                let mut target = self.labels.to_builder();
                container.describe(&mut target);
                port.describe(&mut target, &port.protocol);
                target.set("__address__", &host_port(&self.ip, port.number));
                targets.push(target.build());
            }
        }
        targets
    }
}

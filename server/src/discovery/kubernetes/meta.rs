//! Labels that every object gives: its name, labels and annotations.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use stillwell_engine::labels::{Labels, LabelsBuilder};

use crate::cluster::list_watch;

pub(super) const PREFIX: &str = "__meta_kubernetes_";

/// A longer name, uid, address or image is none of Kubernetes, and is left out.
const VALUE_BYTES_MAX: usize = 4 << 10;
/// What labels and annotations of an object may take together as labels of a target. The longest are left out first: manifests
/// and states that programs write down, by which nobody selects.
pub(super) const METADATA_BYTES_MAX: usize = list_watch::METADATA_BYTES_MAX;

/// Sets a label; a value that is empty sets none, as everywhere in Prometheus.
pub(super) fn set(labels: &mut LabelsBuilder, name: &str, value: &str) {
    if value.len() <= VALUE_BYTES_MAX {
        labels.set(&format!("{PREFIX}{name}"), value);
    }
}

/// Sets a label from what may be absent.
pub(super) fn set_some(labels: &mut LabelsBuilder, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        set(labels, name, value);
    }
}

/// Name, labels and annotations of an object of a role.
pub(super) fn add(labels: &mut LabelsBuilder, meta: &ObjectMeta, role: &str) {
    add_within(labels, meta, role, METADATA_BYTES_MAX);
}

/// The same, of which labels and annotations take so many bytes at most.
pub(super) fn add_within(
    labels: &mut LabelsBuilder,
    meta: &ObjectMeta,
    role: &str,
    bytes_max: usize,
) {
    set(
        labels,
        &format!("{role}_name"),
        meta.name.as_deref().unwrap_or(""),
    );
    add_annotations_and_labels(labels, meta, role, bytes_max);
}

fn add_annotations_and_labels(
    labels: &mut LabelsBuilder,
    meta: &ObjectMeta,
    role: &str,
    bytes_max: usize,
) {
    let all = [("label", &meta.labels), ("annotation", &meta.annotations)];
    let all = all.into_iter().flat_map(|(kind, pairs)| {
        let pairs = pairs.iter().flatten();
        pairs.map(move |(name, value)| (kind, name, value))
    });
    let mut all: Vec<_> = all.collect();
    let bytes = |(kind, name, value): &(&str, &String, &String)| {
        let names = 2 * (PREFIX.len() + role.len() + kind.len() + name.len());
        names + "present__".len() + value.len()
    };
    if all.iter().map(bytes).sum::<usize>() > bytes_max {
        all.sort_by_key(bytes);
        let mut left = bytes_max;
        all.retain(|one| {
            let rest = left.checked_sub(bytes(one));
            left = rest.unwrap_or(0);
            rest.is_some()
        });
    }
    for (kind, name, value) in all {
        let name = sanitized(name);
        labels.set(&format!("{PREFIX}{role}_{kind}_{name}"), value);
        set(labels, &format!("{role}_{kind}present_{name}"), "true");
    }
}

/// Labels and annotations of an object alone, to be attached to others.
pub(super) fn of(meta: &ObjectMeta, role: &str) -> Labels {
    let mut labels = LabelsBuilder::default();
    add_annotations_and_labels(&mut labels, meta, role, METADATA_BYTES_MAX);
    labels.build()
}

/// Adds all of `more`, which wins.
pub(super) fn merge(labels: &mut LabelsBuilder, more: &Labels) {
    for (name, value) in more.iter() {
        labels.set(name, value);
    }
}

/// The object's namespace.
pub(super) fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or("")
}

/// What controls the object.
pub(super) fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    let owners = meta.owner_references.iter().flatten();
    owners
        .into_iter()
        .find(|owner| owner.controller == Some(true))
}

/// A name with an underscore for everything that a label's name does not hold.
pub(in crate::discovery) fn sanitized(name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(legal).collect()
}

/// `host:port`, with brackets around what has colons.
pub(super) fn host_port(host: &str, port: i32) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

//! Labels that every object gives: its name, labels and annotations.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use stillwell_engine::labels::{Labels, LabelsBuilder};

pub(super) const PREFIX: &str = "__meta_kubernetes_";

/// Sets a label; a value that is empty sets none, as everywhere in Prometheus.
pub(super) fn set(labels: &mut LabelsBuilder, name: &str, value: &str) {
    labels.set(&format!("{PREFIX}{name}"), value);
}

/// Sets a label from what may be absent.
pub(super) fn set_some(labels: &mut LabelsBuilder, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        set(labels, name, value);
    }
}

/// Name, labels and annotations of an object of a role.
pub(super) fn add(labels: &mut LabelsBuilder, meta: &ObjectMeta, role: &str) {
    set(
        labels,
        &format!("{role}_name"),
        meta.name.as_deref().unwrap_or(""),
    );
    add_annotations_and_labels(labels, meta, role);
}

fn add_annotations_and_labels(labels: &mut LabelsBuilder, meta: &ObjectMeta, role: &str) {
    for (kind, pairs) in [("label", &meta.labels), ("annotation", &meta.annotations)] {
        for (name, value) in pairs.iter().flatten() {
            let name = sanitized(name);
            set(labels, &format!("{role}_{kind}_{name}"), value);
            set(labels, &format!("{role}_{kind}present_{name}"), "true");
        }
    }
}

/// Labels and annotations of an object alone, to be attached to others.
pub(super) fn of(meta: &ObjectMeta, role: &str) -> Labels {
    let mut labels = LabelsBuilder::default();
    add_annotations_and_labels(&mut labels, meta, role);
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

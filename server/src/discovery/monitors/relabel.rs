//! Relabelling rules as JSON, in the words of a scrape configuration.

use serde_json::{Map, Value, json};
use stillwell_engine::labels::quote_regex;

pub(super) use super::super::kubernetes::meta::sanitized;

/// Keeps targets of whose labels, joined by `;`, the whole value fits `regex`.
pub(super) fn keep(labels: &[&str], regex: &str) -> Value {
    json!({"action": "keep", "source_labels": labels, "regex": regex})
}

/// Drops such targets.
pub(super) fn drop(labels: &[&str], regex: &str) -> Value {
    json!({"action": "drop", "source_labels": labels, "regex": regex})
}

/// Copies a label, empty or not.
pub(super) fn copy(from: &str, to: &str) -> Value {
    json!({"source_labels": [from], "target_label": to})
}

/// Copies a label that is not empty.
pub(super) fn copy_present(from: &str, to: &str) -> Value {
    json!({"source_labels": [from], "target_label": to, "regex": "(.+)"})
}

/// Sets a label.
pub(super) fn set(label: &str, value: &str) -> Value {
    json!({"target_label": label, "replacement": escaped(value)})
}

/// Replaces by what a part of the labels, joined by `;`, says.
pub(super) fn replace(labels: &[&str], regex: &str, label: &str, replacement: &str) -> Value {
    json!({"source_labels": labels, "regex": regex, "target_label": label, "replacement": replacement})
}

/// The Deployment, StatefulSet or other controller of a pod: a ReplicaSet with a pod template hash stands for its
/// Deployment (GMP, pkg/operator/apis/monitoring/v1/pod_config.go).
pub(super) fn controller() -> Vec<Value> {
    const KIND: &str = "__meta_kubernetes_pod_controller_kind";
    const NAME: &str = "__meta_kubernetes_pod_controller_name";
    const HASHED: &str = "__meta_kubernetes_pod_labelpresent_pod_template_hash";
    const OF_DEPLOYMENT: &str = "ReplicaSet;(.+)-[a-z0-9]+;true";
    let (kind, name) = ("top_level_controller_type", "top_level_controller_name");
    let of_deployment = [KIND, NAME, HASHED];
    vec![
        copy_present(KIND, kind),
        copy_present(NAME, name),
        replace(&of_deployment, OF_DEPLOYMENT, kind, "Deployment"),
        replace(&of_deployment, OF_DEPLOYMENT, name, "$1"),
    ]
}

/// The rules of a Kubernetes label selector about the labels of an object of `kind` (`service`, `pod`).
pub(super) fn selector(selector: &Value, kind: &str) -> Result<Vec<Value>, String> {
    let meta =
        |part: &str, label: &str| format!("__meta_kubernetes_{kind}_{part}_{}", sanitized(label));
    let mut rules = Vec::new();
    let empty = Map::new();
    let equal = selector["matchLabels"].as_object().unwrap_or(&empty);
    for (label, value) in equal {
        let labels = [meta("label", label), meta("labelpresent", label)];
        let value = quote_regex(value.as_str().unwrap_or_default());
        rules.push(keep(&[&labels[0], &labels[1]], &format!("({value});true")));
    }
    for requirement in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let label = requirement["key"].as_str().unwrap_or_default();
        let (value, present) = (meta("label", label), meta("labelpresent", label));
        let values = requirement["values"].as_array().into_iter().flatten();
        let values: Vec<String> = values.filter_map(Value::as_str).map(quote_regex).collect();
        let any = format!("({});true", values.join("|"));
        let both = [value.as_str(), present.as_str()];
        rules.push(match requirement["operator"].as_str() {
            Some("In") => keep(&both, &any),
            Some("NotIn") => drop(&both, &any),
            Some("Exists") => keep(&both[1..], "true"),
            Some("DoesNotExist") => drop(&both[1..], "true"),
            other => {
                let other = other.unwrap_or("none");
                return Err(format!(
                    "the selector's operator {other:?} is none of In, NotIn, Exists, DoesNotExist"
                ));
            }
        });
    }
    Ok(rules)
}

/// `$` in a replacement refers to a group of the expression; here it is meant as it stands.
fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}

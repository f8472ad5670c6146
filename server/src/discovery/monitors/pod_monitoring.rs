//! Google Managed Prometheus' PodMonitoring and ClusterPodMonitoring as jobs, with the labels that its collectors give
//! (prometheus-engine, pkg/operator/apis/monitoring/v1/pod_config.go). Project, location and cluster are not known here:
//! they are external labels there.

use serde_json::{Value, json};
use stillwell_engine::labels::quote_regex;

use super::endpoint;
use super::job::{Job, Object};
use super::relabel::{controller, copy, copy_present, drop, keep, sanitized, selector, set};

/// What targets get where an object says nothing.
const METADATA: [&str; 4] = [
    "container",
    "pod",
    "top_level_controller_name",
    "top_level_controller_type",
];

pub(super) fn jobs(object: &Object<'_>) -> Result<Vec<Job>, String> {
    let endpoints = object.spec["endpoints"].as_array();
    endpoints
        .into_iter()
        .flatten()
        .map(|one| job(object, one))
        .collect()
}

fn job(object: &Object<'_>, one: &Value) -> Result<Job, String> {
    let (spec, namespace, name) = (object.spec, object.namespace, object.name);
    let (port, by) = match &one["port"] {
        Value::Number(port) => (
            port.to_string(),
            "__meta_kubernetes_pod_container_port_number",
        ),
        Value::String(port) => (port.clone(), "__meta_kubernetes_pod_container_port_name"),
        _ => return Err("an endpoint has no port".to_owned()),
    };
    let mut rules = vec![drop(&["__meta_kubernetes_pod_phase"], "(Failed|Succeeded)")];
    rules.extend(selector(&spec["selector"], "pod")?);
    rules.push(keep(&[by], &quote_regex(&port)));
    rules.push(copy("__meta_kubernetes_namespace", "namespace"));
    rules.push(set("job", name));
    let instance = ["__meta_kubernetes_pod_name"];
    rules.push(json!({"source_labels": instance, "target_label": "instance", "replacement": format!("$1:{port}")}));
    rules.extend(target_labels(&spec["targetLabels"])?);
    let mut keys = endpoint::keys(one, &spec["limits"]);
    endpoint::take(one, "timeout", "scrape_timeout", &mut keys);
    let metric_rules = endpoint::rules(&one["metricRelabeling"]);
    if !metric_rules.is_empty() {
        keys.insert(
            "metric_relabel_configs".to_owned(),
            Value::Array(metric_rules),
        );
    }
    for (from, to) in [("samples", "sample_limit"), ("labels", "label_limit")] {
        endpoint::take(&spec["limits"], from, to, &mut keys);
    }
    let namespaces: Vec<&str> = Some(namespace)
        .filter(|name| !name.is_empty())
        .into_iter()
        .collect();
    let discovery = json!([{"role": "pod", "namespaces": {"names": namespaces}}]);
    keys.insert("kubernetes_sd_configs".to_owned(), discovery);
    let job_name = match namespace {
        "" => format!("ClusterPodMonitoring/{name}/{port}"),
        namespace => format!("PodMonitoring/{namespace}/{name}/{port}"),
    };
    Ok(object.job(&job_name, keys, rules))
}

/// The labels that targets get from their pods.
fn target_labels(labels: &Value) -> Result<Vec<Value>, String> {
    let mut rules = Vec::new();
    let metadata: Vec<&str> = match labels["metadata"].as_array() {
        Some(list) => list.iter().filter_map(Value::as_str).collect(),
        None => METADATA.to_vec(),
    };
    for label in &metadata {
        match *label {
            "container" => rules.push(copy("__meta_kubernetes_pod_container_name", "container")),
            "pod" => rules.push(copy("__meta_kubernetes_pod_name", "pod")),
            "node" => rules.push(copy("__meta_kubernetes_pod_node_name", "node")),
            "namespace" => {}
            "top_level_controller_name" | "top_level_controller_type" => {
                let sets = |rule: &Value| rule["target_label"].as_str() == Some(*label);
                rules.extend(controller().into_iter().filter(sets));
            }
            other => {
                return Err(format!(
                    "targetLabels.metadata: {other:?} is no label of a pod"
                ));
            }
        }
    }
    for mapping in labels["fromPod"].as_array().into_iter().flatten() {
        let from = sanitized(mapping["from"].as_str().unwrap_or_default());
        let to = mapping["to"]
            .as_str()
            .filter(|to| !to.is_empty())
            .unwrap_or(&from);
        rules.push(copy_present(
            &format!("__meta_kubernetes_pod_label_{from}"),
            to,
        ));
    }
    Ok(rules)
}

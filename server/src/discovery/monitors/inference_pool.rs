//! The Endpoint Picker of an InferencePool as a job: the pods behind the Service that the pool names. No monitor is needed.

use serde_json::{Map, Value, json};
use stillwell_engine::labels::quote_regex;

use super::job::{Job, Object};
use super::relabel::{copy, keep, set};

/// Where a pod finds the token of its service account; an Endpoint Picker asks for one unless it was told not to.
const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Ports that show metrics: by the names that the charts give, or by number.
const METRICS_PORT: &str = "(http-)?metrics;.*|.*;9090";

pub(super) fn jobs(object: &Object<'_>) -> Result<Vec<Job>, String> {
    let (namespace, name) = (object.namespace, object.name);
    // inference.networking.k8s.io/v1, and the alpha groups before it.
    let picker = match &object.spec["endpointPickerRef"] {
        Value::Null => &object.spec["extensionRef"],
        picker => picker,
    };
    let Some(service) = picker["name"].as_str() else {
        return Err("it names no Endpoint Picker (spec.endpointPickerRef.name)".to_owned());
    };
    let kind = picker["kind"].as_str().unwrap_or("Service");
    if kind != "Service" {
        return Err(format!(
            "its Endpoint Picker is a {kind}; only a Service can be followed"
        ));
    }
    let port = [
        "__meta_kubernetes_pod_container_port_name",
        "__meta_kubernetes_pod_container_port_number",
    ];
    let mut rules = vec![
        keep(&["__meta_kubernetes_service_name"], &quote_regex(service)),
        keep(&port, METRICS_PORT),
        copy("__meta_kubernetes_namespace", "namespace"),
        copy("__meta_kubernetes_service_name", "service"),
        copy("__meta_kubernetes_service_name", "job"),
        copy("__meta_kubernetes_pod_name", "pod"),
        copy("__meta_kubernetes_pod_container_name", "container"),
        copy("__meta_kubernetes_pod_container_port_name", "endpoint"),
        // Older releases do not say in every metric which pool they serve.
        set("inference_pool", name),
    ];
    rules.extend(object.controller_labels());
    let mut keys = Map::new();
    keys.insert("honor_labels".to_owned(), json!(true));
    let discovery = json!([{"role": "endpointslice", "namespaces": {"names": [namespace]}}]);
    keys.insert("kubernetes_sd_configs".to_owned(), discovery);
    if std::path::Path::new(TOKEN_FILE).exists() {
        keys.insert(
            "authorization".to_owned(),
            json!({"credentials_file": TOKEN_FILE}),
        );
    }
    Ok(vec![object.job(
        &format!("inferencePool/{namespace}/{name}"),
        keys,
        rules,
    )])
}

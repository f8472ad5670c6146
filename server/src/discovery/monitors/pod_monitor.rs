//! A PodMonitor's endpoints as jobs, with the labels that prometheus-operator gives (pkg/prometheus/promcfg.go
//! `generatePodMonitorConfig`).

use serde_json::{Value, json};
use stillwell_engine::labels::quote_regex;

use super::endpoint;
use super::job::{Job, Object};
use super::relabel::{copy, copy_present, keep, sanitized, selector, set};

pub(super) fn jobs(object: &Object<'_>) -> Result<Vec<Job>, String> {
    let endpoints = object.spec["podMetricsEndpoints"].as_array();
    let endpoints = endpoints.into_iter().flatten().enumerate();
    endpoints
        .map(|(number, one)| job(object, number, one))
        .collect()
}

fn job(object: &Object<'_>, number: usize, one: &Value) -> Result<Job, String> {
    let (spec, namespace, name) = (object.spec, object.namespace, object.name);
    let mut rules = vec![copy("job", "__tmp_prometheus_job_name")];
    rules.extend(endpoint::running(one));
    rules.extend(selector(&spec["selector"], "pod")?);
    let by_name = |port: &str| {
        keep(
            &["__meta_kubernetes_pod_container_port_name"],
            &quote_regex(port),
        )
    };
    let by_number = |port: &str| keep(&["__meta_kubernetes_pod_container_port_number"], port);
    let port = one["port"].as_str().filter(|port| !port.is_empty());
    let (rule, shown) = match (port, &one["portNumber"], &one["targetPort"]) {
        (Some(port), _, _) => (Some(by_name(port)), Some(port.to_owned())),
        (None, Value::Number(port), _) | (None, _, Value::Number(port)) => {
            let port = port.to_string();
            (Some(by_number(&port)), Some(port))
        }
        (None, _, Value::String(port)) => (Some(by_name(port)), Some(port.clone())),
        _ => (None, None),
    };
    rules.extend(rule);
    for (from, to) in [
        ("__meta_kubernetes_namespace", "namespace"),
        ("__meta_kubernetes_pod_container_name", "container"),
        ("__meta_kubernetes_pod_name", "pod"),
    ] {
        rules.push(copy(from, to));
    }
    rules.extend(endpoint::object_labels(&spec["podTargetLabels"], "pod"));
    rules.push(set("job", &format!("{namespace}/{name}")));
    if let Some(label) = spec["jobLabel"].as_str().filter(|label| !label.is_empty()) {
        let label = sanitized(label);
        rules.push(copy_present(
            &format!("__meta_kubernetes_pod_label_{label}"),
            "job",
        ));
    }
    rules.extend(shown.map(|port| set("endpoint", &port)));
    rules.extend(object.controller_labels());
    rules.extend(endpoint::rules(&one["relabelings"]));
    let mut keys = endpoint::keys(one, spec);
    let namespaces = endpoint::namespaces(spec, namespace);
    let discovery = json!([{"role": "pod", "namespaces": {"names": namespaces}}]);
    keys.insert("kubernetes_sd_configs".to_owned(), discovery);
    Ok(object.job(
        &format!("podMonitor/{namespace}/{name}/{number}"),
        keys,
        rules,
    ))
}

//! A ServiceMonitor's endpoints as jobs, with the labels that prometheus-operator gives (pkg/prometheus/promcfg.go
//! `generateServiceMonitorConfig`).

use serde_json::{Value, json};
use stillwell_engine::labels::quote_regex;

use super::endpoint;
use super::job::{Job, Object};
use super::relabel::{copy, copy_present, keep, replace, sanitized, selector, set};

pub(super) fn jobs(object: &Object<'_>) -> Result<Vec<Job>, String> {
    let spec = object.spec;
    let endpoints = spec["endpoints"].as_array().into_iter().flatten();
    let jobs = endpoints
        .enumerate()
        .map(|(number, one)| job(object, number, one));
    jobs.collect()
}

fn job(object: &Object<'_>, number: usize, one: &Value) -> Result<Job, String> {
    let spec = object.spec;
    let mut rules = vec![copy("job", "__tmp_prometheus_job_name")];
    rules.extend(selector(&spec["selector"], "service")?);
    let port = one["port"].as_str().filter(|port| !port.is_empty());
    let target_port = match &one["targetPort"] {
        Value::String(name) => Some(("__meta_kubernetes_pod_container_port_name", name.clone())),
        Value::Number(number) => Some((
            "__meta_kubernetes_pod_container_port_number",
            number.to_string(),
        )),
        _ => None,
    };
    match (port, &target_port) {
        (Some(port), _) => {
            rules.push(keep(
                &["__meta_kubernetes_endpointslice_port_name"],
                &quote_regex(port),
            ));
        }
        (None, Some((label, port))) => rules.push(keep(&[label], &quote_regex(port))),
        (None, None) => {}
    }
    let of = [
        "__meta_kubernetes_endpointslice_address_target_kind",
        "__meta_kubernetes_endpointslice_address_target_name",
    ];
    rules.push(replace(&of, "Node;(.*)", "node", "${1}"));
    rules.push(replace(&of, "Pod;(.*)", "pod", "${1}"));
    for (from, to) in [
        ("__meta_kubernetes_namespace", "namespace"),
        ("__meta_kubernetes_service_name", "service"),
        ("__meta_kubernetes_pod_name", "pod"),
        ("__meta_kubernetes_pod_container_name", "container"),
    ] {
        rules.push(copy(from, to));
    }
    rules.extend(endpoint::running(one));
    rules.extend(endpoint::object_labels(&spec["targetLabels"], "service"));
    rules.extend(endpoint::object_labels(&spec["podTargetLabels"], "pod"));
    rules.push(copy("__meta_kubernetes_service_name", "job"));
    if let Some(label) = spec["jobLabel"].as_str().filter(|label| !label.is_empty()) {
        let label = sanitized(label);
        rules.push(copy_present(
            &format!("__meta_kubernetes_service_label_{label}"),
            "job",
        ));
    }
    let shown = port
        .map(str::to_owned)
        .or(target_port.map(|(_, port)| port));
    rules.extend(shown.map(|port| set("endpoint", &port)));
    rules.extend(object.controller_labels());
    rules.extend(endpoint::rules(&one["relabelings"]));
    let mut keys = endpoint::keys(one, spec);
    let namespaces = endpoint::namespaces(spec, object.namespace);
    let discovery = json!([{"role": "endpointslice", "namespaces": {"names": namespaces}}]);
    keys.insert("kubernetes_sd_configs".to_owned(), discovery);
    Ok(object.job(
        &format!(
            "serviceMonitor/{}/{}/{number}",
            object.namespace, object.name
        ),
        keys,
        rules,
    ))
}

//! prometheus-operator's ScrapeConfig as a job (pkg/prometheus/promcfg.go `generateScrapeConfig`).

use serde_json::{Map, Value, json};

use super::endpoint;
use super::job::{Job, Object};
use super::relabel::copy;

pub(super) fn jobs(object: &Object<'_>) -> Result<Vec<Job>, String> {
    let (spec, namespace, name) = (object.spec, object.namespace, object.name);
    let mut keys = endpoint::keys(spec, spec);
    for (from, to) in [
        ("scrapeInterval", "scrape_interval"),
        ("metricsPath", "metrics_path"),
    ] {
        endpoint::take(spec, from, to, &mut keys);
    }
    let mut found = false;
    for (from, to, make) in [
        (
            "staticConfigs",
            "static_configs",
            static_config as fn(&Value) -> Result<Value, String>,
        ),
        ("httpSDConfigs", "http_sd_configs", http),
        ("dnsSDConfigs", "dns_sd_configs", dns),
        ("kubernetesSDConfigs", "kubernetes_sd_configs", kubernetes),
    ] {
        let list = spec[from].as_array().into_iter().flatten().map(make);
        let list = list.collect::<Result<Vec<Value>, String>>()?;
        if !list.is_empty() {
            found = true;
            keys.insert(to.to_owned(), Value::Array(list));
        }
    }
    if spec["fileSDConfigs"].is_array() {
        return Err(
            "fileSDConfigs name files of this process, which an object must not".to_owned(),
        );
    }
    if !found {
        return Err(
            "it has none of staticConfigs, httpSDConfigs, dnsSDConfigs and kubernetesSDConfigs, which are followed"
                .to_owned(),
        );
    }
    let mut rules = vec![copy("job", "__tmp_prometheus_job_name")];
    rules.extend(endpoint::rules(&spec["relabelings"]));
    let mut job = object.job(&format!("scrapeConfig/{namespace}/{name}"), keys, rules);
    if let Some(shown) = spec["jobName"].as_str() {
        job.set("job_name", json!(shown));
    }
    Ok(vec![job])
}

fn static_config(from: &Value) -> Result<Value, String> {
    Ok(
        json!({"targets": from["targets"], "labels": from["labels"].as_object().cloned().unwrap_or_default()}),
    )
}

fn http(from: &Value) -> Result<Value, String> {
    let mut out = endpoint::keys(from, &Value::Null);
    endpoint::take(from, "url", "url", &mut out);
    endpoint::take(from, "refreshInterval", "refresh_interval", &mut out);
    Ok(Value::Object(out))
}

fn dns(from: &Value) -> Result<Value, String> {
    let mut out = Map::new();
    for (from_key, to) in [
        ("names", "names"),
        ("type", "type"),
        ("port", "port"),
        ("refreshInterval", "refresh_interval"),
    ] {
        endpoint::take(from, from_key, to, &mut out);
    }
    Ok(Value::Object(out))
}

fn kubernetes(from: &Value) -> Result<Value, String> {
    if from["apiServer"].is_string() {
        return Err(
            "kubernetesSDConfigs of another API server (apiServer) are not followed".to_owned(),
        );
    }
    let role = from["role"]
        .as_str()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let mut out = Map::new();
    out.insert("role".to_owned(), json!(role));
    endpoint::take(&from["namespaces"], "names", "names", &mut out);
    if let Some(names) = out.remove("names") {
        let own = from["namespaces"]["ownNamespace"] == Value::Bool(true);
        out.insert(
            "namespaces".to_owned(),
            json!({"names": names, "own_namespace": own}),
        );
    }
    let selectors = from["selectors"].as_array().into_iter().flatten();
    let selectors: Vec<Value> = selectors
        .map(|one| {
            let role = one["role"].as_str().unwrap_or_default().to_ascii_lowercase();
            json!({"role": role, "label": one["label"].as_str().unwrap_or(""), "field": one["field"].as_str().unwrap_or("")})
        })
        .collect();
    if !selectors.is_empty() {
        out.insert("selectors".to_owned(), Value::Array(selectors));
    }
    if let Some(attach) = from.get("attachMetadata") {
        out.insert("attach_metadata".to_owned(), attach.clone());
    }
    Ok(Value::Object(out))
}

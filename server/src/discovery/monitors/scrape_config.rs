//! prometheus-operator's ScrapeConfig as a job (pkg/prometheus/promcfg.go `generateScrapeConfig`).

use serde_json::{Map, Value, json};
use tracing::warn;

use super::endpoint;
use super::job::{Job, Object};
use super::relabel::copy;

const NO_FILES: &str = "fileSDConfigs name files of this process, which an object must not; allow it (`monitors: \
                        {arbitrary_fs_access: true}`), so that whoever may write such objects reads files";

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
    let files = spec["fileSDConfigs"].as_array().into_iter().flatten();
    let files: Vec<&Value> = files.collect();
    match (files.is_empty(), object.options.arbitrary_fs_access, found) {
        (true, ..) => {}
        (false, true, _) => {
            let list = files
                .into_iter()
                .map(file)
                .collect::<Result<Vec<Value>, String>>()?;
            keys.insert("file_sd_configs".to_owned(), Value::Array(list));
            found = true;
        }
        (false, false, false) => return Err(NO_FILES.to_owned()),
        (false, false, true) => {
            warn!("ScrapeConfig {namespace}/{name}: {NO_FILES}; the rest of it is followed")
        }
    }
    if !found {
        return Err(
            "it has none of staticConfigs, fileSDConfigs, httpSDConfigs, dnsSDConfigs and kubernetesSDConfigs, which are \
             followed"
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

fn file(from: &Value) -> Result<Value, String> {
    let names = from["files"].as_array().into_iter().flatten();
    if let Some(name) = names
        .filter_map(Value::as_str)
        .find(|name| !name.starts_with('/'))
    {
        return Err(format!(
            "fileSDConfigs: {name:?}: the path must begin with /"
        ));
    }
    let mut out = Map::new();
    endpoint::take(from, "files", "files", &mut out);
    endpoint::take(from, "refreshInterval", "refresh_interval", &mut out);
    Ok(Value::Object(out))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_followed_where_objects_may_name_them_and_nothing_else_is_lost_with_them() {
        let files = json!([{"files": ["/etc/targets/*.json"], "refreshInterval": "1m"}]);
        let relative = json!([{"files": ["targets.json"]}]);
        let fixed = json!([{"targets": ["a:1"]}]);
        for (allowed, spec, expected) in [
            (
                true,
                json!({"fileSDConfigs": files, "staticConfigs": fixed}),
                Ok(vec!["file_sd_configs", "static_configs"]),
            ),
            (
                true,
                json!({"fileSDConfigs": relative}),
                Err("must begin with /"),
            ),
            (
                false,
                json!({"fileSDConfigs": files, "staticConfigs": fixed}),
                Ok(vec!["static_configs"]),
            ),
            (
                false,
                json!({"fileSDConfigs": files}),
                Err("arbitrary_fs_access: true"),
            ),
        ] {
            let text = format!("monitors: {{arbitrary_fs_access: {allowed}}}\n");
            let config = crate::config::load(&text).0.expect("valid");
            let object = Object {
                namespace: "n",
                name: "s",
                spec: &spec,
                options: config.monitors.first().expect("a section"),
            };
            match (jobs(&object), expected) {
                (Ok(jobs), Ok(keys)) => {
                    let has = |key: &&str| jobs[0].keys.contains_key(*key);
                    let ways = ["file_sd_configs", "static_configs"];
                    let found: Vec<&str> = ways.into_iter().filter(has).collect();
                    assert_eq!(found, keys, "{spec}");
                }
                (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
                (other, _) => panic!("{spec}: {other:?}"),
            }
        }
    }
}

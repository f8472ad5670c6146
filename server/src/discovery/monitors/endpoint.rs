//! What prometheus-operator's endpoints have in common: how a page is fetched, and what becomes of its samples.

use serde_json::{Map, Value, json};

use super::relabel;

/// A value that the API server keeps in a Secret or a ConfigMap: `{SECRET: {kind, name, key}}` in a job that is not
/// complete yet.
pub(super) const REFERENCE: &str = "$reference";

/// The keys of a `scrape_config` that an endpoint gives.
pub(super) fn keys(endpoint: &Value, spec: &Value) -> Map<String, Value> {
    let mut job = Map::new();
    for (from, to) in [
        ("interval", "scrape_interval"),
        ("scrapeTimeout", "scrape_timeout"),
        ("path", "metrics_path"),
        ("params", "params"),
        ("honorLabels", "honor_labels"),
        ("honorTimestamps", "honor_timestamps"),
        ("proxyUrl", "proxy_url"),
        ("followRedirects", "follow_redirects"),
        ("enableHttp2", "enable_http2"),
        ("enableHTTP2", "enable_http2"),
    ] {
        take(endpoint, from, to, &mut job);
    }
    if let Some(scheme) = endpoint["scheme"].as_str() {
        job.insert("scheme".to_owned(), json!(scheme.to_ascii_lowercase()));
    }
    for (from, to) in [
        ("sampleLimit", "sample_limit"),
        ("targetLimit", "target_limit"),
        ("labelLimit", "label_limit"),
        ("labelNameLengthLimit", "label_name_length_limit"),
        ("labelValueLengthLimit", "label_value_length_limit"),
        ("bodySizeLimit", "body_size_limit"),
        ("scrapeProtocols", "scrape_protocols"),
        ("fallbackScrapeProtocol", "fallback_scrape_protocol"),
    ] {
        take(spec, from, to, &mut job);
    }
    // 0 is no limit there as here, but an empty number is none.
    job.retain(|_, value| !value.is_null());
    credentials(endpoint, &mut job);
    if let Some(tls) = endpoint.get("tlsConfig").filter(|tls| tls.is_object()) {
        job.insert("tls_config".to_owned(), self::tls(tls));
    }
    let rules = rules(&endpoint["metricRelabelings"]);
    if !rules.is_empty() {
        job.insert("metric_relabel_configs".to_owned(), Value::Array(rules));
    }
    job
}

/// Rules in the operator's words.
pub(super) fn rules(list: &Value) -> Vec<Value> {
    let rule = |rule: &Value| {
        let mut out = Map::new();
        for (from, to) in [
            ("sourceLabels", "source_labels"),
            ("separator", "separator"),
            ("targetLabel", "target_label"),
            ("regex", "regex"),
            ("modulus", "modulus"),
            ("replacement", "replacement"),
        ] {
            take(rule, from, to, &mut out);
        }
        if let Some(action) = rule["action"].as_str() {
            out.insert("action".to_owned(), json!(action.to_ascii_lowercase()));
        }
        Value::Object(out)
    };
    list.as_array().into_iter().flatten().map(rule).collect()
}

fn credentials(endpoint: &Value, job: &mut Map<String, Value>) {
    if let Some(file) = endpoint["bearerTokenFile"]
        .as_str()
        .filter(|file| !file.is_empty())
    {
        let credentials = json!({"credentials_file": file});
        job.insert("authorization".to_owned(), credentials);
    }
    if let Some(reference) = secret(&endpoint["bearerTokenSecret"]) {
        job.insert(
            "authorization".to_owned(),
            json!({"credentials": reference}),
        );
    }
    if let Some(reference) = secret(&endpoint["authorization"]["credentials"]) {
        let kind = endpoint["authorization"]["type"]
            .as_str()
            .unwrap_or("Bearer");
        let authorization = json!({"type": kind.trim(), "credentials": reference});
        job.insert("authorization".to_owned(), authorization);
    }
    let basic = &endpoint["basicAuth"];
    let (username, password) = (secret(&basic["username"]), secret(&basic["password"]));
    if username.is_some() || password.is_some() {
        let basic = json!({"username": username, "password": password});
        job.insert("basic_auth".to_owned(), basic);
    }
    let oauth2 = &endpoint["oauth2"];
    if oauth2.is_object() {
        let mut keys = Map::new();
        let id = &oauth2["clientId"];
        let client_id = secret(&id["secret"]).or_else(|| config_map(&id["configMap"]));
        keys.insert("client_id".to_owned(), json!(client_id));
        keys.insert(
            "client_secret".to_owned(),
            json!(secret(&oauth2["clientSecret"])),
        );
        for (from, to) in [
            ("tokenUrl", "token_url"),
            ("scopes", "scopes"),
            ("endpointParams", "endpoint_params"),
        ] {
            take(oauth2, from, to, &mut keys);
        }
        job.insert("oauth2".to_owned(), Value::Object(keys));
    }
}

/// Keys of prometheus-operator that name files, each with ours.
const TLS_FILES: [(&str, &str); 3] = [
    ("caFile", "ca_file"),
    ("certFile", "cert_file"),
    ("keyFile", "key_file"),
];

/// Refuses a job of an object that names files of this process, where objects may not; also in what finds its targets.
pub(super) fn check_files(job: &Map<String, Value>, are_allowed: bool) -> Result<(), String> {
    for (key, value) in job {
        match value {
            Value::Object(part) => check_files(part, are_allowed)?,
            Value::Array(list) => {
                let parts = list.iter().filter_map(Value::as_object);
                parts
                    .into_iter()
                    .try_for_each(|part| check_files(part, are_allowed))?;
            }
            Value::String(file) => check_file(key, file, are_allowed)?,
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    Ok(())
}

fn check_file(key: &str, file: &str, are_allowed: bool) -> Result<(), String> {
    let of_tls = TLS_FILES.iter().find(|(_, ours)| *ours == key);
    let written = match (key, of_tls) {
        ("credentials_file", _) => "bearerTokenFile",
        (_, Some((written, _))) => written,
        _ => return Ok(()),
    };
    match (are_allowed, file.starts_with('/')) {
        (true, true) => Ok(()),
        (true, false) => Err(format!("{written} {file:?}: the path must begin with /")),
        (false, _) => Err(format!(
            "{written} {file:?} is a file of this process, which an object must not name; use a Secret or a ConfigMap, or \
             allow it (`monitors: {{arbitrary_fs_access: true}}`), so that whoever may write such objects reads files"
        )),
    }
}

fn tls(tls: &Value) -> Value {
    let mut out = Map::new();
    for (from, to) in TLS_FILES {
        if tls[from].as_str().is_some_and(|file| !file.is_empty()) {
            take(tls, from, to, &mut out);
        }
    }
    take(tls, "serverName", "server_name", &mut out);
    take(tls, "insecureSkipVerify", "insecure_skip_verify", &mut out);
    let of = |part: &Value| secret(&part["secret"]).or_else(|| config_map(&part["configMap"]));
    for part in ["ca", "cert"] {
        if let Some(reference) = of(&tls[part]) {
            out.insert(part.to_owned(), reference);
        }
    }
    if let Some(reference) = secret(&tls["keySecret"]) {
        out.insert("key".to_owned(), reference);
    }
    Value::Object(out)
}

fn secret(selector: &Value) -> Option<Value> {
    reference("Secret", selector)
}

fn config_map(selector: &Value) -> Option<Value> {
    reference("ConfigMap", selector)
}

/// `None` where nothing is named: templates leave `name: ""`, which means the same.
fn reference(kind: &str, selector: &Value) -> Option<Value> {
    let (name, key) = (selector["name"].as_str()?, selector["key"].as_str()?);
    if name.is_empty() {
        return None;
    }
    Some(json!({REFERENCE: {"kind": kind, "name": name, "key": key}}))
}

/// Copies a key under another name, if it is there.
pub(super) fn take(from: &Value, name: &str, to: &str, into: &mut Map<String, Value>) {
    if let Some(value) = from.get(name).filter(|value| !value.is_null()) {
        into.insert(to.to_owned(), value.clone());
    }
}

/// Labels of objects that become labels of targets.
pub(super) fn object_labels(list: &Value, kind: &str) -> Vec<Value> {
    let labels = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let rule = |label: &str| {
        let label = relabel::sanitized(label);
        relabel::copy_present(&format!("__meta_kubernetes_{kind}_label_{label}"), &label)
    };
    labels.map(rule).collect()
}

/// Pods that have ended are no targets, unless `filterRunning` is false.
pub(super) fn running(endpoint: &Value) -> Option<Value> {
    let all = endpoint["filterRunning"] == Value::Bool(false);
    (!all).then(|| relabel::drop(&["__meta_kubernetes_pod_phase"], "(Failed|Succeeded)"))
}

/// The namespaces that a monitor's `namespaceSelector` names; none is all.
pub(super) fn namespaces(spec: &Value, own: &str) -> Vec<String> {
    let selector = &spec["namespaceSelector"];
    if selector["any"] == Value::Bool(true) {
        return Vec::new();
    }
    let names = selector["matchNames"].as_array().into_iter().flatten();
    let names: Vec<String> = names.filter_map(Value::as_str).map(str::to_owned).collect();
    match names.is_empty() {
        true => vec![own.to_owned()],
        false => names,
    }
}

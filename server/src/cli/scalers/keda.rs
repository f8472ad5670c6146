//! Triggers of ScaledObjects and ScaledJobs (KEDA's `pkg/scalers`): those that can read this server, `prometheus`, `external` and
//! `external-push`.

use std::collections::BTreeMap;

use stillwell_adapters::keda::{Source, Trigger};
use stillwell_engine::nearest::nearest;
use stillwell_engine::promql::plan::ValueType;
use stillwell_engine::promql::{Features, Query};

use super::Said;
use super::resolve::{Meaning, external};
use super::tree::{at, entries, list, text, unknown_keys};
use crate::config::Config;
use crate::yaml::{Kind, Node};

const TRIGGER_KEYS: [&str; 6] = [
    "type",
    "name",
    "metadata",
    "authenticationRef",
    "metricType",
    "useCachedMetrics",
];

/// Keys of the prometheus scaler (`pkg/scalers/prometheus_scaler.go`, `authentication_types.go`, `aws` and `azure` beside it).
const PROMETHEUS_KEYS: [&str; 20] = [
    "serverAddress",
    "query",
    "threshold",
    "activationThreshold",
    "metricName",
    "namespace",
    "queryParameters",
    "customHeaders",
    "ignoreNullValues",
    "unsafeSsl",
    "timeout",
    "authModes",
    "cortexOrgID",
    "awsRegion",
    "awsEndpoint",
    "identityOwner",
    "credentialsFromEnv",
    "credentialsFromEnvFile",
    "username",
    "usernameFromEnv",
];

pub(super) fn check(config: &Config, tree: &Node, scaler: &str, said: &mut Said) {
    let triggers = list(tree, &["spec", "triggers"]);
    if triggers.is_empty() {
        said.error(tree.line, format!("{scaler}: spec.triggers is missing"));
    }
    for (position, trigger) in triggers.iter().enumerate() {
        let place = format!("{scaler}: triggers[{position}]");
        for (line, why) in unknown_keys(trigger, &TRIGGER_KEYS) {
            said.error(line, format!("{place}: {why}"));
        }
        let before = said.errors();
        let kind = text(trigger, &["type"]).unwrap_or("");
        let reads = match kind {
            "prometheus" => of_prometheus(trigger, &place, said),
            "external" | "external-push" => of_external(config, trigger, &place, said),
            "" => {
                said.error(trigger.line, format!("{place}: type is missing"));
                None
            }
            other => Some(format!("type {other}: reads no server of this kind")),
        };
        if let Some(reads) = reads
            && said.errors() == before
        {
            said.told(trigger.line, format!("{place}: {reads}"));
        }
    }
}

fn metadata_of<'n>(trigger: &'n Node, place: &str, said: &mut Said) -> Option<&'n Node> {
    let metadata = at(trigger, &["metadata"]);
    if metadata.is_none() {
        said.error(trigger.line, format!("{place}: metadata is missing"));
    }
    metadata
}

fn of_prometheus(trigger: &Node, place: &str, said: &mut Said) -> Option<String> {
    let metadata = metadata_of(trigger, place, said)?;
    let line = |key: &str| at(metadata, &[key]).map_or(metadata.line, |node| node.line);
    for (line, why) in unknown_keys(metadata, &PROMETHEUS_KEYS) {
        said.warn(line, format!("{place}: {why}; KEDA passes it over"));
    }
    for key in ["serverAddress", "query", "threshold"] {
        if text(metadata, &[key]).unwrap_or("").is_empty() {
            said.error(metadata.line, format!("{place}: {key} is missing"));
        }
    }
    for key in ["threshold", "activationThreshold"] {
        if let Some(number) = text(metadata, &[key])
            && !number.is_empty()
            && !is_number(number)
        {
            said.error(
                line(key),
                format!("{place}: {key} {number:?} is not a number"),
            );
        }
    }
    for key in ["ignoreNullValues", "unsafeSsl"] {
        if let Some(flag) = text(metadata, &[key])
            && ![
                "true", "false", "1", "0", "t", "f", "T", "F", "TRUE", "FALSE", "True", "False",
            ]
            .contains(&flag)
        {
            said.error(
                line(key),
                format!("{place}: {key} {flag:?} is not true or false"),
            );
        }
    }
    let query = text(metadata, &["query"]).unwrap_or("");
    if !query.is_empty()
        && let Some(why) = useless(query)
    {
        said.error(line("query"), format!("{place}: query: {why}"));
    }
    server(metadata, place, query, said)
}

/// Which server reads the query.
fn server(metadata: &Node, place: &str, query: &str, said: &mut Said) -> Option<String> {
    let line = |key: &str| at(metadata, &[key]).map_or(metadata.line, |node| node.line);
    let address = text(metadata, &["serverAddress"]).unwrap_or("");
    if address.is_empty() {
        return None;
    }
    let path = address.split_once("://").map_or(address, |(_, rest)| rest);
    let path = path.split_once('/').map_or("", |(_, path)| path);
    if path.trim_end_matches('/').ends_with("guarded") {
        if let Some(namespace) = text(metadata, &["namespace"]).filter(|text| !text.is_empty()) {
            said.warn(
                line("namespace"),
                format!(
                    "{place}: namespace {namespace} is a parameter for proxies of tenants, which is passed over here as by \
                     Prometheus: the number is of all namespaces; write namespace={namespace:?} into the query"
                ),
            );
        }
        return Some(format!("reads /guarded: {}", on_one_line(query)));
    }
    let is_another = path.contains("select/") || path.contains("prometheus");
    if !is_another {
        said.warn(
            line("serverAddress"),
            format!(
                "{place}: serverAddress {address} is without /guarded: if this is Stillwell, an outage is an empty vector \
                 there, which KEDA reads as 0; write {}/guarded",
                address.trim_end_matches('/')
            ),
        );
    }
    Some(format!(
        "reads the Prometheus API at {address}: {}",
        on_one_line(query)
    ))
}

/// A number as KEDA reads one (`strconv.ParseFloat`).
fn is_number(text: &str) -> bool {
    text.trim() == text && text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn on_one_line(query: &str) -> String {
    query.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Why a query never gives a number.
fn useless(query: &str) -> Option<String> {
    let parsed = match Query::parse(query, &Features::all()) {
        Ok(parsed) => parsed,
        Err(error) => return Some(error.to_string()),
    };
    match parsed.plan().value_type() {
        ValueType::Scalar | ValueType::Vector => None,
        ValueType::Matrix => Some(
            "a range vector is no number: put a function around it, such as rate() or max_over_time()".to_owned(),
        ),
        ValueType::String => Some("a text is no number".to_owned()),
    }
}

fn of_external(config: &Config, trigger: &Node, place: &str, said: &mut Said) -> Option<String> {
    let metadata = metadata_of(trigger, place, said)?;
    let address = text(metadata, &["scalerAddress"]).unwrap_or("");
    if address.is_empty() {
        said.error(metadata.line, format!("{place}: scalerAddress is missing"));
    }
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    for entry in entries(metadata) {
        if let Kind::Scalar { text } = &entry.value.kind {
            keys.insert(entry.key.clone(), text.clone());
        }
    }
    if !keys.contains_key("signal") && !keys.contains_key("query") {
        let ours = ["signal", "query", "threshold", "activationThreshold"];
        let near = keys
            .keys()
            .find_map(|key| Some((key, nearest(key, ours)?)))
            .map_or(String::new(), |(key, near)| {
                format!(" ({key}: did you mean {near}?)")
            });
        return Some(format!(
            "asks another scaler at {address}; this server needs signal or query{near}"
        ));
    }
    let read = match Trigger::parse(&keys) {
        Ok(read) => read,
        Err(refusal) => {
            said.error(metadata.line, format!("{place}: {refusal}"));
            return None;
        }
    };
    let name = match &read.source {
        Source::Query(query) => return Some(format!("reads the query {}", on_one_line(query))),
        Source::Signal(name) => name,
    };
    let line = at(metadata, &["signal"]).map_or(metadata.line, |node| node.line);
    match external(config, name) {
        Meaning::Signal(signal) => Some(format!("reads signal {:?}", signal.name)),
        Meaning::Answers(what) => Some(format!("reads {name}: {what}")),
        Meaning::MayAnswer(what) => {
            said.warn(line, format!("{place}: {name} is answered by {what}"));
            None
        }
        Meaning::Nothing(why) => {
            said.error(line, format!("{place}: {name}: {why}"));
            None
        }
    }
}

//! Triggers of ScaledObjects and ScaledJobs (KEDA's `pkg/scalers`): those that can read this server, `prometheus`, `external` and
//! `external-push`.

use std::collections::BTreeMap;

use stillwell_adapters::keda::{REMEDY, Source, Trigger};
use stillwell_adapters::multi::Multi;
use stillwell_engine::nearest::nearest;

use super::prometheus::{self, FLAGS, several};
use super::resolve::{Meaning, external, refused_to};
use super::shapes::{TRIGGER, TRIGGER_KEYS};
use super::tree::{at, entries, list, on_one_line, text};
use super::{Said, objects, schema};
use crate::config::Config;
use crate::yaml::{Kind, Node};

/// Keys of a trigger of this server, beside those of KEDA.
const OWN_KEYS: [&str; 6] = [
    "scalerAddress",
    "signal",
    "query",
    "threshold",
    "activationThreshold",
    "multi",
];

/// The metric of `cpu` and `memory` is one of resources, which alone has a utilization.
const OF_RESOURCES: [&str; 2] = ["cpu", "memory"];

pub(super) fn check(config: &Config, tree: &Node, scaler: &str, said: &mut Said) {
    objects::check_keda(tree, scaler, said);
    let triggers = list(tree, &["spec", "triggers"]);
    if triggers.is_empty() {
        said.error(tree.line, format!("{scaler}: spec.triggers is missing"));
    }
    // The numbers of single triggers are no target then: the formula's is.
    let has_formula = at(tree, &["spec", "advanced", "scalingModifiers", "formula"]).is_some();
    for (position, trigger) in triggers.iter().enumerate() {
        let place = format!("{scaler}: triggers[{position}]");
        let before = said.errors();
        schema::check_fields(trigger, &TRIGGER, &place, &belongs_to_metadata, said);
        let kind = text(trigger, &["type"]).unwrap_or("");
        around(trigger, kind, &place, said);
        let reads = match kind {
            "prometheus" => metadata_of(trigger, &place, said).and_then(|metadata| {
                prometheus::check(trigger, metadata, &place, has_formula, said)
            }),
            "external" | "external-push" => {
                let namespace = text(tree, &["metadata", "namespace"]);
                of_external((config, namespace), trigger, &place, said)
            }
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

fn belongs_to_metadata(key: &str) -> Option<String> {
    let of_metadata = prometheus::KEYS.contains(&key) || OWN_KEYS.contains(&key);
    of_metadata.then(|| format!("{key} stands beside metadata; it belongs into it"))
}

/// What the fields around the metadata say.
fn around(trigger: &Node, kind: &str, place: &str, said: &mut Said) {
    let line = |key: &str| at(trigger, &[key]).map_or(trigger.line, |node| node.line);
    let of_resources = OF_RESOURCES.contains(&kind);
    if let Some(metric) = text(trigger, &["metricType"]).filter(|text| !text.is_empty()) {
        let known: &[&str] = match of_resources {
            true => &["Utilization", "AverageValue"],
            false => &["AverageValue", "Value"],
        };
        if !known.contains(&metric) {
            let why = format!(
                "metricType {metric:?} is none of {}, which a trigger of type {kind} has",
                known.join(", ")
            );
            said.error(line("metricType"), format!("{place}: {why}"));
        }
    }
    if text(trigger, &["useCachedMetrics"]) == Some("true") && (of_resources || kind == "cron") {
        let why = format!("useCachedMetrics is not there for type {kind}; KEDA refuses it");
        said.error(line("useCachedMetrics"), format!("{place}: {why}"));
    }
    // The fields of the trigger itself; `name` and `type` are keys of other scalers' metadata too.
    for entry in at(trigger, &["metadata"]).map_or(&[][..], entries) {
        let key = entry.key.as_str();
        if TRIGGER_KEYS.contains(&key) && !matches!(key, "name" | "type" | "metadata") {
            let why = format!(
                "{key} stands in metadata, where KEDA passes it over; it belongs beside type, one level up"
            );
            said.warn(entry.line, format!("{place}: {why}"));
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

/// What the keys say by which KEDA connects.
fn connection(metadata: &Node, address: &str, place: &str, said: &mut Said) {
    if let Some((scheme, rest)) = address.split_once("://")
        && matches!(scheme, "http" | "https")
    {
        let line = at(metadata, &["scalerAddress"]).map_or(metadata.line, |node| node.line);
        let why = format!(
            "scalerAddress {address} is asked by gRPC, whose addresses have no scheme: write {rest}"
        );
        said.error(line, format!("{place}: {why}"));
    }
    for key in ["enableTLS", "unsafeSsl"] {
        if let Some(flag) =
            text(metadata, &[key]).filter(|flag| !flag.is_empty() && !FLAGS.contains(flag))
        {
            let line = at(metadata, &[key]).map_or(metadata.line, |node| node.line);
            said.error(
                line,
                format!("{place}: {key}: {flag:?} is not true or false"),
            );
        }
    }
}

fn of_external(
    (config, namespace): (&Config, Option<&str>),
    trigger: &Node,
    place: &str,
    said: &mut Said,
) -> Option<String> {
    let metadata = metadata_of(trigger, place, said)?;
    let address = text(metadata, &["scalerAddress"]).unwrap_or("");
    if address.is_empty() {
        said.error(metadata.line, format!("{place}: scalerAddress is missing"));
    }
    connection(metadata, address, place, said);
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    for entry in entries(metadata) {
        if let Kind::Scalar { text, .. } = &entry.value.kind {
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
        Source::Query(query) => {
            let line = at(metadata, &["query"]).map_or(metadata.line, |node| node.line);
            if read.multi == Multi::Error
                && let Some(why) = several(query)
            {
                said.warn(line, format!("{place}: query: {why}, or {REMEDY}"));
            }
            return Some(format!("reads the query {}", on_one_line(query)));
        }
        Source::Signal(name) => name,
    };
    let line = at(metadata, &["signal"]).map_or(metadata.line, |node| node.line);
    by_name((config, namespace), (name, read.multi), (place, line), said)
}

/// What a trigger reads that names a metric.
fn by_name(
    (config, namespace): (&Config, Option<&str>),
    (name, multi): (&str, Multi),
    (place, line): (&str, usize),
    said: &mut Said,
) -> Option<String> {
    match external(config, name) {
        Meaning::Signal(signal) => {
            if let Some(why) = refused_to(signal, namespace) {
                said.error(line, format!("{place}: {why}"));
            }
            if multi == Multi::Error
                && signal.for_each.is_empty()
                && let Some(why) = several(&signal.expr)
            {
                said.warn(
                    line,
                    format!("{place}: signal {:?}: {why}, or {REMEDY}", signal.name),
                );
            }
            Some(format!("reads signal {:?}", signal.name))
        }
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

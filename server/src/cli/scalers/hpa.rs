//! Metrics of HorizontalPodAutoscalers (`autoscaling/v2`; rules of `pkg/apis/autoscaling/validation` of Kubernetes).

use stillwell_adapters::objects::{Kind, Kinds};
use stillwell_engine::nearest::nearest;

use super::Said;
use super::resolve::{Meaning, external, has_label, of_objects};
use super::tree::{at, entries, list, quantity, text, unknown_keys};
use crate::config::{Config, SignalSpec};
use crate::yaml::{Kind as NodeKind, Node};

const TYPES: [&str; 5] = [
    "External",
    "Pods",
    "Object",
    "Resource",
    "ContainerResource",
];
const TARGET_KEYS: [(&str, &str); 3] = [
    ("Utilization", "averageUtilization"),
    ("Value", "value"),
    ("AverageValue", "averageValue"),
];

pub(super) fn check(config: &Config, tree: &Node, scaler: &str, said: &mut Said) {
    let version = text(tree, &["apiVersion"]).unwrap_or("");
    match version {
        "autoscaling/v2beta1" => {
            said.error(
                tree.line,
                format!("{scaler}: autoscaling/v2beta1 is not served since Kubernetes 1.25; write it as autoscaling/v2"),
            );
            return;
        }
        "autoscaling/v2beta2" => said.error(
            tree.line,
            format!("{scaler}: autoscaling/v2beta2 is not served since Kubernetes 1.26; autoscaling/v2 has the same keys"),
        ),
        _ => {}
    }
    let metrics = list(tree, &["spec", "metrics"]);
    if metrics.is_empty() {
        said.told(
            tree.line,
            format!("{scaler}: reads CPU alone, from metrics.k8s.io"),
        );
    }
    for (position, metric) in metrics.iter().enumerate() {
        let place = format!("{scaler}: metrics[{position}]");
        of_metric(config, metric, &place, said);
    }
}

fn of_metric(config: &Config, metric: &Node, place: &str, said: &mut Said) {
    let before = said.errors();
    let kind = text(metric, &["type"]).unwrap_or("");
    if !TYPES.contains(&kind) {
        let near =
            nearest(kind, TYPES).map_or(String::new(), |near| format!("; did you mean {near}?"));
        said.error(
            metric.line,
            format!(
                "{place}: type {kind:?} is none of {}{near}",
                TYPES.join(", ")
            ),
        );
        return;
    }
    let mut key = kind.to_owned();
    key[..1].make_ascii_lowercase();
    let Some(source) = at(metric, &[&key]) else {
        said.error(
            metric.line,
            format!("{place}: type {kind} needs the key {key}"),
        );
        return;
    };
    let known: &[&str] = match kind {
        "External" | "Pods" => &["metric", "target"],
        "Object" => &["metric", "target", "describedObject"],
        "Resource" => &["name", "target"],
        _ => &["name", "container", "target"],
    };
    let mut keys = unknown_keys(metric, &["type", &key]);
    keys.extend(unknown_keys(source, known));
    for (path, known) in [
        (&["metric"][..], &["name", "selector"][..]),
        (
            &["metric", "selector"],
            &["matchLabels", "matchExpressions"],
        ),
        (
            &["target"],
            &["type", "value", "averageValue", "averageUtilization"],
        ),
        (&["describedObject"], &["apiVersion", "kind", "name"]),
    ] {
        keys.extend(at(source, path).map_or(Vec::new(), |node| unknown_keys(node, known)));
    }
    for (line, why) in keys {
        said.error(line, format!("{place}: {why}"));
    }
    target(kind, source, place, said);
    let reads = match kind {
        "Resource" | "ContainerResource" => {
            let what = text(source, &["name"]).unwrap_or("?");
            Some(match config.resource_rules {
                Some(_) => format!("{what} of metrics.k8s.io, which resourceRules serve here"),
                None => format!("{what} of metrics.k8s.io, and not this server"),
            })
        }
        _ => named(config, kind, source, place, said),
    };
    if let Some(reads) = reads
        && said.errors() == before
    {
        said.told(metric.line, format!("{place}: reads {reads}"));
    }
}

/// What a metric that has a name reads; `None` where an error says why it reads nothing.
fn named(
    config: &Config,
    kind: &str,
    source: &Node,
    place: &str,
    said: &mut Said,
) -> Option<String> {
    let name = text(source, &["metric", "name"]).unwrap_or("");
    let line = at(source, &["metric", "name"]).map_or(source.line, |node| node.line);
    if name.is_empty() {
        said.error(line, format!("{place}: metric.name is missing"));
        return None;
    }
    let is_kedas =
        entries_of_selector(source).any(|(label, _)| label == "scaledobject.keda.sh/name");
    if kind == "External" && is_kedas {
        return Some(format!("{name} of KEDA's own metrics server"));
    }
    let kinds = Kinds::usual();
    let object = match kind {
        "Pods" => kinds.named("pods", "").cloned(),
        "Object" => described_kind(source, &kinds, place, said)?,
        _ => None,
    };
    let meaning = match kind {
        "External" => external(config, name),
        _ => of_objects(config, name, object.as_deref(), &kinds),
    };
    match meaning {
        Meaning::Signal(signal) => {
            of_signal(signal, source, object.as_deref(), place, said);
            Some(format!("signal {:?}", signal.name))
        }
        Meaning::Answers(what) => Some(format!("{name}: {what}")),
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

/// The kind of `describedObject`; `Some(None)` is one that an API server may know. `None`: an error was said.
#[expect(
    clippy::option_option,
    reason = "an error, an unknown kind and a known one are three cases"
)]
fn described_kind(
    source: &Node,
    kinds: &Kinds,
    place: &str,
    said: &mut Said,
) -> Option<Option<std::sync::Arc<Kind>>> {
    let object = |key: &str| text(source, &["describedObject", key]).unwrap_or("");
    let (kind, name) = (object("kind"), object("name"));
    if kind.is_empty() || name.is_empty() {
        said.error(
            source.line,
            format!("{place}: type Object needs describedObject with kind and name"),
        );
        return None;
    }
    Some(kinds.iter().find(|one| one.kind == kind).cloned())
}

/// Labels that are asked for and that no element of the signal has.
fn of_signal(
    signal: &SignalSpec,
    source: &Node,
    object: Option<&Kind>,
    place: &str,
    said: &mut Said,
) {
    let lacks = |label: &str| {
        format!(
            "{place}: no element of signal {:?} has the label {label}: its query does not group by it ({})",
            signal.name, signal.expr
        )
    };
    for (label, line) in entries_of_selector(source) {
        if !has_label(signal, &label) {
            said.error(line, lacks(&label));
        }
    }
    if let Some(kind) = object
        && !kind.is_namespace()
        && !has_label(signal, kind.label())
    {
        let why = format!("{}, which names {}", lacks(kind.label()), kind.resource);
        said.error(source.line, why);
    }
}

/// Labels that a selector wants to be there, each with its line.
fn entries_of_selector(source: &Node) -> impl Iterator<Item = (String, usize)> + '_ {
    let labels = at(source, &["metric", "selector", "matchLabels"]);
    let equal = labels.into_iter().flat_map(entries);
    let equal = equal.map(|entry| (entry.key.clone(), entry.line));
    let expressions = list(source, &["metric", "selector", "matchExpressions"]).iter();
    let wanted = expressions.filter_map(|one| {
        let wants = matches!(text(one, &["operator"])?, "In" | "Exists");
        wants.then(|| Some((text(one, &["key"])?.to_owned(), one.line)))?
    });
    equal.chain(wanted)
}

/// What a target must hold. Of all but `type: Object` the number that is there counts, whatever its `type` says.
fn target(kind: &str, source: &Node, place: &str, said: &mut Said) {
    let Some(target) = at(source, &["target"]) else {
        said.error(source.line, format!("{place}: target is missing"));
        return;
    };
    let wanted = text(target, &["type"]).unwrap_or("");
    let line = at(target, &["type"]).map_or(target.line, |node| node.line);
    let types = TARGET_KEYS.map(|(of, _)| of);
    if !types.contains(&wanted) {
        let why = format!("target.type {wanted:?} is none of {}", types.join(", "));
        said.error(line, format!("{place}: {why}"));
        return;
    }
    let needed: &[&str] = match (kind, wanted) {
        ("External", _) => &["value", "averageValue"],
        ("Pods", _) => &["averageValue"],
        ("Object", "Value") => &["value"],
        ("Object", "AverageValue") => &["averageValue"],
        ("Object", _) => {
            let why = format!("target.type {wanted} of type Object is not Value or AverageValue");
            said.error(line, format!("{place}: {why}"));
            return;
        }
        _ => &["averageUtilization", "averageValue"],
    };
    let given = || needed.iter().filter(|key| at(target, &[key]).is_some());
    match given().count() {
        0 => {
            let why = format!("target.{} is missing", needed.join(" or target."));
            said.error(line, format!("{place}: {why}"));
        }
        1 => {}
        _ => {
            let why = format!("target.{} exclude one another", needed.join(" and target."));
            said.error(line, format!("{place}: {why}"));
        }
    }
    for (of, key) in TARGET_KEYS {
        let Some(node) = at(target, &[key]) else {
            continue;
        };
        let number = match &node.kind {
            NodeKind::Scalar { text } => text.as_str(),
            _ => "",
        };
        match quantity(number) {
            None => said.error(
                node.line,
                format!("{place}: target.{key} {number:?} is not a quantity"),
            ),
            Some(value) if value <= 0.0 => said.error(
                node.line,
                format!("{place}: target.{key} {number} must be above 0"),
            ),
            Some(_) if of != wanted && needed.contains(&key) => said.warn(
                node.line,
                format!("{place}: target.{key} is what counts, and target.type says {wanted}"),
            ),
            Some(_) => {}
        }
    }
}

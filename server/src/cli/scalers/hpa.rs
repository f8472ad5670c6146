//! Metrics of HorizontalPodAutoscalers (`autoscaling/v2`; rules of `pkg/apis/autoscaling/validation` of Kubernetes).

use stillwell_adapters::objects::{Kind, Kinds};
use stillwell_engine::nearest::nearest;

use super::resolve::{Meaning, external, has_label, of_objects, refused_to};
use super::schema;
use super::shapes::METRIC;
use super::tree::{at, entries, list, quantity, text};
use super::{Said, objects};
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
    if !objects::check_hpa(tree, scaler, said) {
        return;
    }
    let metrics = list(tree, &["spec", "metrics"]);
    if metrics.is_empty() {
        said.told(
            tree.line,
            format!("{scaler}: reads CPU alone, from metrics.k8s.io"),
        );
    }
    let namespace = text(tree, &["metadata", "namespace"]);
    for (position, metric) in metrics.iter().enumerate() {
        let place = format!("{scaler}: metrics[{position}]");
        of_metric((config, namespace), metric, &place, said);
    }
}

fn of_metric(
    (config, namespace): (&Config, Option<&str>),
    metric: &Node,
    place: &str,
    said: &mut Said,
) {
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
    let key = key_of(kind);
    let Some(source) = at(metric, &[&key]) else {
        said.error(
            metric.line,
            format!("{place}: type {kind} needs the key {key}"),
        );
        return;
    };
    schema::check(metric, &METRIC, place, said);
    for other in entries(metric) {
        let is_source = TYPES.iter().any(|kind| key_of(kind) == other.key);
        if is_source && other.key != key {
            let why = format!("{place}: type {kind} has {key} alone; remove {}", other.key);
            said.error(other.line, why);
        }
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
        _ => named((config, namespace), kind, source, place, said),
    };
    if let Some(reads) = reads
        && said.errors() == before
    {
        said.told(metric.line, format!("{place}: reads {reads}"));
    }
}

/// The key that holds the source of a metric of a type.
fn key_of(kind: &str) -> String {
    let mut key = kind.to_owned();
    key[..1].make_ascii_lowercase();
    key
}

/// What a metric that has a name reads; `None` where an error says why it reads nothing.
fn named(
    (config, namespace): (&Config, Option<&str>),
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
    if name.contains(['/', '%']) {
        let why =
            format!("{place}: metric.name {name:?} has a / or a %, which the API server refuses");
        said.error(line, why);
        return None;
    }
    let is_kedas = entries_of_selector(source).any(|one| one.label == "scaledobject.keda.sh/name");
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
            let asked_for = match object.as_deref().is_some_and(Kind::is_namespace) {
                true => text(source, &["describedObject", "name"]),
                false => namespace,
            };
            if let Some(why) = refused_to(signal, asked_for) {
                said.error(line, format!("{place}: {why}"));
            }
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
    for one in entries_of_selector(source) {
        let values: Vec<&str> = one.values.iter().map(String::as_str).collect();
        let only = signal.reads_only(&one.label, &values);
        if object.is_none() && signal.from_rules && !signal.sanitized && only.is_none() {
            let why = format!(
                "{place}: the selector is passed over: the metricsQuery of {:?} does not use <<.LabelMatchers>>, so that this HPA \
                 gets the sum of all that it yields, as from prometheus-adapter ({})",
                signal.name, signal.expr
            );
            said.warn(one.line, why);
        } else if only.is_none() && !has_label(signal, &one.label) {
            said.error(one.line, lacks(&one.label));
        } else if let Some(only) = only {
            let why = format!(
                "{place}: the selector asks for {}={}, and signal {:?} reads nothing but {only} ({})",
                one.label,
                one.values.join("|"),
                signal.name,
                signal.expr
            );
            said.error(one.line, why);
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

/// A label that a selector wants to be there.
struct Wanted {
    label: String,
    /// One of them; none where any will do.
    values: Vec<String>,
    line: usize,
}

fn entries_of_selector(source: &Node) -> impl Iterator<Item = Wanted> + '_ {
    let value = |node: &Node| match &node.kind {
        NodeKind::Scalar { text, .. } => Some(text.clone()),
        _ => None,
    };
    let labels = at(source, &["metric", "selector", "matchLabels"]);
    let equal = labels.into_iter().flat_map(entries);
    let equal = equal.map(move |entry| Wanted {
        label: entry.key.clone(),
        values: value(&entry.value).into_iter().collect(),
        line: entry.line,
    });
    let expressions = list(source, &["metric", "selector", "matchExpressions"]).iter();
    let wanted = expressions.filter_map(move |one| {
        let values = match text(one, &["operator"])? {
            "In" => list(one, &["values"]).iter().filter_map(value).collect(),
            "Exists" => Vec::new(),
            _ => return None,
        };
        let label = text(one, &["key"])?.to_owned();
        let line = one.line;
        Some(Wanted {
            label,
            values,
            line,
        })
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
        let is_share = key == "averageUtilization"; // the schema looks at it
        let Some(node) = at(target, &[key]) else {
            continue;
        };
        let number = match &node.kind {
            NodeKind::Scalar { text, .. } => text.as_str(),
            _ => "",
        };
        match quantity(number) {
            _ if is_share => {}
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

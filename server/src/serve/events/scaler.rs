//! Who reads signals: HorizontalPodAutoscalers, by the metrics of their `spec`, and ScaledObjects, by their triggers.

use std::fmt;
use std::sync::Arc;

use kube::api::{DynamicObject, GroupVersionKind};
use serde_json::Value;
use stillwell_adapters::objects::Selector;

use crate::cluster::list_watch::Kept;

/// Metrics of one scaler; more are nobody's.
const READS_MAX: usize = 64;
/// The Prometheus endpoint that answers with judged numbers.
const GUARDED: &str = "/guarded";

/// A kind of objects that scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ScalerKind {
    /// `autoscaling/v2`
    Hpa,
    /// `keda.sh/v1alpha1`
    ScaledObject,
}

impl ScalerKind {
    pub(super) const ALL: [ScalerKind; 2] = [ScalerKind::Hpa, ScalerKind::ScaledObject];

    /// As Kubernetes names it.
    pub(super) fn gvk(self) -> GroupVersionKind {
        match self {
            ScalerKind::Hpa => {
                GroupVersionKind::gvk("autoscaling", "v2", "HorizontalPodAutoscaler")
            }
            ScalerKind::ScaledObject => {
                GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject")
            }
        }
    }

    /// As in URLs.
    pub(super) fn plural(self) -> &'static str {
        match self {
            ScalerKind::Hpa => "horizontalpodautoscalers",
            ScalerKind::ScaledObject => "scaledobjects",
        }
    }
}

/// An object that scales by what it reads.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scaler {
    pub(super) kind: ScalerKind,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Events are shown to whom this uid fits.
    pub(super) uid: String,
    /// Each once.
    pub(super) reads: Vec<Read>,
}

impl Kept for Option<Arc<Scaler>> {
    fn bytes(&self) -> usize {
        let Some(scaler) = self else {
            return 0;
        };
        let texts = scaler.namespace.len() + scaler.name.len() + scaler.uid.len();
        let read = |read: &Read| size_of::<Read>() + read.to_string().len();
        size_of::<Scaler>() + texts + scaler.reads.iter().map(read).sum::<usize>()
    }
}

/// What a scaler reads.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Read {
    /// An external metric.
    External { metric: String, selector: Selector },
    /// A metric of each pod.
    Pods { metric: String, selector: Selector },
    /// A metric of one object.
    Object {
        metric: String,
        selector: Selector,
        /// Empty for the core group.
        group: String,
        kind: String,
        name: String,
    },
    /// A query of `/guarded`.
    Guarded { query: String },
    /// What a trigger of KEDA's external scaler names, as `/signals` shows it: `signal NAME` or `query QUERY`.
    Trigger { source: String },
}

/// What it is called in a message. Two that are not the same are called differently.
impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Read::External { metric, selector } => named(f, metric, selector),
            Read::Pods { metric, selector } => {
                named(f, metric, selector)?;
                f.write_str(" of pods")
            }
            Read::Object {
                metric,
                selector,
                group,
                kind,
                name,
            } => {
                named(f, metric, selector)?;
                match group.as_str() {
                    "" => write!(f, " of {kind} {name}"),
                    group => write!(f, " of {kind}.{group} {name}"),
                }
            }
            Read::Guarded { query } => f.write_str(query),
            Read::Trigger { source } => f.write_str(source),
        }
    }
}

fn named(f: &mut fmt::Formatter<'_>, metric: &str, selector: &Selector) -> fmt::Result {
    match selector.requirements() {
        [] => f.write_str(metric),
        _ => write!(f, "{metric}{{{selector}}}"),
    }
}

impl fmt::Display for Scaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.gvk().kind;
        write!(f, "{kind} {}/{}", self.namespace, self.name)
    }
}

impl Scaler {
    /// Reads an object; `None` where it reads nothing that could be ours.
    pub(super) fn read(kind: ScalerKind, object: &DynamicObject) -> Option<Scaler> {
        let spec = &object.data["spec"];
        let reads = match kind {
            ScalerKind::Hpa => list(&spec["metrics"]).filter_map(of_metric).collect(),
            ScalerKind::ScaledObject => list(&spec["triggers"]).filter_map(of_trigger).collect(),
        };
        let meta = &object.metadata;
        let scaler = Scaler {
            kind,
            namespace: meta.namespace.clone()?,
            name: meta.name.clone()?,
            uid: meta.uid.clone()?,
            reads: each_once(reads),
        };
        (!scaler.reads.is_empty()).then_some(scaler)
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten().take(READS_MAX)
}

fn each_once(reads: Vec<Read>) -> Vec<Read> {
    let mut once: Vec<Read> = Vec::new();
    for read in reads {
        if !once.contains(&read) {
            once.push(read);
        }
    }
    once
}

fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// A MetricSpec of `autoscaling/v2`. CPU and memory are not ours.
fn of_metric(spec: &Value) -> Option<Read> {
    let named = |source: &Value| -> Option<(String, Selector)> {
        let metric = &source["metric"];
        Some((text(&metric["name"])?, selector(&metric["selector"])?))
    };
    match spec["type"].as_str()? {
        "External" => {
            let (metric, selector) = named(&spec["external"])?;
            Some(Read::External { metric, selector })
        }
        "Pods" => {
            let (metric, selector) = named(&spec["pods"])?;
            Some(Read::Pods { metric, selector })
        }
        "Object" => {
            let (metric, selector) = named(&spec["object"])?;
            let object = &spec["object"]["describedObject"];
            let version = object["apiVersion"].as_str().unwrap_or("");
            let group = version.split_once('/').map_or("", |(group, _)| group);
            Some(Read::Object {
                metric,
                selector,
                group: group.to_owned(),
                kind: text(&object["kind"])?,
                name: text(&object["name"])?,
            })
        }
        _ => None,
    }
}

/// A LabelSelector as the HPA's controller writes it into its request.
fn selector(value: &Value) -> Option<Selector> {
    let mut terms = Vec::new();
    for (key, value) in value["matchLabels"].as_object().into_iter().flatten() {
        terms.push(format!("{key}={}", value.as_str()?));
    }
    for one in list(&value["matchExpressions"]) {
        let key = one["key"].as_str()?;
        let values: Vec<&str> = list(&one["values"]).filter_map(Value::as_str).collect();
        let values = values.join(",");
        terms.push(match one["operator"].as_str()? {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return None,
        });
    }
    Selector::parse(&terms.join(",")).ok()
}

/// A trigger of a ScaledObject, where it may be answered by us.
fn of_trigger(trigger: &Value) -> Option<Read> {
    let metadata = &trigger["metadata"];
    match trigger["type"].as_str()? {
        "external" | "external-push" => {
            let named = |key: &str| Some(format!("{key} {}", text(&metadata[key])?.trim()));
            let source = named("signal").or_else(|| named("query"))?;
            Some(Read::Trigger { source })
        }
        "prometheus" => {
            let address = metadata["serverAddress"].as_str()?;
            let query = text(&metadata["query"])?;
            let is_guarded = address.split(['?', '#']).next()?.contains(GUARDED);
            is_guarded.then_some(Read::Guarded { query })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: ScalerKind, spec: Value) -> Option<Scaler> {
        let object = json!({
            "apiVersion": "x/v1", "kind": "X",
            "metadata": {"name": "a", "namespace": "n", "uid": "u"}, "spec": spec,
        });
        let object = serde_json::from_value(object).expect("an object");
        Scaler::read(kind, &object)
    }

    #[test]
    fn an_hpas_metrics_are_read_with_their_selectors_and_each_once() {
        let queue = json!({"type": "External", "external": {"metric": {"name": "q", "selector": {
            "matchLabels": {"pool": "p"}, "matchExpressions": [{"key": "m", "operator": "In", "values": ["a", "b"]}],
        }}}});
        let scaler = read(
            ScalerKind::Hpa,
            json!({"metrics": [
                queue, queue,
                {"type": "Resource", "resource": {"name": "cpu"}},
                {"type": "Pods", "pods": {"metric": {"name": "w"}}},
                {"type": "Object", "object": {"metric": {"name": "o"}, "describedObject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}},
            ]}),
        );
        let scaler = scaler.expect("it reads ours");
        assert_eq!(
            scaler.reads,
            [
                Read::External {
                    metric: "q".to_owned(),
                    selector: Selector::parse("pool=p,m in (a,b)").expect("valid"),
                },
                Read::Pods {
                    metric: "w".to_owned(),
                    selector: Selector::default(),
                },
                Read::Object {
                    metric: "o".to_owned(),
                    selector: Selector::default(),
                    group: "apps".to_owned(),
                    kind: "Deployment".to_owned(),
                    name: "d".to_owned(),
                },
            ]
        );
        let shown: Vec<String> = scaler.reads.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "q{pool=p,m in (a,b)}",
                "w of pods",
                "o of Deployment.apps d"
            ]
        );
        assert_eq!(scaler.to_string(), "HorizontalPodAutoscaler n/a");
    }

    #[test]
    fn a_scaled_objects_triggers_are_those_that_ask_us() {
        let scaler = read(
            ScalerKind::ScaledObject,
            json!({"triggers": [
                {"type": "external-push", "metadata": {"signal": " queue ", "scalerAddress": "s:9091"}},
                {"type": "external", "metadata": {"query": "sum(x)"}},
                {"type": "external", "metadata": {"other": "1"}},
                {"type": "prometheus", "metadata": {"serverAddress": "http://s:9090/guarded", "query": "sum(y)"}},
                {"type": "prometheus", "metadata": {"serverAddress": "http://prometheus:9090", "query": "sum(z)"}},
                {"type": "cron", "metadata": {}},
            ]}),
        );
        let names: Vec<String> = scaler
            .expect("it reads ours")
            .reads
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["signal queue", "query sum(x)", "sum(y)"]);
    }

    #[test]
    fn what_reads_nothing_of_ours_or_makes_no_sense_is_passed_over() {
        for spec in [
            json!(null),
            json!({"metrics": 3}),
            json!({"metrics": [null, 4, {"type": 5}, {"type": "External"}, {"type": "External", "external": {"metric": {"name": ""}}}]}),
            json!({"metrics": [{"type": "External", "external": {"metric": {"name": "x", "selector": {"matchExpressions": [{"key": "k", "operator": "Around"}]}}}}]}),
        ] {
            assert_eq!(read(ScalerKind::Hpa, spec.clone()), None, "{spec}");
            assert_eq!(read(ScalerKind::ScaledObject, spec.clone()), None, "{spec}");
        }
    }
}

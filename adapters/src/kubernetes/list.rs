//! The lists that both metrics APIs answer with, as JSON and as Kubernetes' protobuf.

use prost::Message;
use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;

use super::groups::{CUSTOM_V1BETA1, Content};
use super::wire::{ListMeta, envelope};
use crate::json;
use crate::objects::{Requirement, Selector};

/// One number.
pub(super) struct Item {
    pub(super) metric: String,
    /// Empty for metrics of objects, which tell their selector instead.
    pub(super) labels: Labels,
    pub(super) object: Option<Object>,
    pub(super) at: Timestamp,
    /// A quantity.
    pub(super) value: String,
}

/// What a metric is about.
pub(super) struct Object {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) selector: Selector,
}

/// A list of them.
pub(super) struct List {
    pub(super) group: String,
    pub(super) content: Content,
    /// In which it is answered.
    pub(super) version: &'static str,
    pub(super) items: Vec<Item>,
}

impl List {
    fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    fn is_v1beta1_of_custom(&self) -> bool {
        self.content == Content::Custom && self.version == CUSTOM_V1BETA1
    }

    /// As JSON. Every list has its items, though there be none.
    pub(super) fn json(&self) -> String {
        let mut out = "{\"kind\":".to_owned();
        json::string(&mut out, self.content.list_kind());
        out.push_str(",\"apiVersion\":");
        json::string(&mut out, &self.api_version());
        out.push_str(",\"metadata\":{},\"items\":[");
        json::joined(&mut out, &self.items, |out, item| {
            match &item.object {
                None => external(out, item),
                Some(object) if self.is_v1beta1_of_custom() => custom_v1beta1(out, item, object),
                Some(object) => custom(out, item, object),
            }
            out.push_str(",\"timestamp\":");
            json::string(out, &item.at.rfc3339_seconds());
            out.push_str(",\"value\":");
            json::string(out, &item.value);
            out.push('}');
        });
        out.push_str("]}\n");
        out
    }

    /// As a table, for `kubectl get METRIC.GROUP`: without it kubectl prints the items as objects without names.
    pub(super) fn table(&self) -> String {
        let columns = ["Object", "Metric", "Value", "Labels", "Measured"];
        let shown = columns.iter().filter(|name| match self.content {
            Content::External => **name != "Object",
            _ => **name != "Labels",
        });
        let mut out = String::from(
            "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{},\"columnDefinitions\":[",
        );
        json::joined(&mut out, shown, |out, name| {
            out.push_str("{\"name\":");
            json::string(out, name);
            out.push_str(
                ",\"type\":\"string\",\"format\":\"\",\"description\":\"\",\"priority\":0}",
            );
        });
        out.push_str("],\"rows\":[");
        json::joined(&mut out, &self.items, |out, item| {
            let labels = item.labels.iter();
            let labels = labels.map(|(name, value)| format!("{name}={value}"));
            let labels = labels.collect::<Vec<_>>().join(",");
            let at = item.at.rfc3339_seconds();
            let cells: Vec<&str> = match &item.object {
                None => vec![&item.metric, &item.value, &labels, &at],
                Some(object) => vec![&object.name, &item.metric, &item.value, &at],
            };
            out.push_str("{\"cells\":");
            json::strings(out, cells);
            out.push_str(
                ",\"object\":{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{}}}",
            );
        });
        out.push_str("]}\n");
        out
    }

    /// As protobuf, in the envelope of Kubernetes: four bytes, then `runtime.Unknown`.
    pub(super) fn protobuf(&self) -> Vec<u8> {
        let raw = match self.content {
            // CPU and memory have lists of their own.
            Content::External | Content::Resource => wire::ExternalList {
                metadata: Some(ListMeta::default()),
                items: self.items.iter().map(wire::external).collect(),
            }
            .encode_to_vec(),
            Content::Custom if self.is_v1beta1_of_custom() => wire::CustomListV1Beta1 {
                metadata: Some(ListMeta::default()),
                items: self.items.iter().map(wire::custom_v1beta1).collect(),
            }
            .encode_to_vec(),
            Content::Custom => wire::CustomList {
                metadata: Some(ListMeta::default()),
                items: self.items.iter().map(wire::custom).collect(),
            }
            .encode_to_vec(),
        };
        envelope(&self.api_version(), self.content.list_kind(), raw)
    }
}

fn external(out: &mut String, item: &Item) {
    out.push_str("{\"metricName\":");
    json::string(out, &item.metric);
    out.push_str(",\"metricLabels\":");
    json::object(out, item.labels.iter());
}

fn custom(out: &mut String, item: &Item, object: &Object) {
    described_object(out, object);
    out.push_str(",\"metric\":{\"name\":");
    json::string(out, &item.metric);
    selector(out, &object.selector);
    out.push('}');
}

/// `custom_metrics.v1beta1.MetricValue`
fn custom_v1beta1(out: &mut String, item: &Item, object: &Object) {
    described_object(out, object);
    out.push_str(",\"metricName\":");
    json::string(out, &item.metric);
    selector(out, &object.selector);
}

fn described_object(out: &mut String, object: &Object) {
    out.push_str("{\"describedObject\":{\"kind\":");
    json::string(out, &object.kind);
    for (key, value) in [
        ("namespace", &object.namespace),
        ("name", &object.name),
        ("apiVersion", &object.api_version),
    ] {
        if key == "namespace" && value.is_empty() {
            continue; // it is in none
        }
        out.push_str(&format!(",\"{key}\":"));
        json::string(out, value);
    }
    out.push('}');
}

fn selector(out: &mut String, selector: &Selector) {
    // As Kubernetes does: no selector is null.
    out.push_str(",\"selector\":");
    if selector.requirements().is_empty() {
        out.push_str("null");
        return;
    }
    out.push('{');
    let labels = match_labels(selector);
    if !labels.is_empty() {
        out.push_str("\"matchLabels\":");
        json::object(out, labels);
    }
    let others = match_expressions(selector);
    if !others.is_empty() {
        let comma = if out.ends_with('{') { "" } else { "," };
        out.push_str(comma);
        out.push_str("\"matchExpressions\":[");
        json::joined(out, others, |out, (key, operator, values)| {
            out.push_str("{\"key\":");
            json::string(out, key);
            out.push_str(&format!(",\"operator\":\"{operator}\""));
            if !values.is_empty() {
                out.push_str(",\"values\":");
                json::strings(out, values.iter().map(String::as_str));
            }
            out.push('}');
        });
        out.push(']');
    }
    out.push('}');
}

/// The labels of a selector of which one value is asked for; as `metav1.ParseToLabelSelector` parts them.
fn match_labels(selector: &Selector) -> Vec<(&str, &str)> {
    let requirements = selector.requirements().iter();
    let equal = requirements.filter_map(|requirement| match requirement {
        Requirement::Equal(key, value) => Some((key.as_str(), value.as_str())),
        _ => None,
    });
    equal.collect()
}

/// Its other requirements.
fn match_expressions(selector: &Selector) -> Vec<(&str, &'static str, &[String])> {
    let requirements = selector.requirements().iter();
    let others = requirements.filter(|one| !matches!(one, Requirement::Equal(..)));
    others.filter_map(expression).collect()
}

/// A requirement as `metav1.LabelSelectorRequirement`, which has no order; nor has a selector of a metric.
fn expression(requirement: &Requirement) -> Option<(&str, &'static str, &[String])> {
    Some(match requirement {
        Requirement::Exists(key) => (key, "Exists", &[]),
        Requirement::Absent(key) => (key, "DoesNotExist", &[]),
        Requirement::Equal(key, value) => (key, "In", std::slice::from_ref(value)),
        Requirement::NotEqual(key, value) => (key, "NotIn", std::slice::from_ref(value)),
        Requirement::In(key, values) => (key, "In", values),
        Requirement::NotIn(key, values) => (key, "NotIn", values),
        Requirement::Greater(..) | Requirement::Less(..) => return None,
    })
}

/// The messages, with the numbers of their fields as in `generated.proto` of `k8s.io/metrics` and `k8s.io/api`.
mod wire {
    use std::collections::BTreeMap;

    use prost::Message;

    use super::super::wire::{ListMeta, Quantity, Time};
    use super::{Item, match_expressions, match_labels};

    /// `external_metrics.v1beta1.ExternalMetricValueList`
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ExternalList {
        #[prost(message, optional, tag = "1")]
        pub(super) metadata: Option<ListMeta>,
        #[prost(message, repeated, tag = "2")]
        pub(super) items: Vec<External>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct External {
        #[prost(string, tag = "1")]
        pub(super) metric: String,
        #[prost(btree_map = "string, string", tag = "2")]
        pub(super) labels: BTreeMap<String, String>,
        #[prost(message, optional, tag = "3")]
        pub(super) timestamp: Option<Time>,
        #[prost(int64, optional, tag = "4")]
        pub(super) window: Option<i64>,
        #[prost(message, optional, tag = "5")]
        pub(super) value: Option<Quantity>,
    }

    /// `custom_metrics.v1beta2.MetricValueList`
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct CustomList {
        #[prost(message, optional, tag = "1")]
        pub(super) metadata: Option<ListMeta>,
        #[prost(message, repeated, tag = "2")]
        pub(super) items: Vec<Custom>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Custom {
        #[prost(message, optional, tag = "1")]
        pub(super) object: Option<Reference>,
        #[prost(message, optional, tag = "2")]
        pub(super) metric: Option<Identifier>,
        #[prost(message, optional, tag = "3")]
        pub(super) timestamp: Option<Time>,
        #[prost(int64, optional, tag = "4")]
        pub(super) window: Option<i64>,
        #[prost(message, optional, tag = "5")]
        pub(super) value: Option<Quantity>,
    }

    /// `custom_metrics.v1beta1.MetricValueList`
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct CustomListV1Beta1 {
        #[prost(message, optional, tag = "1")]
        pub(super) metadata: Option<ListMeta>,
        #[prost(message, repeated, tag = "2")]
        pub(super) items: Vec<CustomV1Beta1>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct CustomV1Beta1 {
        #[prost(message, optional, tag = "1")]
        pub(super) object: Option<Reference>,
        #[prost(string, tag = "2")]
        pub(super) metric: String,
        #[prost(message, optional, tag = "3")]
        pub(super) timestamp: Option<Time>,
        #[prost(int64, optional, tag = "4")]
        pub(super) window: Option<i64>,
        #[prost(message, optional, tag = "5")]
        pub(super) value: Option<Quantity>,
        #[prost(message, optional, tag = "6")]
        pub(super) selector: Option<LabelSelector>,
    }

    /// `v1.ObjectReference`
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Reference {
        #[prost(string, tag = "1")]
        pub(super) kind: String,
        #[prost(string, tag = "2")]
        pub(super) namespace: String,
        #[prost(string, tag = "3")]
        pub(super) name: String,
        #[prost(string, tag = "5")]
        pub(super) api_version: String,
    }

    /// `custom_metrics.v1beta2.MetricIdentifier`
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Identifier {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, optional, tag = "2")]
        pub(super) selector: Option<LabelSelector>,
    }

    /// `metav1.LabelSelector`
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct LabelSelector {
        #[prost(btree_map = "string, string", tag = "1")]
        pub(super) labels: BTreeMap<String, String>,
        #[prost(message, repeated, tag = "2")]
        pub(super) expressions: Vec<Expression>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Expression {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(string, tag = "2")]
        pub(super) operator: String,
        #[prost(string, repeated, tag = "3")]
        pub(super) values: Vec<String>,
    }

    pub(super) fn external(item: &Item) -> External {
        let labels = item.labels.iter();
        External {
            metric: item.metric.clone(),
            labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            timestamp: Some(Time::of(item.at)),
            window: None,
            value: Some(quantity(item)),
        }
    }

    pub(super) fn custom(item: &Item) -> Custom {
        Custom {
            object: reference(item),
            metric: Some(Identifier {
                name: item.metric.clone(),
                selector: selector(item),
            }),
            timestamp: Some(Time::of(item.at)),
            window: None,
            value: Some(quantity(item)),
        }
    }

    pub(super) fn custom_v1beta1(item: &Item) -> CustomV1Beta1 {
        CustomV1Beta1 {
            object: reference(item),
            metric: item.metric.clone(),
            timestamp: Some(Time::of(item.at)),
            window: None,
            value: Some(quantity(item)),
            selector: selector(item),
        }
    }

    fn reference(item: &Item) -> Option<Reference> {
        item.object.as_ref().map(|object| Reference {
            kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            api_version: object.api_version.clone(),
        })
    }

    /// `None` where nothing is selected.
    fn selector(item: &Item) -> Option<LabelSelector> {
        let selector = &item.object.as_ref()?.selector;
        let labels = match_labels(selector).into_iter();
        let expressions = match_expressions(selector).into_iter();
        let expressions = expressions.map(|(key, operator, values)| Expression {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: values.to_vec(),
        });
        (!selector.requirements().is_empty()).then(|| LabelSelector {
            labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            expressions: expressions.collect(),
        })
    }

    fn quantity(item: &Item) -> Quantity {
        Quantity {
            text: item.value.clone(),
        }
    }
}

//! One metric of one object: the call that the HPA makes for `type: Object`.
//!
//! A signal describes an object where its elements say so by a label: `inference_pool` for an InferencePool, `service`
//! for a Service. KEDA does not own this API, so it works beside it.

use super::groups::Content;
use super::list::{Item, List, Object};
use super::quantity::quantity;
use super::read::{Question, read};
use super::selector::Selector;
use super::status::Status;
use crate::form::Form;
use crate::host::Host;

/// A kind of object that signals describe.
pub(super) struct Kind {
    /// As in URLs: `resource.group`.
    pub(super) resource: &'static str,
    kind: &'static str,
    api_version: &'static str,
    /// Holds the object's name.
    label: &'static str,
}

/// The kinds; the first name is that of the API as it is now, the second that of the years before.
pub(super) const KINDS: [Kind; 3] = [
    Kind {
        resource: "inferencepools.inference.networking.k8s.io",
        kind: "InferencePool",
        api_version: "inference.networking.k8s.io/v1",
        label: "inference_pool",
    },
    Kind {
        resource: "inferencepools.inference.networking.x-k8s.io",
        kind: "InferencePool",
        api_version: "inference.networking.x-k8s.io/v1alpha2",
        label: "inference_pool",
    },
    Kind {
        resource: "services",
        kind: "Service",
        api_version: "v1",
        label: "service",
    },
];

/// What is asked for: `namespaces/{namespace}/{resource}/{name}/{metric}`.
pub(super) struct Path<'p> {
    pub(super) namespace: &'p str,
    pub(super) resource: &'p str,
    pub(super) name: &'p str,
    pub(super) metric: &'p str,
}

pub(super) async fn answer(
    host: &dyn Host,
    group: &str,
    path: Path<'_>,
    form: &Form,
) -> Result<List, Status> {
    let Path {
        namespace,
        resource,
        name,
        metric,
    } = path;
    let fits = |kind: &&Kind| kind.resource.eq_ignore_ascii_case(resource);
    let Some(kind) = KINDS.iter().find(fits) else {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.resource).collect();
        return Err(Status::not_found(format!(
            "{metric} of {resource}: signals describe {}",
            known.join(", ")
        )));
    };
    if name == "*" {
        return Err(Status::bad_request(format!(
            "{metric}: signals describe one object at a time (type: Object), not all of a kind"
        )));
    }
    let selector_text = form.get("metricLabelSelector");
    let selector = Selector::parse(selector_text)
        .map_err(|error| Status::bad_request(format!("metricLabelSelector: {error}")))?;
    let question = Question {
        metric,
        namespace,
        selector: selector.clone(),
        selector_text,
        object: Some((kind.label, name)),
    };
    let elements = read(host, question).await?;
    let [element] = elements.as_slice() else {
        // The HPA takes exactly one number; which way to make one of several is the query's to say.
        return Err(Status::unavailable(format!(
            "{metric} of {name}: {} elements are about it, and the HPA takes one: group the query by {} alone, or select \
             one (metric.selector)",
            elements.len(),
            kind.label
        )));
    };
    let value = quantity(element.value)
        .map_err(|error| Status::unavailable(format!("{metric} of {name} is unknown: {error}")))?;
    Ok(List {
        group: group.to_owned(),
        content: Content::Custom,
        items: vec![Item {
            metric: metric.to_owned(),
            labels: element.labels.clone(),
            object: Some(Object {
                api_version: kind.api_version.to_owned(),
                kind: kind.kind,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                selector,
            }),
            at: element.at,
            value,
        }],
    })
}

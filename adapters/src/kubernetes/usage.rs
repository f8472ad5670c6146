//! `metrics.k8s.io/v1beta1`: CPU and memory of pods and nodes, as `kubectl top` and the HPA's `type: Resource` read them.
//!
//! What has no number is left out of a list, and not found where it is asked for by name: the HPA has rules of its own for a
//! pod without one, and none for a 0 that nobody measured.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use stillwell_engine::Timestamp;

use super::accept::Form as Wanted;
use super::groups::RESOURCE_VERSION;
use super::quantity::{QuantityError, bytes_quantity, quantity};
use super::read::TIMEOUT_MS;
use super::selected::Selected;
use super::status::Status;
use super::wire;
use crate::form::Form;
use crate::host::{ContainerUsage, Host, ListedObject, UsageList, UsageOf};
use crate::json;
use crate::pool;

/// The entries of `APIResourceList`, as metrics-server and prometheus-adapter write them.
pub(super) const LISTED: &str = concat!(
    r#"{"name":"nodes","singularName":"","namespaced":false,"kind":"NodeMetrics","verbs":["get","list"]},"#,
    r#"{"name":"pods","singularName":"","namespaced":true,"kind":"PodMetrics","verbs":["get","list"]}"#,
);
/// The same in aggregated discovery.
pub(super) const DISCOVERED: &str = concat!(
    r#"{"resource":"nodes","responseKind":{"group":"","version":"","kind":"NodeMetrics"},"scope":"Cluster","#,
    r#""singularResource":"","verbs":["get","list"]},"#,
    r#"{"resource":"pods","responseKind":{"group":"","version":"","kind":"PodMetrics"},"scope":"Namespaced","#,
    r#""singularResource":"","verbs":["get","list"]}"#,
);

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path<'p> {
    resource: Resource,
    /// Empty for all, and for nodes.
    namespace: &'p str,
    /// One of them.
    name: Option<&'p str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Pods,
    Nodes,
}

impl Resource {
    fn plural(self) -> &'static str {
        match self {
            Resource::Pods => "pods",
            Resource::Nodes => "nodes",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Resource::Pods => "PodMetrics",
            Resource::Nodes => "NodeMetrics",
        }
    }
}

impl<'p> Path<'p> {
    /// Reads what follows the version.
    pub(super) fn parse(pieces: &[&'p str]) -> Option<Path<'p>> {
        let (resource, namespace, name) = match *pieces {
            ["nodes"] => (Resource::Nodes, "", None),
            ["nodes", name] => (Resource::Nodes, "", Some(name)),
            ["pods"] => (Resource::Pods, "", None),
            ["namespaces", namespace, "pods"] => (Resource::Pods, namespace, None),
            ["namespaces", namespace, "pods", name] => (Resource::Pods, namespace, Some(name)),
            _ => return None,
        };
        Some(Path {
            resource,
            namespace,
            name,
        })
    }
}

/// An object with its numbers.
struct Measured {
    object: ListedObject,
    at: Timestamp,
    window_ms: u64,
    /// A node is one without a name.
    containers: Vec<Container>,
}

/// Quantities.
struct Container {
    name: String,
    cpu: String,
    memory: String,
}

/// Answers a request of the group `group`, in the form that the client wants.
pub(super) async fn answer(
    host: &dyn Host,
    group: &str,
    path: Path<'_>,
    form: &Form,
    wanted: Wanted,
) -> Result<Vec<u8>, Status> {
    let mut objects = objects(host, path, form).await?;
    if let Some(name) = path.name {
        objects.retain(|object| object.name == name);
        if objects.is_empty() {
            let plural = path.resource.plural();
            return Err(Status::not_found(format!(
                "{plural}.{group} {name:?} not found"
            )));
        }
    }
    let (mut measured, missing) = measure(host, path, objects).await?;
    let of = Document {
        api_version: format!("{group}/{RESOURCE_VERSION}"),
        resource: path.resource,
    };
    let Some(name) = path.name else {
        return Ok(match wanted {
            Wanted::Protobuf => of.protobuf_list(&measured),
            _ => of.json_list(&measured).into_bytes(),
        });
    };
    match (measured.pop(), missing.first()) {
        (Some(one), _) => Ok(match wanted {
            Wanted::Protobuf => of.protobuf_one(&one),
            _ => of.json_one(&one).into_bytes(),
        }),
        (None, missing) => {
            let why = missing.map_or("it has no samples", |(_, why)| why.as_str());
            let kind = path.resource.kind().to_ascii_lowercase();
            Err(Status::not_found(format!(
                "{kind}.{group} {name:?} not found: {why}"
            )))
        }
    }
}

/// The objects that the cluster has and the request selects.
async fn objects(
    host: &dyn Host,
    path: Path<'_>,
    form: &Form,
) -> Result<Vec<ListedObject>, Status> {
    let selector = Selected::of_objects(form)?.selector;
    let fields = fields(form.get("fieldSelector"))?;
    let kinds = host.objects().kinds();
    let plural = path.resource.plural();
    let kind = kinds.named(plural, "").map(Arc::clone);
    let kind = kind.ok_or_else(|| Status::unavailable(format!("{plural}: no such kind")))?;
    let listing = host.objects();
    let listed = listing
        .list(kind, path.namespace.to_owned(), selector)
        .await
        .map_err(|why| {
            Status::unavailable(format!("which {plural} there are is unknown: {why}"))
        })?;
    let mut listed = listed.ok_or_else(|| {
        Status::unavailable(format!(
            "which {plural} there are is unknown: there is no API server to ask; run in a cluster, or give --kubeconfig"
        ))
    })?;
    listed.retain(|object| {
        fields.iter().all(|(field, value)| match *field {
            "metadata.namespace" => object.namespace == *value,
            _ => object.name == *value,
        })
    });
    Ok(listed)
}

/// The terms of a field selector: those that every kind of objects has.
fn fields(text: &str) -> Result<Vec<(&str, &str)>, Status> {
    let terms = text.split(',').filter(|term| !term.is_empty());
    terms
        .map(|term| {
            let (field, value) = term.split_once('=').unwrap_or((term, ""));
            let value = value.trim_start_matches('=');
            match field {
                "metadata.name" | "metadata.namespace" => Ok((field, value)),
                _ => Err(Status::bad_request(format!(
                    "fieldSelector: {term:?}: there are metadata.name=NAME and metadata.namespace=NAMESPACE"
                ))),
            }
        })
        .collect()
}

/// The objects that have numbers, and the names of the others with the reason.
async fn measure(
    host: &dyn Host,
    path: Path<'_>,
    objects: Vec<ListedObject>,
) -> Result<(Vec<Measured>, Vec<(String, String)>), Status> {
    let (signals, now) = (host.signals(), host.now());
    let resource = path.resource;
    let work = move |_: &pool::Within| {
        let (mut measured, mut missing) = (Vec::new(), Vec::new());
        let mut failed = None;
        // Ordered by namespace: one question for each.
        for of_one in objects.chunk_by(|one, next| one.namespace == next.namespace) {
            let names: Vec<String> = of_one.iter().map(|one| one.name.clone()).collect();
            let of = match resource {
                Resource::Pods => UsageOf::Pods {
                    namespace: &of_one[0].namespace,
                },
                Resource::Nodes => UsageOf::Nodes,
            };
            match signals.usage(of, &names, now) {
                None => failed = Some("no rules file has resourceRules".to_owned()),
                Some(Err(why)) => failed = Some(why),
                Some(Ok(list)) => take(list, of_one, (&mut measured, &mut missing)),
            }
        }
        Ok(match failed {
            // Others may have been measured; a list that is silently short says that they use nothing.
            Some(why) => Err(why),
            None => Ok((measured, missing)),
        })
    };
    let done = host.queries().run(pool::Kind::Scaler, TIMEOUT_MS, work);
    let what = resource.plural();
    let done = done
        .await
        .map_err(|error| Status::unavailable(format!("CPU and memory of {what}: {error}")))?;
    done.map_err(|why| Status::unavailable(format!("CPU and memory of {what} are unknown: {why}")))
}

/// Joins numbers to their objects.
fn take(
    list: UsageList,
    objects: &[ListedObject],
    (measured, missing): (&mut Vec<Measured>, &mut Vec<(String, String)>),
) {
    missing.extend(list.missing);
    for (name, containers) in list.told {
        let Some(object) = objects.iter().find(|object| object.name == name) else {
            continue;
        };
        let quantities: Result<Vec<Container>, QuantityError> =
            containers.into_iter().map(quantities).collect();
        match quantities {
            Ok(containers) => measured.push(Measured {
                object: object.clone(),
                at: list.at,
                window_ms: list.window_ms,
                containers,
            }),
            Err(error) => missing.push((name, error.to_string())),
        }
    }
}

fn quantities(container: ContainerUsage) -> Result<Container, QuantityError> {
    Ok(Container {
        cpu: quantity(container.cpu_cores)?,
        memory: bytes_quantity(container.memory_bytes)?,
        name: container.name,
    })
}

/// What is written about.
struct Document {
    api_version: String,
    resource: Resource,
}

impl Document {
    fn json_list(&self, measured: &[Measured]) -> String {
        let mut out = "{\"kind\":".to_owned();
        json::string(&mut out, &format!("{}List", self.resource.kind()));
        out.push_str(",\"apiVersion\":");
        json::string(&mut out, &self.api_version);
        out.push_str(",\"metadata\":{},\"items\":[");
        json::joined(&mut out, measured, |out, one| {
            out.push('{');
            self.json_fields(out, one);
            out.push('}');
        });
        out.push_str("]}\n");
        out
    }

    fn json_one(&self, one: &Measured) -> String {
        let mut out = "{\"kind\":".to_owned();
        json::string(&mut out, self.resource.kind());
        out.push_str(",\"apiVersion\":");
        json::string(&mut out, &self.api_version);
        out.push(',');
        self.json_fields(&mut out, one);
        out.push_str("}\n");
        out
    }

    fn json_fields(&self, out: &mut String, one: &Measured) {
        let object = &one.object;
        out.push_str("\"metadata\":{\"name\":");
        json::string(out, &object.name);
        if !object.namespace.is_empty() {
            out.push_str(",\"namespace\":");
            json::string(out, &object.namespace);
        }
        out.push_str(",\"creationTimestamp\":");
        json::string(out, &one.at.rfc3339_seconds());
        if !object.labels.is_empty() {
            out.push_str(",\"labels\":");
            let labels = object.labels.iter();
            json::object(out, labels.map(|(k, v)| (k.as_str(), v.as_str())));
        }
        out.push_str("},\"timestamp\":");
        json::string(out, &one.at.rfc3339_seconds());
        out.push_str(",\"window\":");
        json::string(out, &go_duration(one.window_ms));
        let usage = |out: &mut String, container: &Container| {
            out.push_str("\"usage\":{\"cpu\":");
            json::string(out, &container.cpu);
            out.push_str(",\"memory\":");
            json::string(out, &container.memory);
            out.push('}');
        };
        match self.resource {
            Resource::Nodes => {
                out.push(',');
                one.containers.iter().for_each(|node| usage(out, node));
            }
            Resource::Pods => {
                out.push_str(",\"containers\":[");
                json::joined(out, &one.containers, |out, container| {
                    out.push_str("{\"name\":");
                    json::string(out, &container.name);
                    out.push(',');
                    usage(out, container);
                    out.push('}');
                });
                out.push(']');
            }
        }
    }

    fn protobuf_list(&self, measured: &[Measured]) -> Vec<u8> {
        let metadata = Some(wire::ListMeta::default());
        let list = match self.resource {
            Resource::Nodes => wire::NodeMetricsList {
                metadata,
                items: measured.iter().map(node_message).collect(),
            }
            .encode_to_vec(),
            Resource::Pods => wire::PodMetricsList {
                metadata,
                items: measured.iter().map(pod_message).collect(),
            }
            .encode_to_vec(),
        };
        let kind = format!("{}List", self.resource.kind());
        wire::envelope(&self.api_version, &kind, list)
    }

    fn protobuf_one(&self, one: &Measured) -> Vec<u8> {
        let message = match self.resource {
            Resource::Nodes => node_message(one).encode_to_vec(),
            Resource::Pods => pod_message(one).encode_to_vec(),
        };
        wire::envelope(&self.api_version, self.resource.kind(), message)
    }
}

fn node_message(one: &Measured) -> wire::NodeMetrics {
    wire::NodeMetrics {
        metadata: Some(metadata(one)),
        timestamp: Some(wire::Time::of(one.at)),
        window: Some(window(one)),
        usage: one.containers.first().map(usage).unwrap_or_default(),
    }
}

fn pod_message(one: &Measured) -> wire::PodMetrics {
    let containers = one
        .containers
        .iter()
        .map(|container| wire::ContainerMetrics {
            name: container.name.clone(),
            usage: usage(container),
        });
    wire::PodMetrics {
        metadata: Some(metadata(one)),
        timestamp: Some(wire::Time::of(one.at)),
        window: Some(window(one)),
        containers: containers.collect(),
    }
}

fn metadata(one: &Measured) -> wire::ObjectMeta {
    let object = &one.object;
    wire::ObjectMeta {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        created: Some(wire::Time::of(one.at)),
        labels: object.labels.clone(),
    }
}

fn window(one: &Measured) -> wire::Duration {
    let ns = one.window_ms.saturating_mul(1_000_000);
    wire::Duration {
        ns: i64::try_from(ns).unwrap_or(i64::MAX),
    }
}

fn usage(container: &Container) -> BTreeMap<String, wire::Quantity> {
    let both = [("cpu", &container.cpu), ("memory", &container.memory)];
    let quantity = |text: &String| wire::Quantity { text: text.clone() };
    both.into_iter()
        .map(|(name, text)| (name.to_owned(), quantity(text)))
        .collect()
}

/// As Go prints a `time.Duration` of whole milliseconds.
fn go_duration(ms: u64) -> String {
    let (hours, minutes, rest_ms) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    let seconds = match rest_ms % 1_000 {
        0 => format!("{}s", rest_ms / 1_000),
        part => {
            let digits = format!("{part:03}");
            format!("{}.{}s", rest_ms / 1_000, digits.trim_end_matches('0'))
        }
    };
    match (hours, minutes) {
        (0, 0) if (1..1_000).contains(&ms) => format!("{ms}ms"),
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (ms, text) in [
            (0, "0s"),
            (250, "250ms"),
            (1_500, "1.5s"),
            (30_000, "30s"),
            (60_000, "1m0s"),
            (180_000, "3m0s"),
            (3_600_000, "1h0m0s"),
            (5_430_250, "1h30m30.25s"),
        ] {
            assert_eq!(go_duration(ms), text);
        }
    }

    #[test]
    fn paths_and_field_selectors_are_those_of_metrics_server() {
        let pods = |namespace, name| Path {
            resource: Resource::Pods,
            namespace,
            name,
        };
        assert_eq!(Path::parse(&["pods"]), Some(pods("", None)));
        assert_eq!(
            Path::parse(&["namespaces", "n", "pods"]),
            Some(pods("n", None))
        );
        assert_eq!(
            Path::parse(&["namespaces", "n", "pods", "p"]),
            Some(pods("n", Some("p")))
        );
        for none in [
            &["services"][..],
            &["pods", "p"],
            &["namespaces", "n", "nodes"],
        ] {
            assert_eq!(Path::parse(none), None);
        }
        assert_eq!(
            fields("metadata.name=a,metadata.namespace==b"),
            Ok(vec![("metadata.name", "a"), ("metadata.namespace", "b")])
        );
        assert!(fields("spec.nodeName=x").is_err());
    }
}

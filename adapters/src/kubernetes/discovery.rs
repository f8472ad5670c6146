//! What the aggregator and `kubectl` ask before they ask for a metric: groups, versions, resources.
//!
//! It is answered before any data is there. Metrics of rules that name no metric are listed once their series were seen.

use super::groups::{Content, Groups};
use super::usage;
use crate::host::ObjectMetric;
use crate::json;

/// The metrics that are listed.
pub(super) struct Listed {
    /// External ones, by name.
    pub(super) external: Vec<String>,
    /// Those of objects, sorted.
    pub(super) objects: Vec<ObjectMetric>,
}

/// `/apis`, for clients that know no aggregated discovery.
pub(super) fn group_list(groups: &Groups) -> String {
    let mut out = r#"{"kind":"APIGroupList","apiVersion":"v1","groups":["#.to_owned();
    json::joined(&mut out, groups.each(), |out, (name, content)| {
        out.push('{');
        group_fields(out, name, content);
        out.push('}');
    });
    out.push_str("]}\n");
    out
}

/// `/apis/{group}`.
pub(super) fn group(name: &str, content: Content) -> String {
    let mut out = r#"{"kind":"APIGroup","apiVersion":"v1","#.to_owned();
    group_fields(&mut out, name, content);
    out.push_str("}\n");
    out
}

/// `/apis/{group}/{version}`. Of metrics only `get`, so that no controller tries to list them. A metric of an object is a subresource of
/// its kind.
pub(super) fn resource_list(
    (group, version): (&str, &str),
    content: Content,
    listed: &Listed,
) -> String {
    let mut out = r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"#.to_owned();
    json::string(&mut out, &format!("{group}/{version}"));
    out.push_str(",\"resources\":[");
    let resources: Vec<(String, bool)> = match content {
        Content::Resource => {
            out.push_str(usage::LISTED);
            Vec::new()
        }
        Content::External => {
            let names = listed.external.iter();
            names.map(|name| (name.clone(), true)).collect()
        }
        Content::Custom => {
            let metrics = listed.objects.iter();
            metrics
                .map(|one| (format!("{}/{}", one.resource, one.name), one.namespaced))
                .collect()
        }
    };
    json::joined(&mut out, resources, |out, (name, namespaced)| {
        out.push_str("{\"name\":");
        json::string(out, &name);
        out.push_str(&format!(
            r#","singularName":"","namespaced":{namespaced},"kind":"#
        ));
        json::string(out, content.list_kind());
        out.push_str(r#","verbs":["get"]}"#);
    });
    out.push_str("]}\n");
    out
}

/// `/apis` as aggregated discovery, in the version that was asked for (`v2`, or `v2beta1` of Kubernetes up to 1.29).
pub(super) fn aggregated(groups: &Groups, listed: &Listed, version: &str) -> String {
    let mut out = format!(
        r#"{{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/{version}","metadata":{{}},"items":["#
    );
    json::joined(&mut out, groups.each(), |out, (group, content)| {
        out.push_str("{\"metadata\":{\"name\":");
        json::string(out, group);
        out.push_str("},\"versions\":[");
        json::joined(out, content.versions(), |out, version| {
            out.push_str("{\"version\":");
            json::string(out, version);
            out.push_str(",\"resources\":[");
            match content {
                Content::External => external_resources(out, (group, version), &listed.external),
                Content::Custom => object_resources(out, (group, version), &listed.objects),
                Content::Resource => out.push_str(usage::DISCOVERED),
            }
            out.push_str("],\"freshness\":\"Current\"}");
        });
        out.push_str("]}");
    });
    out.push_str("]}\n");
    out
}

fn external_resources(out: &mut String, of: (&str, &str), names: &[String]) {
    json::joined(out, names, |out, name| {
        out.push_str("{\"resource\":");
        json::string(out, name);
        // kubectl finds the resource of a kind again by the kind: of one kind for all it would ask for any of them.
        response_kind(out, of, name);
        out.push_str(r#","scope":"Namespaced","singularResource":"","verbs":["get"]}"#);
    });
}

fn object_resources(out: &mut String, of: (&str, &str), metrics: &[ObjectMetric]) {
    let kinds = metrics.chunk_by(|one, next| one.resource == next.resource);
    json::joined(out, kinds, |out, of_kind| {
        let scope = match of_kind[0].namespaced {
            true => "Namespaced",
            false => "Cluster",
        };
        out.push_str("{\"resource\":");
        json::string(out, &of_kind[0].resource);
        // Nobody reads the objects themselves here; an empty kind keeps older clients from a nil pointer.
        out.push_str(&format!(
            r#","responseKind":{{"group":"","version":"","kind":""}},"scope":"{scope}","singularResource":"","#
        ));
        out.push_str(r#""verbs":[],"subresources":["#);
        json::joined(out, of_kind, |out, one| {
            out.push_str("{\"subresource\":");
            json::string(out, &one.name);
            response_kind(out, of, Content::Custom.list_kind());
            out.push_str(r#","verbs":["get"]}"#);
        });
        out.push_str("]}");
    });
}

fn response_kind(out: &mut String, (group, version): (&str, &str), kind: &str) {
    out.push_str(",\"responseKind\":{\"group\":");
    json::string(out, group);
    out.push_str(",\"version\":");
    json::string(out, version);
    out.push_str(",\"kind\":");
    json::string(out, kind);
    out.push('}');
}

fn group_fields(out: &mut String, name: &str, content: Content) {
    let version = |out: &mut String, version: &str| {
        out.push_str("{\"groupVersion\":");
        json::string(out, &format!("{name}/{version}"));
        out.push_str(",\"version\":");
        json::string(out, version);
        out.push('}');
    };
    out.push_str("\"name\":");
    json::string(out, name);
    out.push_str(",\"versions\":[");
    json::joined(out, content.versions(), |out, one| version(out, one));
    out.push_str("],\"preferredVersion\":");
    version(out, content.version());
}

//! What the aggregator and `kubectl` ask before they ask for a metric: groups, versions, resources.
//!
//! All of it is configured, none of it measured: it is answered before any data is there.

use super::custom::KINDS;
use super::groups::{Content, Groups};
use crate::json;

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

/// `/apis/{group}/{version}`: every metric that is configured. Only `get`, so that no controller tries to list them.
pub(super) fn resource_list(group: &str, content: Content, metrics: &[String]) -> String {
    let mut out = r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"#.to_owned();
    json::string(&mut out, &format!("{group}/{}", content.version()));
    out.push_str(",\"resources\":[");
    json::joined(&mut out, resources(content, metrics), |out, name| {
        out.push_str("{\"name\":");
        json::string(out, &name);
        out.push_str(r#","singularName":"","namespaced":true,"kind":"#);
        json::string(out, content.list_kind());
        out.push_str(r#","verbs":["get"]}"#);
    });
    out.push_str("]}\n");
    out
}

/// Resources of the plain list; a metric of an object is a subresource of its kind.
fn resources(content: Content, metrics: &[String]) -> Vec<String> {
    match content {
        Content::External => metrics.to_vec(),
        Content::Custom => KINDS
            .iter()
            .flat_map(|kind| {
                metrics
                    .iter()
                    .map(|metric| format!("{}/{metric}", kind.resource))
            })
            .collect(),
    }
}

/// `/apis` as aggregated discovery, in the version that was asked for (`v2`, or `v2beta1` of Kubernetes up to 1.29).
pub(super) fn aggregated(groups: &Groups, metrics: &[String], version: &str) -> String {
    let mut out = format!(
        r#"{{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/{version}","metadata":{{}},"items":["#
    );
    json::joined(&mut out, groups.each(), |out, (group, content)| {
        out.push_str("{\"metadata\":{\"name\":");
        json::string(out, group);
        out.push_str("},\"versions\":[{\"version\":");
        json::string(out, content.version());
        out.push_str(",\"resources\":[");
        match content {
            Content::External => json::joined(out, metrics, |out, name| {
                out.push_str("{\"resource\":");
                json::string(out, name);
                response_kind(out, group, content);
                out.push_str(r#","scope":"Namespaced","singularResource":"","verbs":["get"]}"#);
            }),
            Content::Custom => {
                json::joined(out, &KINDS, |out, kind| {
                    out.push_str("{\"resource\":");
                    json::string(out, kind.resource);
                    // Nobody reads the objects themselves here; an empty kind keeps older clients from a nil pointer.
                    out.push_str(r#","responseKind":{"group":"","version":"","kind":""},"scope":"Namespaced","#);
                    out.push_str(r#""singularResource":"","verbs":[],"subresources":["#);
                    json::joined(out, metrics, |out, name| {
                        out.push_str("{\"subresource\":");
                        json::string(out, name);
                        response_kind(out, group, content);
                        out.push_str(r#","verbs":["get"]}"#);
                    });
                    out.push_str("]}");
                })
            }
        }
        out.push_str("],\"freshness\":\"Current\"}]}");
    });
    out.push_str("]}\n");
    out
}

fn response_kind(out: &mut String, group: &str, content: Content) {
    out.push_str(",\"responseKind\":{\"group\":");
    json::string(out, group);
    out.push_str(",\"version\":");
    json::string(out, content.version());
    out.push_str(",\"kind\":");
    json::string(out, content.list_kind());
    out.push('}');
}

fn group_fields(out: &mut String, name: &str, content: Content) {
    let version = {
        let mut text = "{\"groupVersion\":".to_owned();
        json::string(&mut text, &format!("{name}/{}", content.version()));
        text.push_str(",\"version\":");
        json::string(&mut text, content.version());
        text.push('}');
        text
    };
    out.push_str("\"name\":");
    json::string(out, name);
    out.push_str(&format!(
        ",\"versions\":[{version}],\"preferredVersion\":{version}"
    ));
}

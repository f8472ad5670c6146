//! What the aggregator and `kubectl` ask before they ask for a metric: groups, versions, resources.
//!
//! All of it is configured, none of it measured: it is answered before any data is there.

use crate::json;

/// The only version there is.
pub(super) const VERSION: &str = "v1beta1";

/// `/apis`, for clients that know no aggregated discovery.
pub(super) fn group_list(groups: &[String]) -> String {
    let mut out = r#"{"kind":"APIGroupList","apiVersion":"v1","groups":["#.to_owned();
    json::joined(&mut out, groups, |out, name| {
        out.push('{');
        group_fields(out, name);
        out.push('}');
    });
    out.push_str("]}\n");
    out
}

/// `/apis/{group}`.
pub(super) fn group(name: &str) -> String {
    let mut out = r#"{"kind":"APIGroup","apiVersion":"v1","#.to_owned();
    group_fields(&mut out, name);
    out.push_str("}\n");
    out
}

/// `/apis/{group}/v1beta1`: every metric that is configured. Only `get`, so that no controller tries to list them.
pub(super) fn resource_list(group: &str, metrics: &[String]) -> String {
    let mut out = r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"#.to_owned();
    json::string(&mut out, &format!("{group}/{VERSION}"));
    out.push_str(",\"resources\":[");
    json::joined(&mut out, metrics, |out, name| {
        out.push_str("{\"name\":");
        json::string(out, name);
        out.push_str(r#","singularName":"","namespaced":true,"kind":"ExternalMetricValueList","verbs":["get"]}"#);
    });
    out.push_str("]}\n");
    out
}

/// `/apis` as aggregated discovery, v2.
pub(super) fn aggregated(groups: &[String], metrics: &[String]) -> String {
    let mut out =
        r#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":["#
            .to_owned();
    json::joined(&mut out, groups, |out, group| {
        out.push_str("{\"metadata\":{\"name\":");
        json::string(out, group);
        out.push_str(&format!(
            "}},\"versions\":[{{\"version\":\"{VERSION}\",\"resources\":["
        ));
        json::joined(out, metrics, |out, name| {
            out.push_str("{\"resource\":");
            json::string(out, name);
            out.push_str(",\"responseKind\":{\"group\":");
            json::string(out, group);
            out.push_str(&format!(
                ",\"version\":\"{VERSION}\",\"kind\":\"ExternalMetricValueList\"}}"
            ));
            out.push_str(r#","scope":"Namespaced","singularResource":"","verbs":["get"]}"#);
        });
        out.push_str("],\"freshness\":\"Current\"}]}");
    });
    out.push_str("]}\n");
    out
}

fn group_fields(out: &mut String, name: &str) {
    let version = {
        let mut text = "{\"groupVersion\":".to_owned();
        json::string(&mut text, &format!("{name}/{VERSION}"));
        text.push_str(&format!(",\"version\":\"{VERSION}\"}}"));
        text
    };
    out.push_str("\"name\":");
    json::string(out, name);
    out.push_str(&format!(
        ",\"versions\":[{version}],\"preferredVersion\":{version}"
    ));
}

//! What a request asks for, as a Kubernetes API server reads its method and path (`k8s.io/apiserver/pkg/endpoints/request`).

use axum::http::Method;
use stillwell_adapters::form::decode;

use crate::cluster::Attributes;

/// A path in pieces, decoded; as long as the router and this read the same pieces, what is authorised is what is served.
pub(super) struct RequestPath(Vec<String>);

impl RequestPath {
    /// `None` where a piece holds a slash: other parsers would see more pieces.
    pub(super) fn parse(path: &str) -> Option<RequestPath> {
        let pieces = path.split('/').filter(|piece| !piece.is_empty());
        let pieces: Vec<String> = pieces.map(|piece| decode(piece, false)).collect();
        let whole = pieces.iter().all(|piece| !piece.contains('/'));
        whole.then_some(RequestPath(pieces))
    }

    pub(super) fn pieces(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }

    /// Answered to everybody: the kubelet has no certificate.
    pub(super) fn is_health(&self) -> bool {
        matches!(*self.pieces(), ["livez" | "readyz" | "healthz"])
    }

    /// What the API server looks at on its own account, in the name of `system:kube-aggregator` without any group.
    pub(super) fn is_discovery(&self) -> bool {
        matches!(
            *self.pieces(),
            ["apis"] | ["apis", _] | ["apis", _, _] | ["openapi", ..] | ["version"]
        )
    }

    /// What to ask a SubjectAccessReview about.
    pub(super) fn attributes(&self, method: &Method, watch: bool) -> Attributes {
        let pieces = self.pieces();
        let [root @ ("apis" | "api"), rest @ ..] = pieces.as_slice() else {
            return self.path(method);
        };
        let (group, version, mut rest) = match (*root, rest) {
            ("apis", [group, version, rest @ ..]) if !rest.is_empty() => (*group, *version, rest),
            ("api", [version, rest @ ..]) if !rest.is_empty() => ("", *version, rest),
            _ => return self.path(method),
        };
        let mut verb = match *method {
            Method::GET | Method::HEAD => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        };
        if let [special @ ("watch" | "proxy"), after @ ..] = rest
            && !after.is_empty()
        {
            (verb, rest) = (special, after);
        }
        let mut namespace = "";
        if let ["namespaces", name, after @ ..] = rest {
            namespace = name;
            if !matches!(after, [] | ["status" | "finalize", ..]) {
                rest = after;
            }
        }
        let (resource, name) = (rest[0], rest.get(1).copied().unwrap_or(""));
        let subresource = match verb {
            "proxy" => "",
            _ => rest.get(2).copied().unwrap_or(""),
        };
        if name.is_empty() {
            verb = match verb {
                "get" if watch => "watch",
                "get" => "list",
                "delete" => "deletecollection",
                other => other,
            };
        }
        let text = str::to_owned;
        Attributes::Resource {
            verb: text(verb),
            namespace: text(namespace),
            group: text(group),
            version: text(version),
            resource: text(resource),
            subresource: text(subresource),
            name: text(name),
        }
    }

    fn path(&self, method: &Method) -> Attributes {
        Attributes::Path {
            verb: method.as_str().to_ascii_lowercase(),
            path: format!("/{}", self.0.join("/")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_an_api_server_reads_them() {
        let get = Method::GET;
        let base = "/apis/external.metrics.k8s.io/v1beta1";
        let resource =
            |verb: &str, namespace: &str, resource: &str, name: &str, subresource: &str| {
                Attributes::Resource {
                    verb: verb.to_owned(),
                    namespace: namespace.to_owned(),
                    group: "external.metrics.k8s.io".to_owned(),
                    version: "v1beta1".to_owned(),
                    resource: resource.to_owned(),
                    subresource: subresource.to_owned(),
                    name: name.to_owned(),
                }
            };
        for (method, path, watch, expected) in [
            (
                &get,
                "/namespaces/default/igw_queue_depth",
                false,
                resource("list", "default", "igw_queue_depth", "", ""),
            ),
            (
                &get,
                "//namespaces/default//igw_queue_depth/",
                false,
                resource("list", "default", "igw_queue_depth", "", ""),
            ),
            (
                &get,
                "/namespaces/default/igw_queue_depth",
                true,
                resource("watch", "default", "igw_queue_depth", "", ""),
            ),
            (
                &Method::HEAD,
                "/namespaces/default/q",
                false,
                resource("list", "default", "q", "", ""),
            ),
            (
                &get,
                "/namespaces/a/services/b/q",
                false,
                resource("get", "a", "services", "b", "q"),
            ),
            (
                &get,
                "/namespaces/a/services/b",
                false,
                resource("get", "a", "services", "b", ""),
            ),
            (
                &get,
                "/namespaces/a",
                false,
                resource("get", "a", "namespaces", "a", ""),
            ),
            (
                &get,
                "/namespaces/a/status",
                false,
                resource("get", "a", "namespaces", "a", "status"),
            ),
            (&get, "/q", false, resource("list", "", "q", "", "")),
            (
                &get,
                "/watch/namespaces/a/q",
                false,
                resource("watch", "a", "q", "", ""),
            ),
            (
                &Method::POST,
                "/namespaces/a/q",
                false,
                resource("create", "a", "q", "", ""),
            ),
            (
                &Method::DELETE,
                "/namespaces/a/q",
                false,
                resource("deletecollection", "a", "q", "", ""),
            ),
            (
                &Method::DELETE,
                "/namespaces/a/q/x",
                false,
                resource("delete", "a", "q", "x", ""),
            ),
            (
                &get,
                "/namespaces/a%20b/%71",
                false,
                resource("list", "a b", "q", "", ""),
            ),
        ] {
            let path = RequestPath::parse(&format!("{base}{path}")).expect("no slash inside");
            assert_eq!(path.attributes(method, watch), expected);
        }
        for path in [
            "/apis",
            "/apis/g",
            "/apis/g/v1",
            "/version",
            "/metrics",
            "/openapi/v2",
        ] {
            let expected = Attributes::Path {
                verb: "get".to_owned(),
                path: path.to_owned(),
            };
            let path = RequestPath::parse(path).expect("no slash inside");
            assert_eq!(path.attributes(&get, false), expected);
        }
        assert!(RequestPath::parse("/apis/g/v/namespaces/a%2fb/q").is_none());
    }

    #[test]
    fn only_these_paths_are_open() {
        for (path, health, discovery) in [
            ("/livez", true, false),
            ("/readyz/", true, false),
            ("/healthz", true, false),
            ("/healthz/x", false, false),
            ("/apis", false, true),
            ("/apis/", false, true),
            ("/apis/g/v", false, true),
            ("/apis/g/v/q", false, false),
            ("/openapi/v3/apis/g", false, true),
            ("/version", false, true),
            ("/metrics", false, false),
            ("/", false, false),
        ] {
            let parsed = RequestPath::parse(path).expect("no slash inside");
            assert_eq!(
                (parsed.is_health(), parsed.is_discovery()),
                (health, discovery),
                "{path}"
            );
        }
    }
}

//! Every error of the API, as its clients see it.

use super::*;

#[tokio::test]
async fn every_error_is_a_status_with_a_reason_and_no_retry_after() {
    let metric = |rest: &str| format!("{BASE}/namespaces/default/{rest}");
    let object =
        |rest: &str| format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/{rest}");
    for (method, path, accept, code, reason, says) in [
        (
            Method::GET,
            metric("absent"),
            "*/*",
            404,
            "NotFound",
            "there are igw_queue_depth, nan",
        ),
        (
            Method::GET,
            metric("down"),
            "*/*",
            503,
            "ServiceUnavailable",
            "connection refused",
        ),
        (
            Method::GET,
            metric("nan"),
            "*/*",
            503,
            "ServiceUnavailable",
            "NaN",
        ),
        (
            Method::GET,
            metric("private"),
            "*/*",
            403,
            "Forbidden",
            "namespace default",
        ),
        (
            Method::GET,
            metric("igw_queue_depth?labelSelector=a%3E1"),
            "*/*",
            400,
            "BadRequest",
            "at byte 1",
        ),
        (
            Method::GET,
            metric("igw_queue_depth?labelSelector=inference_pool%3Dz"),
            "*/*",
            404,
            "NotFound",
            "none of its 2",
        ),
        (
            Method::GET,
            metric("igw_queue_depth?watch=true"),
            "*/*",
            405,
            "MethodNotAllowed",
            "watch",
        ),
        (
            Method::POST,
            metric("igw_queue_depth"),
            "*/*",
            405,
            "MethodNotAllowed",
            "POST",
        ),
        (
            Method::DELETE,
            BASE.to_owned(),
            "*/*",
            405,
            "MethodNotAllowed",
            "DELETE",
        ),
        (
            Method::GET,
            metric("igw_queue_depth"),
            "application/cbor",
            406,
            "NotAcceptable",
            "application/json",
        ),
        (
            Method::GET,
            format!("{BASE}/igw_queue_depth"),
            "*/*",
            404,
            "NotFound",
            "namespaces/NAMESPACE/METRIC",
        ),
        (
            Method::GET,
            "/apis/custom.metrics.k8s.io/v1".to_owned(),
            "*/*",
            404,
            "NotFound",
            "custom.metrics.k8s.io/v1beta2",
        ),
        (
            Method::GET,
            "/apis/apps/v1".to_owned(),
            "*/*",
            404,
            "NotFound",
            "there is /apis/external.metrics.k8s.io/v1beta1",
        ),
        (
            Method::GET,
            metric("a/b"),
            "*/*",
            404,
            "NotFound",
            "there is",
        ),
        (
            Method::GET,
            BASE.to_owned(),
            "application/vnd.kubernetes.protobuf",
            406,
            "NotAcceptable",
            "application/json",
        ),
        (
            Method::GET,
            object("services/p/igw_queue_depth"),
            "*/*",
            404,
            "NotFound",
            "service",
        ),
        (
            Method::GET,
            object("brands.cheese.io/p/igw_queue_depth"),
            "*/*",
            404,
            "NotFound",
            "no such kind of object",
        ),
        (
            Method::GET,
            object("nodes/p/igw_queue_depth"),
            "*/*",
            404,
            "NotFound",
            "ask for nodes/p/igw_queue_depth",
        ),
        (
            Method::GET,
            "/apis/custom.metrics.k8s.io/v1beta2/pods/p/igw_queue_depth".to_owned(),
            "*/*",
            404,
            "NotFound",
            "ask for namespaces/NAMESPACE/pods/p/igw_queue_depth",
        ),
        (
            Method::GET,
            object("pods/*/silent"),
            "*/*",
            503,
            "ServiceUnavailable",
            "of any of the pods: c: connection refused",
        ),
        (
            Method::GET,
            object("pods/*/silent?labelSelector=app%3Dx"),
            "*/*",
            503,
            "ServiceUnavailable",
            "there is no API server to ask",
        ),
        (
            Method::GET,
            object("inferencepools.inference.networking.k8s.io/other/igw_queue_depth"),
            "*/*",
            404,
            "NotFound",
            "inference_pool",
        ),
        (
            Method::GET,
            object("pods/p/igw_queue_depth"),
            "*/*",
            404,
            "NotFound",
            "none of its 2 elements is about \"p\" by its label pod",
        ),
        (
            Method::GET,
            object("services/*/igw_queue_depth"),
            "*/*",
            404,
            "NotFound",
            "there is no metric igw_queue_depth of services; there is one of",
        ),
        (
            Method::GET,
            object("services/p/igw_queue_depth?metricLabelSelector=%21%21"),
            "*/*",
            400,
            "BadRequest",
            "metricLabelSelector",
        ),
        (
            Method::GET,
            object("services/p/down"),
            "*/*",
            503,
            "ServiceUnavailable",
            "connection refused",
        ),
    ] {
        let (status, headers, body) = ask(method, &path, &[("accept", accept)]).await;
        assert_eq!(status.as_u16(), code, "{path}");
        assert_eq!(
            (&body["kind"], &body["status"], &body["code"]),
            (&json!("Status"), &json!("Failure"), &json!(code))
        );
        assert_eq!(body["reason"], json!(reason), "{path}");
        let message = body["message"].as_str().unwrap_or("");
        assert!(message.contains(says), "{path}: {message}");
        assert!(!headers.contains_key("retry-after"));
    }
}

//! The API as its clients see it: every path, every error.

use axum::body::to_bytes;
use axum::http::Request;
use serde_json::{Value, json};
use stillwell_engine::promql::QueryError;
use stillwell_engine::{Timestamp, labels};
use tower_service::Service;

use super::*;
use crate::host::{Description, Element, Reading, Signals};
use crate::test_host::TestHost;

struct Fixed;

impl Signals for Fixed {
    fn guarded(&self, _: &str, _: Timestamp) -> Result<Reading, QueryError> {
        Ok(Reading::Forbidden)
    }

    fn describe(&self, _: Option<&str>, _: Timestamp) -> Vec<Description> {
        Vec::new()
    }

    fn names(&self) -> Vec<String> {
        ["igw_queue_depth", "nan", "private", "down"]
            .map(str::to_owned)
            .to_vec()
    }

    fn read(
        &self,
        name: &str,
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<Reading> {
        let element = |labels, value| Element {
            labels,
            value,
            at: now,
        };
        let reading = match name.to_ascii_lowercase().as_str() {
            "igw_queue_depth" => Some(Reading::Value(vec![
                element(labels! { "inference_pool" => "p" }, 250.0),
                element(labels! { "inference_pool" => "q" }, 1.5),
            ])),
            "nan" => Some(Reading::Value(vec![
                element(labels! { "a" => "1" }, 1.0),
                element(labels! { "a" => "2" }, f64::NAN),
            ])),
            "private" if namespace == "mine" => {
                Some(Reading::Value(vec![element(labels! {}, 1.0)]))
            }
            "private" => Some(Reading::Forbidden),
            "down" => Some(Reading::Unknown(
                "target http://a:1/metrics: connection refused".to_owned(),
            )),
            _ => None,
        };
        reading.map(|reading| reading.select(selector))
    }
}

async fn ask(
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
) -> (StatusCode, HeaderMap, Value) {
    let host = Arc::new(TestHost::new(Arc::new(Fixed)));
    let mut router = router(host, vec!["external.metrics.k8s.io".to_owned()]);
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a valid request");
    let response = router.call(request).await.expect("a router answers");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a whole body");
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    (parts.status, parts.headers, body)
}

const BASE: &str = "/apis/external.metrics.k8s.io/v1beta1";

#[tokio::test]
async fn a_metric_answers_with_the_list_that_the_hpa_reads() {
    let hpa = [("accept", "application/vnd.kubernetes.protobuf, */*")];
    for name in ["igw_queue_depth", "IGW_Queue_Depth"] {
        let (status, headers, body) = ask(
            Method::GET,
            &format!("{BASE}/namespaces/default/{name}"),
            &hpa,
        )
        .await;
        assert_eq!(
            (status, &headers["content-type"]),
            (
                StatusCode::OK,
                &HeaderValue::from_static("application/json")
            )
        );
        let time = "2026-11-23T19:00:00Z";
        assert_eq!(
            body,
            json!({
                "kind": "ExternalMetricValueList",
                "apiVersion": "external.metrics.k8s.io/v1beta1",
                "metadata": {},
                "items": [
                    {"metricName": name, "metricLabels": {"inference_pool": "p"}, "timestamp": time, "value": "250"},
                    {"metricName": name, "metricLabels": {"inference_pool": "q"}, "timestamp": time, "value": "1500m"},
                ],
            })
        );
    }
    let selected =
        format!("{BASE}/namespaces/default/igw_queue_depth?labelSelector=inference_pool%3Dq");
    let (_, _, body) = ask(Method::GET, &selected, &[]).await;
    assert_eq!(body["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn every_error_is_a_status_with_a_reason_and_no_retry_after() {
    let metric = |rest: &str| format!("{BASE}/namespaces/default/{rest}");
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
            "/apis/custom.metrics.k8s.io/v1beta1".to_owned(),
            "*/*",
            404,
            "NotFound",
            "GROUP",
        ),
        (Method::GET, metric("a/b"), "*/*", 404, "NotFound", "GROUP"),
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

#[tokio::test]
async fn discovery_is_answered_in_every_form() {
    let group = "external.metrics.k8s.io";
    let (_, _, list) = ask(Method::GET, BASE, &[]).await;
    assert_eq!(
        (&list["kind"], &list["groupVersion"]),
        (
            &json!("APIResourceList"),
            &json!(format!("{group}/v1beta1"))
        )
    );
    assert_eq!(
        list["resources"][0],
        json!({"name": "igw_queue_depth", "singularName": "", "namespaced": true, "kind": "ExternalMetricValueList", "verbs": ["get"]})
    );
    let (_, _, one) = ask(Method::GET, &format!("/apis/{group}"), &[]).await;
    assert_eq!(
        (&one["kind"], &one["preferredVersion"]["version"]),
        (&json!("APIGroup"), &json!("v1beta1"))
    );
    let (_, _, plain) = ask(Method::GET, "/apis", &[("accept", "application/json")]).await;
    assert_eq!(
        (&plain["kind"], &plain["groups"][0]["name"]),
        (&json!("APIGroupList"), &json!(group))
    );

    let aggregated = [("accept", accept::AGGREGATED)];
    let (status, headers, body) = ask(Method::GET, "/apis", &aggregated).await;
    assert_eq!(
        (status, headers["content-type"].as_bytes()),
        (StatusCode::OK, accept::AGGREGATED.as_bytes())
    );
    let version = &body["items"][0]["versions"][0];
    assert_eq!(
        (&version["freshness"], &version["resources"][0]["resource"]),
        (&json!("Current"), &json!("igw_queue_depth"))
    );
    let etag = headers["etag"].to_str().expect("text").to_owned();
    let (status, _, _) = ask(
        Method::GET,
        "/apis",
        &[aggregated[0], ("if-none-match", &etag)],
    )
    .await;
    assert_eq!(status, StatusCode::NOT_MODIFIED);
}

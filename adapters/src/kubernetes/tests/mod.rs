//! The API as its clients see it: every path, every error.

mod errors;
mod protobuf;

use axum::body::to_bytes;
use axum::http::Request;
use serde_json::{Value, json};
use stillwell_engine::promql::QueryError;
use stillwell_engine::{Timestamp, labels};
use tower_service::Service;

use self::protobuf::{bytes, one};
use super::*;
use crate::host::{
    Description, Element, NoNumbers, ObjectList, ObjectMetric, ObjectQuestion, Reading, Signals,
};
use crate::objects::{Kinds, Selector};
use crate::test_host::TestHost;

struct Fixed;

impl Signals for Fixed {
    fn guarded(
        &self,
        _: &str,
        _: (Timestamp, Option<crate::ClientAddress>),
        _: &stillwell_engine::promql::EvalOptions<'_>,
    ) -> Result<Reading, QueryError> {
        Ok(Reading::Forbidden)
    }

    fn describe(&self, _: Option<&str>, _: Timestamp) -> Vec<Description> {
        Vec::new()
    }

    fn read_object(
        &self,
        question: &ObjectQuestion<'_>,
        name: &str,
        now: Timestamp,
    ) -> Option<Reading> {
        let label = question.kind.label();
        let selector = question.selector.clone().and_equal(label, name);
        self.read(question.metric, question.namespace, &selector, now)
    }

    fn read_objects(
        &self,
        question: &ObjectQuestion<'_>,
        _: Option<&[String]>,
        now: Timestamp,
    ) -> Option<Result<ObjectList, NoNumbers>> {
        let element = |name: &str, value| {
            let element = Element {
                labels: labels! {},
                value,
                at: now,
            };
            (name.to_owned(), element)
        };
        let missing = vec![("c".to_owned(), "connection refused".to_owned())];
        match question.metric {
            "vllm|waiting:now.x" => Some(Ok(ObjectList {
                told: vec![element("a", 2.5), element("b", 0.0)],
                missing,
            })),
            "silent" => Some(Ok(ObjectList {
                told: Vec::new(),
                missing,
            })),
            _ => None,
        }
    }

    fn object_metrics(&self, kinds: &Kinds) -> Vec<ObjectMetric> {
        let metric = |kind: &str| {
            let kind = kinds.named(kind, "").expect("usual");
            ObjectMetric {
                resource: kind.path(),
                name: "igw_queue_depth".to_owned(),
                namespaced: kind.namespaced,
            }
        };
        ["inferencepool", "namespace"].map(metric).to_vec()
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
    let (status, headers, body) = ask_bytes(method, path, headers).await;
    (
        status,
        headers,
        serde_json::from_slice(&body).unwrap_or(Value::Null),
    )
}

async fn ask_bytes(
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let host = Arc::new(TestHost::new(Arc::new(Fixed)));
    let groups = Groups {
        external: vec![EXTERNAL.to_owned(), "metrics.example.com".to_owned()],
        custom: vec![CUSTOM.to_owned()],
        resource: Vec::new(),
    };
    let mut router = router(host, groups);
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a valid request");
    let response = router.call(request).await.expect("a router answers");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a whole body");
    (parts.status, parts.headers, body.to_vec())
}

const BASE: &str = "/apis/external.metrics.k8s.io/v1beta1";

#[tokio::test]
async fn a_metric_answers_with_the_list_that_the_hpa_reads() {
    let hpa = [("accept", "application/json, */*")];
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

    let custom = "/apis/custom.metrics.k8s.io/v1beta2";
    let (_, _, list) = ask(Method::GET, custom, &[]).await;
    let pool = "inferencepools.inference.networking.k8s.io";
    assert_eq!(
        list["resources"][0],
        json!({"name": format!("{pool}/igw_queue_depth"), "singularName": "", "namespaced": true, "kind": "MetricValueList", "verbs": ["get"]})
    );

    let (v2, beta) = (accept::Discovery::V2, accept::Discovery::V2Beta1);
    let mut etags = Vec::new();
    for form in [v2, beta] {
        let aggregated = [("accept", form.content_type())];
        let (status, headers, body) = ask(Method::GET, "/apis", &aggregated).await;
        assert_eq!(
            (status, headers["content-type"].as_bytes()),
            (StatusCode::OK, form.content_type().as_bytes())
        );
        assert_eq!(
            body["apiVersion"],
            json!(format!("apidiscovery.k8s.io/{}", form.version()))
        );
        let groups: Vec<&Value> = body["items"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| &item["metadata"]["name"])
            .collect();
        assert_eq!(
            groups,
            [group, "metrics.example.com", "custom.metrics.k8s.io"]
        );
        let version = &body["items"][0]["versions"][0];
        assert_eq!(
            (&version["freshness"], &version["resources"][0]["resource"]),
            (&json!("Current"), &json!("igw_queue_depth"))
        );
        let objects = &body["items"][2]["versions"][0]["resources"][0];
        assert_eq!(
            (
                &objects["resource"],
                &objects["subresources"][0]["subresource"]
            ),
            (&json!(pool), &json!("igw_queue_depth"))
        );
        let etag = headers["etag"].to_str().expect("text").to_owned();
        for (known, code) in [
            (etag.clone(), 304),
            (format!("\"other\", W/{etag}"), 304),
            ("\"other\"".to_owned(), 200),
        ] {
            let asked = [aggregated[0], ("if-none-match", known.as_str())];
            let (status, headers, _) = ask(Method::GET, "/apis", &asked).await;
            assert_eq!(status.as_u16(), code, "{known}");
            assert_eq!(headers["etag"], etag.as_str());
        }
        etags.push(etag);
    }
    assert_ne!(etags[0], etags[1]);
    let (status, _, body) = ask(Method::GET, "/apis/", &[]).await;
    assert_eq!(
        (status, &body["kind"]),
        (StatusCode::OK, &json!("APIGroupList"))
    );
}

#[tokio::test]
async fn a_metric_of_an_object_is_one_number_about_it() {
    let pool = "inferencepools.inference.networking.k8s.io";
    let path = format!(
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/{pool}/q/IGW_queue_depth?metricLabelSelector=inference_pool%21%3Dx"
    );
    let (status, headers, body) = ask(Method::GET, &path, &[]).await;
    assert_eq!(
        (status, &headers["content-type"]),
        (
            StatusCode::OK,
            &HeaderValue::from_static("application/json")
        )
    );
    let selector = json!({"matchExpressions": [{"key": "inference_pool", "operator": "NotIn", "values": ["x"]}]});
    assert_eq!(
        body,
        json!({
            "kind": "MetricValueList",
            "apiVersion": "custom.metrics.k8s.io/v1beta2",
            "metadata": {},
            "items": [{
                "describedObject": {
                    "kind": "InferencePool",
                    "namespace": "default",
                    "name": "q",
                    "apiVersion": "inference.networking.k8s.io/v1",
                },
                "metric": {"name": "IGW_queue_depth", "selector": selector},
                "timestamp": "2026-11-23T19:00:00Z",
                "value": "1500m",
            }],
        })
    );
}

#[tokio::test]
async fn all_pods_of_a_metric_are_a_list_in_both_versions() {
    let metric = "vllm%7Cwaiting%3Anow.x";
    let list = |version: &str| {
        format!(
            "/apis/custom.metrics.k8s.io/{version}/namespaces/default/pods/*/{metric}?metricLabelSelector=a%3Db,c"
        )
    };
    let selector = json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]});
    let object = |name: &str| json!({"kind": "Pod", "namespace": "default", "name": name, "apiVersion": "v1"});
    let (name, time) = ("vllm|waiting:now.x", "2026-11-23T19:00:00Z");
    let (status, _, body) = ask(Method::GET, &list("v1beta2"), &[]).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let values = [("a", "2500m"), ("b", "0")];
    let items = values.map(|(pod, value)| {
        json!({"describedObject": object(pod), "metric": {"name": name, "selector": selector}, "timestamp": time, "value": value})
    });
    assert_eq!(
        (&body["apiVersion"], &body["items"]),
        (&json!("custom.metrics.k8s.io/v1beta2"), &json!(items))
    );
    let (_, _, body) = ask(Method::GET, &list("v1beta1"), &[]).await;
    let items = values.map(|(pod, value)| {
        json!({"describedObject": object(pod), "metricName": name, "selector": selector, "timestamp": time, "value": value})
    });
    assert_eq!(
        (&body["apiVersion"], &body["items"]),
        (&json!("custom.metrics.k8s.io/v1beta1"), &json!(items))
    );

    let accept = [("accept", "application/vnd.kubernetes.protobuf, */*")];
    let (_, _, body) = ask_bytes(Method::GET, &list("v1beta1"), &accept).await;
    let message = one(body.strip_prefix(b"k8s\0").expect("the magic"), 2);
    let first = &bytes(&message, 2)[0];
    assert_eq!(one(first, 2), name.as_bytes());
    assert_eq!(one(&one(first, 5), 1), b"2500m");
    assert_eq!(one(&one(&one(first, 6), 1), 1), b"a", "matchLabels");
    assert_eq!(one(&one(&one(first, 6), 2), 1), b"c", "matchExpressions");
}

#[tokio::test]
async fn a_metric_of_a_namespace_has_a_path_of_its_own_and_is_in_none() {
    for path in [
        "namespaces/p/metrics/igw_queue_depth",
        "namespaces/p/igw_queue_depth",
    ] {
        let path = format!("/apis/custom.metrics.k8s.io/v1beta1/{path}");
        let (status, _, body) = ask(Method::GET, &path, &[]).await;
        // The fixed signal names no namespace; what matters is that it was asked about one.
        assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
        let message = body["message"].as_str().unwrap_or("");
        assert!(
            message.contains("about \"p\" by its label namespace"),
            "{message}"
        );
    }
    let (_, _, list) = ask(Method::GET, "/apis/custom.metrics.k8s.io/v1beta1", &[]).await;
    assert_eq!(
        list["resources"][1],
        json!({"name": "namespaces/igw_queue_depth", "singularName": "", "namespaced": false, "kind": "MetricValueList", "verbs": ["get"]})
    );
    assert_eq!(list["groupVersion"], json!("custom.metrics.k8s.io/v1beta1"));
}

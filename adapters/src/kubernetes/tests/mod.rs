//! The API as its clients see it: every path, every error.

mod discovery;
mod errors;
mod objects;
mod protobuf;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
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

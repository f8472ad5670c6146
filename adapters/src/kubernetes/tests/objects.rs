//! Metrics of objects, as the HPA reads them.

use super::*;

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

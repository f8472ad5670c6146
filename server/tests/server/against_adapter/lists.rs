//! Which external and custom metrics there are, and what is said of each.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Given, binaries, pair};
use crate::common::{TestTarget, eventually};

const RULES: &str = r#"
rules:
- seriesQuery: '{__name__=~"^vllm:num_requests_(waiting|running)$",namespace!="",pod!=""}'
  resources:
    overrides:
      namespace: {resource: namespace}
      pod: {resource: pod}
  name: {matches: "^vllm:(.*)$", as: "vllm_${1}"}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- seriesQuery: 'vllm:num_requests_waiting{namespace!=""}'
  resources: {template: <<.Resource>>}
  name: {matches: "", as: "vllm_waiting_of_all"}
  metricsQuery: sum by(namespace) (vllm:num_requests_waiting)
- seriesQuery: '{__name__=~"^vllm:.*_total$",pod!=""}'
  seriesFilters: [{isNot: "ignored"}]
  resources: {template: <<.Resource>>}
  name: {matches: "^vllm:(.*)_total$", as: "${1}_per_second"}
  metricsQuery: 'max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
- seriesQuery: queue_size
  resources: {overrides: {namespace: {resource: namespace}, inference_pool: {group: inference.networking.k8s.io, resource: inferencepools}, deploy: {group: apps, resource: deployment}, service: {resource: services}}}
  metricsQuery: sum by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})
- seriesQuery: queue_size
  resources: {overrides: {namespace: {resource: namespace}, brand: {group: cheese.io, resource: brand}}}
  name: {as: "cheese|queue"}
  metricsQuery: 'avg(queue_size{<<range $key, $value := .LabelValuesByName>><<if ne $key "namespace">><<$key>>="<<$value>>",<<end>><<end>>}) by (<<index .GroupBySlice 0>>)'
- seriesQuery: node_load
  resources: {overrides: {node: {resource: node}}}
  metricsQuery: 'max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
externalRules:
- seriesQuery: '{__name__="queue_size",inference_pool!=""}'
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (deploy)
  resources: {overrides: {namespace: {resource: namespace}}}
- seriesQuery: '{__name__=~"^vllm:num_requests_waiting$"}'
  resources: {template: <<.Resource>>}
  name: {matches: "", as: "my_custom_metric"}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- seriesQuery: node_load
  resources: {namespaced: false}
  name: {as: load}
  metricsQuery: 'max(node_load)'
- seriesQuery: node_load
  resources: {namespaced: false}
  name: {as: load_by_node}
  metricsQuery: 'max by (node) (node_load)'
"#;

const GATEWAY: &str = "queue_size{namespace=\"a\",inference_pool=\"p\",deploy=\"d\",service=\"s\",brand=\"x\"} 3.25\n\
queue_size{namespace=\"a\",inference_pool=\"p\",deploy=\"e\",service=\"s\"} 0.0004\n\
queue_size{namespace=\"b\",inference_pool=\"p\",deploy=\"d\",service=\"s\"} 50000000\n\
node_load{node=\"n1\"} 1.5\nnode_load{node=\"n2\"} 0.25\n";

fn pod_page(waiting: u32) -> String {
    format!(
        "vllm:num_requests_waiting{{engine=\"0\"}} {waiting}\nvllm:num_requests_waiting{{engine=\"1\"}} 1\n\
         vllm:num_requests_running{{engine=\"0\"}} 2\nvllm:tokens_total{{engine=\"0\"}} 1234\nvllm:ignored_total 7\n"
    )
}

/// Pods, a gateway and the objects that they are about; in a folder of this name.
pub(super) async fn metrics_of_objects(name: &'static str) -> Given<'static> {
    let pod = |namespace: &str, name: &str| format!("{{namespace: {namespace}, pod: {name}}}");
    let targets = vec![
        (TestTarget::with_page(&pod_page(4)).await, pod("a", "one")),
        (TestTarget::with_page(&pod_page(0)).await, pod("a", "two")),
        (TestTarget::with_page(&pod_page(7)).await, pod("b", "one")),
        (TestTarget::with_page(GATEWAY).await, "{}".to_owned()),
    ];
    let objects = vec![
        ("/api/v1/namespaces/a/pods", "one", json!({"app": "vllm"})),
        (
            "/api/v1/namespaces/a/pods",
            "two",
            json!({"app": "vllm", "tier": "x"}),
        ),
        (
            "/api/v1/namespaces/a/pods",
            "silent",
            json!({"app": "vllm"}),
        ),
        ("/api/v1/namespaces/b/pods", "one", json!({"app": "vllm"})),
        ("/apis/apps/v1/namespaces/a/deployments", "d", json!({})),
        (
            "/apis/apps/v1/namespaces/a/deployments",
            "e",
            json!({"app": "e"}),
        ),
        ("/api/v1/nodes", "n1", json!({})),
        ("/api/v1/nodes", "n2", json!({})),
        ("/api/v1/namespaces", "a", json!({})),
        ("/api/v1/namespaces", "b", json!({})),
    ];
    Given {
        name,
        rules: RULES,
        targets,
        objects,
    }
}

/// Names with whether they are namespaced.
fn listed(list: &Value) -> BTreeSet<String> {
    let resources = list["resources"].as_array().into_iter().flatten();
    resources
        .map(|one| format!("{} {} {}", one["name"], one["namespaced"], one["kind"]))
        .collect()
}

/// What an HPA reads of an answer: objects or labels, and values; without times.
fn told(list: &Value) -> BTreeSet<String> {
    let items = list["items"].as_array().into_iter().flatten();
    items
        .map(|item| {
            let mut item = item.clone();
            if let Some(object) = item["describedObject"].as_object_mut() {
                object.remove("apiVersion");
            }
            let map = item.as_object_mut().expect("an object");
            map.remove("timestamp");
            // The adapter makes 0 of less than a thousandth; here it is told, so that what waits never reads as idle.
            item.to_string().replace("\"400u\"", "\"0\"")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_answers_are_those_of_prometheus_adapter() {
    let Some((prometheus, adapter)) = binaries() else {
        return;
    };
    let pair = pair(
        &prometheus,
        &adapter,
        &metrics_of_objects("against-adapter").await,
    )
    .await;
    for group in [
        "custom.metrics.k8s.io/v1beta1",
        "custom.metrics.k8s.io/v1beta2",
        "external.metrics.k8s.io/v1beta1",
    ] {
        let path = format!("/apis/{group}");
        let ours = listed(&pair.ours(&path).await.1);
        // It asks Prometheus every second, and Prometheus scrapes every second.
        eventually("the adapter lists metrics", || async {
            let listed_all = |list: &Value| listed(list).iter().any(|one| one.contains("load"));
            pair.theirs(&path)
                .await
                .is_some_and(|(_, list)| listed_all(&list))
        })
        .await;
        let theirs = listed(&pair.theirs(&path).await.expect("it answers").1);
        let (more, less): (Vec<_>, Vec<_>) = (
            ours.difference(&theirs).collect(),
            theirs.difference(&ours).collect(),
        );
        assert!(
            more.is_empty() && less.is_empty(),
            "{group}: only ours {more:?}, only theirs {less:?}"
        );
        assert!(!ours.is_empty(), "{group}");
    }
    let (custom, external) = (
        "/apis/custom.metrics.k8s.io/v1beta2",
        "/apis/external.metrics.k8s.io/v1beta1",
    );
    let pool = "inferencepools.inference.networking.k8s.io";
    for path in [
        format!("{custom}/namespaces/a/pods/*/vllm_num_requests_waiting?labelSelector=app%3Dvllm"),
        format!("{custom}/namespaces/a/pods/*/vllm_num_requests_waiting?labelSelector=tier"),
        format!(
            "{custom}/namespaces/a/pods/*/vllm_num_requests_waiting?labelSelector=app+in+(vllm),!tier"
        ),
        format!("{custom}/namespaces/a/pods/*/vllm_num_requests_waiting"),
        format!(
            "{custom}/namespaces/a/pods/*/vllm_num_requests_waiting?metricLabelSelector=engine%3D0"
        ),
        format!(
            "{custom}/namespaces/a/pods/*/vllm_num_requests_waiting?metricLabelSelector=engine+in+(0,1),engine+notin+(7)"
        ),
        format!("{custom}/namespaces/b/pods/one/vllm_num_requests_running"),
        format!("{custom}/namespaces/a/pods/two/vllm_num_requests_waiting"),
        format!("{custom}/namespaces/a/pods/*/tokens_per_second"),
        format!("{custom}/namespaces/a/metrics/vllm_waiting_of_all"),
        format!("{custom}/namespaces/b/metrics/vllm_num_requests_waiting"),
        format!("{custom}/namespaces/*/metrics/vllm_waiting_of_all"),
        format!("{custom}/namespaces/a/{pool}/p/queue_size"),
        format!("{custom}/namespaces/b/{pool}/p/queue_size"),
        format!("{custom}/namespaces/a/deployments.apps/d/queue_size"),
        format!("{custom}/namespaces/a/deployments.apps/e/queue_size"),
        format!("{custom}/namespaces/a/deployments.apps/*/queue_size"),
        format!("{custom}/namespaces/a/deployments.apps/*/queue_size?labelSelector=app%3De"),
        format!("{custom}/namespaces/a/services/s/queue_size"),
        format!("{custom}/namespaces/a/brands.cheese.io/x/cheese%7Cqueue"),
        format!("{custom}/nodes/n1/node_load"),
        format!("{custom}/nodes/*/node_load"),
        format!("{external}/namespaces/a/queue_size"),
        format!("{external}/namespaces/a/queue_size?labelSelector=deploy%3Dd"),
        format!("{external}/namespaces/b/queue_size?labelSelector=deploy+in+(d,e)"),
        format!("{external}/namespaces/a/my_custom_metric"),
        format!("{external}/namespaces/a/my_custom_metric?labelSelector=pod%3Dtwo"),
        format!("{external}/namespaces/a/load"),
        // Neither query holds the selector.
        format!("{external}/namespaces/a/load?labelSelector=a%3Db"),
        format!("{external}/namespaces/a/load_by_node"),
        format!("{external}/namespaces/a/load_by_node?labelSelector=node%3Dn1"),
        format!("{external}/namespaces/a/load_by_node?labelSelector=node+in+(n3),a"),
    ] {
        for path in [path.clone(), path.replace("v1beta2", "v1beta1")] {
            let expected = pair.theirs(&path).await.expect("it answers");
            let (code, ours) = pair.ours(&path).await;
            assert_eq!(
                (code, told(&ours)),
                (expected.0, told(&expected.1)),
                "{path}\nours {ours}\ntheirs {}",
                expected.1
            );
            assert_eq!(
                (code, &ours["kind"], &ours["apiVersion"]),
                (200, &expected.1["kind"], &expected.1["apiVersion"]),
                "{path}"
            );
        }
    }
    // Where there is no number the adapter says so by 404 or by an empty list; here there is a reason.
    for path in [
        format!("{custom}/namespaces/a/pods/three/vllm_num_requests_waiting"),
        format!("{custom}/namespaces/x/pods/one/vllm_num_requests_waiting"),
        format!("{custom}/namespaces/a/deployments.apps/mistyped/queue_size"),
        format!(
            "{custom}/namespaces/a/pods/one/vllm_num_requests_waiting?metricLabelSelector=engine%3D9"
        ),
        format!("{custom}/namespaces/a/pods/*/vllm_num_requests_waiting?labelSelector=app%3Dnone"),
        format!("{custom}/namespaces/a/services/s/vllm_num_requests_waiting"),
        format!("{custom}/namespaces/a/pods/one/nothing"),
        format!("{external}/namespaces/c/queue_size"),
        format!("{external}/namespaces/a/nothing"),
    ] {
        let (code, theirs) = pair.theirs(&path).await.expect("it answers");
        let (our_code, ours) = pair.ours(&path).await;
        let nothing = code == 404 || theirs["items"].as_array().is_some_and(Vec::is_empty);
        assert!(nothing, "{path}: {code} {theirs}");
        // What is not there is as little there for either.
        let is_told = our_code == 404 || (our_code == 503 && code != 404);
        assert!(is_told, "{path}: {our_code} {ours}, theirs {code}");
        assert_eq!(ours["kind"], "Status", "{path}");
    }
    assert!(!pair.api.asked("/api/v1/namespaces/a/pods").is_empty());
    pair.running.stop().await;
}

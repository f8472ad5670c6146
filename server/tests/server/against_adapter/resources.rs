//! CPU and memory of pods and nodes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Given, binaries, pair};
use crate::common::{Act, TestTarget, eventually};

const RESOURCE_RULES: &str = r#"
resourceRules:
  cpu:
    containerQuery: sum by (<<.GroupBy>>) (container_cpu_usage_seconds_total{container!="",<<.LabelMatchers>>})
    nodeQuery: sum(container_cpu_usage_seconds_total{<<.LabelMatchers>>, id='/'}) by (<<.GroupBy>>)
    resources: {overrides: {node: {resource: node}, namespace: {resource: namespace}, pod: {resource: pod}}}
    containerLabel: container
  memory:
    containerQuery: sum by (<<.GroupBy>>) (container_memory_working_set_bytes{container!="",<<.LabelMatchers>>})
    nodeQuery: sum(container_memory_working_set_bytes{<<.LabelMatchers>>,id='/'}) by (<<.GroupBy>>)
    resources: {overrides: {node: {resource: node}, namespace: {resource: namespace}, pod: {resource: pod}}}
    containerLabel: container
  window: 3m
"#;

/// CPU and memory of a container, by namespace, pod and its own name.
type Container<'c> = (&'c str, &'c str, &'c str, Option<f64>, Option<f64>);

/// A page of cAdvisor.
fn cadvisor(node: (f64, f64), containers: &[Container<'_>]) -> String {
    let mut page = format!(
        "container_cpu_usage_seconds_total{{id=\"/\"}} {}\ncontainer_memory_working_set_bytes{{id=\"/\"}} {}\n",
        node.0, node.1
    );
    for (namespace, pod, container, cpu, memory) in containers {
        let labels = format!(
            "{{id=\"/x\",namespace=\"{namespace}\",pod=\"{pod}\",container=\"{container}\"}}"
        );
        for (name, value) in [
            ("container_cpu_usage_seconds_total", cpu),
            ("container_memory_working_set_bytes", memory),
        ] {
            if let Some(value) = value {
                page.push_str(&format!("{name}{labels} {value}\n"));
            }
        }
    }
    page
}

/// Names with their numbers, without times.
fn used(list: &Value) -> BTreeSet<String> {
    let items = list["items"].as_array().cloned();
    let items = items.unwrap_or_else(|| vec![list.clone()]);
    let one = |item: &Value| {
        let mut containers: Vec<String> = item["containers"]
            .as_array()
            .into_iter()
            .flatten()
            // The adapter makes 0 of less than a thousandth of a core.
            .map(|container| container.to_string().replace("\"400u\"", "\"0\""))
            .collect();
        containers.sort();
        let meta = &item["metadata"];
        format!(
            "{}/{} {} {} {} {containers:?}",
            meta["namespace"], meta["name"], meta["labels"], item["window"], item["usage"]
        )
    };
    items.iter().map(one).collect()
}

/// CPU and memory: what has both is told as the adapter tells it; a container that has one of them only is told by the adapter
/// with 0 for the other, and here its pod is left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cpu_and_memory_are_those_of_prometheus_adapter() {
    let Some((prometheus, adapter)) = binaries() else {
        return;
    };
    let pages = [
        cadvisor(
            (3.217, 7_340_032_000.0),
            &[
                ("a", "one", "c", Some(0.25), Some(104_857_600.0)),
                ("a", "one", "d", Some(0.0004), Some(1_000_001.0)),
                ("a", "two", "c", Some(1.5), Some(1_023.0)),
                ("b", "one", "c", Some(12.0), Some(2_147_483_648.0)),
                ("a", "half", "c", Some(1.0), Some(5.0)),
                ("a", "half", "d", None, Some(5.0)),
            ],
        ),
        cadvisor((0.5, 1_000.0), &[("a", "nothing", "c", None, Some(7.0))]),
    ];
    let mut targets = Vec::new();
    for (node, page) in ["n1", "n2"].iter().zip(&pages) {
        targets.push((
            TestTarget::with_page(page).await,
            format!("{{node: {node}}}"),
        ));
    }
    let mut objects = vec![
        (
            "/api/v1/nodes",
            "n1",
            json!({"kubernetes.io/hostname": "n1"}),
        ),
        ("/api/v1/nodes", "n2", json!({})),
        ("/api/v1/nodes", "silent", json!({})),
        ("/api/v1/namespaces", "a", json!({})),
    ];
    for (name, labels) in [
        ("a/one", json!({"app": "x"})),
        ("a/two", json!({"app": "y"})),
        ("a/half", json!({"app": "y"})),
        ("a/nothing", json!({})),
        ("a/silent", json!({})),
        ("b/one", json!({"app": "x"})),
    ] {
        objects.push(("/api/v1/pods", name, labels.clone()));
        let (list, name) = match name.split_once('/').expect("both") {
            ("a", name) => ("/api/v1/namespaces/a/pods", name),
            (_, name) => ("/api/v1/namespaces/b/pods", name),
        };
        objects.push((list, name, labels));
    }
    let given = Given {
        name: "against-adapter-resources",
        rules: RESOURCE_RULES,
        targets,
        objects,
    };
    let pair = pair(&prometheus, &adapter, &given).await;
    let group = "/apis/metrics.k8s.io/v1beta1";
    eventually("the adapter knows pods", || async {
        let pods = pair.theirs(&format!("{group}/pods")).await;
        pods.is_some_and(|(_, list)| list["items"].as_array().is_some_and(|all| !all.is_empty()))
    })
    .await;
    let theirs = pair.theirs(group).await.expect("it answers").1;
    assert_eq!(pair.ours(group).await.1, theirs);
    for path in [
        "nodes",
        "nodes/n1",
        "nodes?labelSelector=kubernetes.io%2Fhostname%3Dn1",
        "pods?labelSelector=app%3Dx",
        "namespaces/b/pods",
        "namespaces/a/pods?labelSelector=app%3Dx",
        "namespaces/a/pods?fieldSelector=metadata.name%3Dtwo",
        "namespaces/a/pods/one",
    ] {
        let path = format!("{group}/{path}");
        let (code, theirs) = pair.theirs(&path).await.expect("it answers");
        let (our_code, ours) = pair.ours(&path).await;
        assert_eq!(
            (our_code, used(&ours)),
            (code, used(&theirs)),
            "{path}\n{ours}\n{theirs}"
        );
        assert_eq!((our_code, &ours["kind"]), (200, &theirs["kind"]), "{path}");
        assert_eq!(ours["apiVersion"], theirs["apiVersion"]);
    }
    let (_, theirs) = pair
        .theirs(&format!("{group}/namespaces/a/pods"))
        .await
        .expect("it answers");
    let (_, ours) = pair.ours(&format!("{group}/namespaces/a/pods")).await;
    let (theirs, ours) = (used(&theirs), used(&ours));
    let more: Vec<&String> = theirs.difference(&ours).collect();
    assert!(
        ours.is_subset(&theirs) && ours.len() == 2,
        "{ours:?}\n{theirs:?}"
    );
    assert!(more.iter().all(|one| one.contains("half")), "{more:?}");
    for path in [
        "nodes/silent",
        "nodes/none",
        "namespaces/a/pods/silent",
        "namespaces/a/pods/nothing",
        "namespaces/a/pods/none",
    ] {
        let path = format!("{group}/{path}");
        let (code, theirs) = pair.theirs(&path).await.expect("it answers");
        let (our_code, ours) = pair.ours(&path).await;
        assert_eq!(
            (our_code, code, &ours["reason"]),
            (404, 404, &theirs["reason"]),
            "{path}\n{ours}\n{theirs}"
        );
    }
    // A node whose page cannot be had takes its own pods with it and no others.
    given.targets[1].0.set(Act::Reset);
    eventually("its numbers are gone", || async {
        let (_, nodes) = pair.ours(&format!("{group}/nodes")).await;
        used(&nodes).len() == 1
    })
    .await;
    assert_eq!(
        used(&pair.ours(&format!("{group}/namespaces/a/pods")).await.1).len(),
        2
    );
    pair.running.stop().await;
}

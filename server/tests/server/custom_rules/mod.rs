//! prometheus-adapter's rules for objects over the custom metrics API, as HPAs of `type: Pods` and `type: Object` read it.

mod beside_external_rules;
mod label_selectors;
mod missing;
mod why;

use crate::common::api_server::{ApiServer, Mood};
use crate::common::certificates::Files;
use crate::common::{TestTarget, eventually, get, server_of, settings, state, until};
use serde_json::{Value, json};
use std::net::SocketAddr;
use stillwell::serve::{ApiOptions, Running};
use stillwell_adapters::host::Health;

const RULES: &str = r#"
rules:
- seriesQuery: '{__name__=~"^vllm:num_requests_(waiting|running)$",namespace!="",pod!=""}'
  resources:
    overrides:
      namespace: {resource: namespace}
      pod: {resource: pod}
  name: {matches: "^vllm:(.*)$", as: "vllm_${1}"}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- seriesQuery: 'vllm:num_requests_waiting'
  resources: {overrides: {namespace: {resource: "namespace"}}}
  name: {matches: "", as: "vllm_waiting_of_all"}
  metricsQuery: sum by(namespace) (vllm:num_requests_waiting)
- seriesQuery: 'vllm:num_requests_waiting{pod!=""}'
  resources: {template: <<.Resource>>}
  name: {as: "prometheus.googleapis.com|vllm:num_requests_waiting|gauge"}
  metricsQuery: 'max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
- seriesQuery: '{__name__=~"^queue_.*"}'
  seriesFilters: [{isNot: "_total$"}]
  resources: {overrides: {namespace: {resource: namespace}, inference_pool: {group: inference.networking.k8s.io, resource: inferencepool}, deploy: {group: apps, resource: deployment}}}
  metricsQuery: sum by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})
- seriesQuery: node_load
  resources: {overrides: {node: {resource: node}}}
  metricsQuery: 'max(<<.Series>>{<<.LabelMatchers>>}) by (<<index .GroupBySlice 0>>)'
- seriesQuery: queue_size
  resources: {overrides: {namespace: {resource: namespace}, deploy: {group: apps, resource: deployment}}}
  name: {as: by_name}
  metricsQuery: 'sum(queue_size{deploy=~"<<index .LabelValuesByName "deploy">>"}) by (deploy)'
"#;

fn pod_page(waiting: u32, model: &str) -> String {
    format!(
        "vllm:num_requests_waiting{{engine=\"0\",model_name=\"{model}\"}} {waiting}\n\
         vllm:num_requests_waiting{{engine=\"1\",model_name=\"{model}\"}} 1\n\
         vllm:num_requests_running{{engine=\"0\",model_name=\"{model}\"}} 2\n"
    )
}

const GATEWAY: &str = "queue_size{namespace=\"a\",inference_pool=\"p\",deploy=\"d\"} 3\n\
queue_size{namespace=\"a\",inference_pool=\"p\",deploy=\"e\"} 4\n\
queue_size{namespace=\"b\",inference_pool=\"p\",deploy=\"d\"} 50\n\
queue_seen_total{namespace=\"a\",inference_pool=\"p\"} 9\n\
node_load{node=\"n1\"} 1.5\nnode_load{node=\"n2\"} 0.25\n";

/// Three pods and a gateway, and a server that scrapes them by these rules.
struct Setup {
    pods: Vec<TestTarget>,
    running: Running,
    address: SocketAddr,
    folder: std::path::PathBuf,
}

impl Setup {
    async fn end(self) {
        std::fs::remove_dir_all(&self.folder).ok();
        self.running.stop().await;
    }
}

async fn setup(name: &str) -> Setup {
    setup_in(name, None).await
}

async fn setup_in(name: &str, kubeconfig: Option<std::path::PathBuf>) -> Setup {
    let pods = vec![
        TestTarget::with_page(&pod_page(4, "m")).await,
        TestTarget::with_page(&pod_page(0, "m")).await,
        TestTarget::with_page(&pod_page(7, "n")).await,
    ];
    let gateway = TestTarget::with_page(GATEWAY).await;
    let folder = std::env::temp_dir().join(format!("stillwell-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    std::fs::write(folder.join("rules.yaml"), RULES).expect("a temporary file");
    let target = |target: &TestTarget, namespace: &str, pod: &str| {
        format!(
            "{{targets: ['{}'], labels: {{namespace: {namespace}, pod: {pod}}}}}",
            target.address
        )
    };
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: vllm\n  static_configs: [{}, {}, {}]\n\
         - job_name: epp\n  static_configs: [{{targets: ['{}']}}]\n\
         external_metrics: {{insecure: true, rules_files: [rules.yaml]}}\n",
        target(&pods[0], "a", "one"),
        target(&pods[1], "a", "two"),
        target(&pods[2], "b", "one"),
        gateway.address
    );
    let config_file = folder.join("stillwell.yml");
    let apis = ApiOptions {
        listen: vec!["127.0.0.1:0".to_owned()],
        kubeconfig,
        ..ApiOptions::default()
    };
    let running = server_of(&text, settings(Some(config_file)), apis).await;
    let address = running.addresses[0];
    until(&running.app, "scrapes", |app| {
        let up = |target: &TestTarget| state(app, target).health() == Health::Up;
        pods.iter().all(up) && up(&gateway)
    })
    .await;
    Setup {
        pods,
        running,
        address,
        folder,
    }
}

const GROUP: &str = "/apis/custom.metrics.k8s.io";

/// Values by object, or the reason.
async fn told(
    address: SocketAddr,
    version: &str,
    path: &str,
) -> Result<Vec<(String, String)>, String> {
    let (status, _, body) = get(address, &format!("{GROUP}/{version}/{path}")).await;
    let list: Value = serde_json::from_str(&body).expect("JSON");
    if status != 200 {
        return Err(format!(
            "{status} {}",
            list["message"].as_str().unwrap_or("")
        ));
    }
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items
        .iter()
        .map(|item| (text(&item["describedObject"]["name"]), text(&item["value"])))
        .collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_for_objects_are_served_as_the_adapter_serves_them() {
    let setup = setup("custom-rules").await;
    let address = setup.address;
    let odd = "prometheus.googleapis.com%7Cvllm%3Anum_requests_waiting%7Cgauge";
    for (path, expected) in [
        (
            "namespaces/a/pods/one/vllm_num_requests_waiting".to_owned(),
            &[("one", "5")][..],
        ),
        (
            "namespaces/b/pods/one/vllm_num_requests_waiting".to_owned(),
            &[("one", "8")],
        ),
        (
            "namespaces/a/pods/two/VLLM_num_requests_running".to_owned(),
            &[("two", "2")],
        ),
        (
            "namespaces/a/pods/*/vllm_num_requests_waiting".to_owned(),
            &[("one", "5"), ("two", "1")],
        ),
        (
            "namespaces/a/pods/*/vllm_num_requests_waiting?metricLabelSelector=engine%3D0"
                .to_owned(),
            &[("one", "4"), ("two", "0")],
        ),
        (
            "namespaces/b/pods/*/vllm_num_requests_waiting".to_owned(),
            &[("one", "8")],
        ),
        (
            format!("namespaces/a/pods/*/{odd}"),
            &[("one", "4"), ("two", "1")],
        ),
        (format!("namespaces/a/pods/one/{odd}"), &[("one", "4")]),
        (
            "namespaces/a/metrics/vllm_waiting_of_all".to_owned(),
            &[("a", "6")],
        ),
        (
            "namespaces/b/metrics/vllm_waiting_of_all".to_owned(),
            &[("b", "8")],
        ),
        (
            "namespaces/*/metrics/vllm_waiting_of_all".to_owned(),
            &[("a", "6"), ("b", "8")],
        ),
        (
            "namespaces/a/metrics/vllm_num_requests_waiting".to_owned(),
            &[("a", "6")],
        ),
        (
            "namespaces/a/inferencepools.inference.networking.k8s.io/p/queue_size".to_owned(),
            &[("p", "7")],
        ),
        (
            "namespaces/a/deployments.apps/d/queue_size".to_owned(),
            &[("d", "3")],
        ),
        (
            "namespaces/a/deployments.apps/*/queue_size".to_owned(),
            &[("d", "3"), ("e", "4")],
        ),
        (
            "namespaces/a/deployments.apps/e/by_name".to_owned(),
            &[("e", "4")],
        ),
        // A name of Google's managed Prometheus needs no rule.
        (
            "namespaces/a/pods/*/prometheus.googleapis.com%7Cvllm:num_requests_running%7Cgauge"
                .to_owned(),
            &[("one", "2"), ("two", "2")],
        ),
        ("nodes/n1/node_load".to_owned(), &[("n1", "1500m")]),
        (
            "nodes/*/node_load".to_owned(),
            &[("n1", "1500m"), ("n2", "250m")],
        ),
    ] {
        for version in ["v1beta1", "v1beta2"] {
            let expected = expected
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            assert_eq!(
                told(address, version, &path).await,
                Ok(expected.collect()),
                "{path}"
            );
        }
    }
    for (path, says) in [
        (
            "namespaces/a/pods/three/vllm_num_requests_waiting",
            "404 vllm_num_requests_waiting is not there for pods \"three\" in namespace \"a\": no series of it has \
             pod=\"three\", and every target that could has answered; seen: \"one\", \"two\"",
        ),
        (
            "namespaces/a/pods/one/queue_size",
            "404 there is no metric queue_size of pods; there is one of",
        ),
        (
            "namespaces/a/deployments.apps/d/queue_seen_total",
            "404 there is no metric queue_seen_total of deployments.apps; there are by_name, queue_size",
        ),
        (
            "namespaces/a/pods/*/vllm_num_requests_waiting?labelSelector=app%3Dvllm",
            "503 vllm_num_requests_waiting: labelSelector \"app=vllm\" is about the labels of pods, and there is no API server",
        ),
        (
            "namespaces/c/pods/*/vllm_num_requests_waiting",
            "404 vllm_num_requests_waiting is not there for any pods in namespace \"c\": no series of it has \
             namespace=\"c\", and every target that could has answered; seen: \"a\"",
        ),
        (
            "namespaces/a/services/x/vllm_num_requests_waiting",
            "404 there is no metric vllm_num_requests_waiting of services; there is one of",
        ),
    ] {
        let why = told(address, "v1beta2", path).await.expect_err(path);
        assert!(why.starts_with(says), "{path}: {why}");
    }
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_listed_is_what_the_adapter_lists() {
    let setup = setup("custom-list").await;
    let (_, _, body) = get(setup.address, &format!("{GROUP}/v1beta1")).await;
    let list: Value = serde_json::from_str(&body).expect("JSON");
    let listed: Vec<String> = list["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            format!(
                "{} {}",
                one["name"].as_str().unwrap_or(""),
                one["namespaced"]
            )
        })
        .collect();
    let pool = "inferencepools.inference.networking.k8s.io";
    let odd = "prometheus.googleapis.com|vllm:num_requests_waiting|gauge";
    // The filter leaves out the counter.
    let expected = [
        "deployments.apps/by_name true".to_owned(),
        "deployments.apps/queue_size true".to_owned(),
        format!("{pool}/queue_size true"),
        "jobs.batch/prometheus.googleapis.com|vllm:num_requests_waiting|gauge true".to_owned(),
        "namespaces/by_name false".to_owned(),
        format!("namespaces/{odd} false"),
        "namespaces/queue_size false".to_owned(),
        "namespaces/vllm_num_requests_running false".to_owned(),
        "namespaces/vllm_num_requests_waiting false".to_owned(),
        "namespaces/vllm_waiting_of_all false".to_owned(),
        "nodes/node_load false".to_owned(),
        format!("pods/{odd} true"),
        "pods/vllm_num_requests_running true".to_owned(),
        "pods/vllm_num_requests_waiting true".to_owned(),
    ];
    assert_eq!(listed, expected);
    setup.end().await;
}

//! prometheus-adapter's rules for objects over the custom metrics API, as HPAs of `type: Pods` and `type: Object` read it.

use std::net::SocketAddr;

use crate::common::api_server::{ApiServer, Mood};
use crate::common::certificates::Files;
use crate::common::{TestTarget, eventually, get, server_of, settings, state, until};
use serde_json::{Value, json};
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

/// Whoever asks at night why a pool does not scale knows the name of the metric, not the query that a rule made of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_is_asked_by_the_name_of_a_metric_and_answered_for_each_that_asked() {
    let setup = setup("why").await;
    let why = async |name: &str| {
        let url = format!("--url=http://{}", setup.address);
        let name = name.to_owned();
        let asking = tokio::task::spawn_blocking(move || {
            std::process::Command::new(env!("CARGO_BIN_EXE_stillwell"))
                .args(["why", &url, &name])
                .output()
        });
        let output = asking.await.expect("it ends").expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let (found, said) = why("vllm_num_requests_waiting").await;
    assert!(!found, "{said}");
    for part in [
        "is a custom metric, of namespaces, pods",
        "namespaces/NAMESPACE/namespaces/*/vllm_num_requests_waiting",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (found, said) = why("vllm_num_request_waiting").await;
    assert!(
        !found && said.contains("did you mean vllm_num_requests_waiting?"),
        "{said}"
    );
    let metric = "vllm_num_requests_waiting";
    let told_pods = told(
        setup.address,
        "v1beta2",
        &format!("namespaces/a/pods/*/{metric}"),
    )
    .await;
    assert_eq!(told_pods.expect("numbers").len(), 2);
    let of_model = format!("namespaces/b/pods/one/{metric}?metricLabelSelector=model_name%3Dn");
    told(setup.address, "v1beta2", &of_model)
        .await
        .expect("a number");
    let (found, said) = why("VLLM_num_requests_waiting").await;
    assert!(found, "{said}");
    let paragraphs: Vec<&str> = said.split("\n\n").collect();
    assert_eq!(paragraphs.len(), 2, "{said}");
    for (paragraph, parts) in [
        (
            0,
            [
                "vllm_num_requests_waiting (a, pods/*) is ",
                "a, pods/*: 2 of 2 pods.",
            ],
        ),
        (
            1,
            [
                "vllm_num_requests_waiting (b, pods/one, model_name=n) is 8, measured now.",
                "b, pods/one, model_name=n: 8.",
            ],
        ),
    ] {
        for part in parts {
            assert!(paragraphs[paragraph].contains(part), "{part}: {said}");
        }
    }
    let (_, _, list) = get(setup.address, "/signals").await;
    assert!(
        list.contains("\nvllm_num_requests_waiting (b, pods/one, model_name=n)  value"),
        "{list}"
    );
    setup.end().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_one_pod_leaves_it_out_and_is_said_on_signals() {
    let setup = setup("custom-outage").await;
    let address = setup.address;
    let path = "namespaces/a/pods/*/vllm_num_requests_waiting";
    assert_eq!(
        told(address, "v1beta2", path).await.map(|list| list.len()),
        Ok(2)
    );
    setup.pods[0].set(crate::common::Act::Reset);
    eventually("only the other pod is told", || async {
        told(address, "v1beta2", path).await == Ok(vec![("two".to_owned(), "1".to_owned())])
    })
    .await;
    let why = told(
        address,
        "v1beta2",
        "namespaces/a/pods/one/vllm_num_requests_waiting",
    )
    .await;
    let why = why.expect_err("it is down");
    assert!(why.contains("fails since"), "{why}");
    let (_, _, page) = get(address, "/signals").await;
    assert!(page.contains("without a number: one: "), "{page}");
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_select_pods_by_what_the_api_server_says() {
    let (server, files) = (ApiServer::start().await, Files::new("custom-cluster"));
    let pods = "/api/v1/namespaces/a/pods";
    for (name, labels) in [
        ("one", json!({"app": "vllm", "tier": ""})),
        ("two", json!({"app": "vllm"})),
        ("silent", json!({"app": "vllm"})),
        ("other", json!({"app": "proxy"})),
    ] {
        server.put_object(pods, name, Some(labels));
    }
    let setup = setup_in("custom-cluster", Some(server.kubeconfig(&files))).await;
    let address = setup.address;
    let list = |selector: &str| {
        format!("namespaces/a/pods/*/vllm_num_requests_waiting?labelSelector={selector}")
    };
    let pairs = |pairs: &[(&str, &str)]| {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Ok(pairs.collect::<Vec<_>>())
    };
    for (selector, expected) in [
        ("app%3Dvllm", &[("one", "5"), ("two", "1")][..]),
        ("app%3Dvllm,tier", &[("one", "5")]),
        ("app+in+(vllm,x),!tier", &[("two", "1")]),
        ("", &[("one", "5"), ("two", "1")]),
    ] {
        assert_eq!(
            told(address, "v1beta2", &list(selector)).await,
            pairs(expected),
            "{selector}"
        );
    }
    for (selector, says) in [
        (
            "app%3Dproxy",
            "404 vllm_num_requests_waiting is not there for any pods in namespace \"a\": no series of it has \
             pod=\"other\", and every target that could has answered; seen: \"one\", \"two\"",
        ),
        (
            "app%3Dnone",
            "404 vllm_num_requests_waiting: namespace \"a\" has no pods that fit labelSelector \"app=none\"",
        ),
    ] {
        let why = told(address, "v1beta2", &list(selector))
            .await
            .expect_err(selector);
        assert!(why.starts_with(says), "{why}");
    }
    let (_, _, page) = get(address, "/signals").await;
    assert!(
        page.contains("without a number: silent: no target has or shows pod=\"silent\""),
        "{page}"
    );
    // The watch sees pods come, change and go.
    server.put_object(pods, "two", Some(json!({"app": "other"})));
    eventually("the changed pod is no longer selected", || async {
        told(address, "v1beta2", &list("app%3Dvllm")).await == pairs(&[("one", "5")])
    })
    .await;
    server.put_object(pods, "two", Some(json!({"app": "vllm"})));
    server.put_object(pods, "one", None);
    eventually(
        "the pod that came back is, the one that went is not",
        || async { told(address, "v1beta2", &list("app%3Dvllm")).await == pairs(&[("two", "1")]) },
    )
    .await;
    // A custom resource is known from the API server alone.
    let why = told(
        address,
        "v1beta2",
        "namespaces/a/brands.cheese.io/x/queue_size",
    )
    .await;
    let why = why.expect_err("no rule is about it");
    assert!(
        why.starts_with("404 there is no metric queue_size of brands.cheese.io; there is one of"),
        "{why}"
    );
    let asked = server.asked(pods);
    assert!(
        asked.len() <= 3,
        "one list and one watch, however many reads: {}",
        asked.len()
    );
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_lists_no_pods_is_the_reason_and_no_empty_list() {
    let (server, files) = (ApiServer::start().await, Files::new("custom-refused"));
    server.state.lock().objects_mood = Some(Mood::Fails(403));
    let setup = setup_in("custom-refused", Some(server.kubeconfig(&files))).await;
    let path = "namespaces/a/pods/*/vllm_num_requests_waiting?labelSelector=app%3Dvllm";
    let why = told(setup.address, "v1beta1", path)
        .await
        .expect_err("it is refused");
    assert!(
        why.starts_with("503 vllm_num_requests_waiting: which pods there are is unknown: ")
            && why.contains("with the verbs get, list and watch"),
        "{why}"
    );
    // A single pod needs no list.
    let one = told(
        setup.address,
        "v1beta1",
        "namespaces/a/pods/one/vllm_num_requests_waiting",
    )
    .await;
    assert_eq!(one, Ok(vec![("one".to_owned(), "5".to_owned())]));
    setup.end().await;
}

/// A mistyped Deployment was "unknown" because a gateway's page that has nothing to do with it was missing, so that people
/// looked for the fault at the gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_not_found_though_another_target_fails() {
    let setup = setup("custom-not-there").await;
    let address = setup.address;
    // The pods' pages are of their own: nobody but the gateway can tell of Deployments, nobody but a pod of itself.
    setup.pods[0].set(crate::common::Act::Reset);
    let one = "namespaces/a/pods/one/vllm_num_requests_waiting";
    eventually("the pod that is down is unknown", || async {
        told(address, "v1beta2", one)
            .await
            .is_err_and(|why| why.starts_with("503 "))
    })
    .await;
    let there = told(
        address,
        "v1beta2",
        "namespaces/a/deployments.apps/d/queue_size",
    )
    .await;
    assert_eq!(there, Ok(vec![("d".to_owned(), "3".to_owned())]));
    for (path, says) in [
        (
            "namespaces/a/deployments.apps/ee/queue_size",
            "404 queue_size is not there for deployments \"ee\" in namespace \"a\": no series of it has deploy=\"ee\", \
             and every target that could has answered; seen: \"e\"",
        ),
        (
            "namespaces/x/deployments.apps/d/queue_size",
            "404 queue_size is not there for deployments \"d\" in namespace \"x\": no series of it has namespace=\"x\"",
        ),
        (
            "namespaces/a/inferencepools.inference.networking.k8s.io/pp/queue_size",
            "404 queue_size is not there for inferencepools \"pp\" in namespace \"a\"",
        ),
        (
            "namespaces/x/metrics/vllm_num_requests_waiting",
            "404 vllm_num_requests_waiting is not there for namespaces \"x\": no series of it has namespace=\"x\"",
        ),
        (
            "nodes/n9/node_load",
            "404 node_load is not there for nodes \"n9\"",
        ),
        (
            "namespaces/a/pods/twoo/vllm_num_requests_waiting",
            "404 vllm_num_requests_waiting is not there for pods \"twoo\" in namespace \"a\"",
        ),
        // What is selected by a label is named, with what there is.
        (
            "namespaces/a/pods/two/vllm_num_requests_waiting?metricLabelSelector=engine%3D9",
            "404 vllm_num_requests_waiting is not there for pods \"two\" in namespace \"a\" (metricLabelSelector \
             \"engine=9\"): no series of it fits engine=9, and every target that could has answered; seen: \"0\"",
        ),
        (
            "namespaces/a/pods/two/vllm_num_requests_waiting?metricLabelSelector=shard%3D1",
            "no series of it fits shard=1, and every target that could has answered; none has a label shard",
        ),
        (
            "namespaces/b/pods/*/vllm_num_requests_waiting?metricLabelSelector=engine+in+(8,9),model_name%3Dn",
            "404 vllm_num_requests_waiting is not there for any pods in namespace \"b\" (metricLabelSelector \"engine in \
             (8,9),model_name=n\"): no series of it fits engine in (8,9), and every target that could has answered; \
             seen: \"0\", \"1\"",
        ),
        // A target that could tell has not answered.
        (one, "503 vllm_num_requests_waiting of one is unknown: "),
        (
            "namespaces/a/metrics/vllm_num_requests_waiting?metricLabelSelector=engine%3D9",
            "503 vllm_num_requests_waiting of a (metricLabelSelector \"engine=9\") is unknown: ",
        ),
    ] {
        // A scrape may be late on a machine that is busy, and then nobody has answered.
        let last = parking_lot::Mutex::new(String::new());
        let found = tokio::time::timeout(crate::common::PATIENCE, async {
            loop {
                let why = told(address, "v1beta2", path).await.expect_err(path);
                if why.contains(says) {
                    return;
                }
                *last.lock() = why;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        assert!(found.await.is_ok(), "{path}: {}", last.lock());
    }
    setup.end().await;
}

impl Setup {
    async fn end(self) {
        std::fs::remove_dir_all(&self.folder).ok();
        self.running.stop().await;
    }
}

/// An external rule made `later_queue` as well: it answered for objects while the custom rule's pattern had no series yet, and
/// the number of one HPA became that of another when they came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn external_rules_answer_for_no_object_where_there_are_custom_rules() {
    const PAGE: &str = "queue_size{namespace=\"a\",deployment=\"d\"} 3\n";
    const RULES: &str = r#"
rules:
- seriesQuery: '{__name__=~"^later_.*"}'
  resources: {overrides: {namespace: {resource: namespace}, deployment: {group: apps, resource: deployment}}}
  metricsQuery: sum by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})
externalRules:
- seriesQuery: queue_size
  resources: {namespaced: false}
  name: {as: later_queue}
  metricsQuery: sum by (deployment, namespace) (queue_size)
- seriesQuery: queue_size
  resources: {overrides: {namespace: {resource: namespace}}}
  name: {as: later_asked}
  metricsQuery: sum by (deployment) (queue_size{<<.LabelMatchers>>})
"#;
    let target = TestTarget::with_page(PAGE).await;
    let files = Files::new("later-rules");
    files.write("rules.yaml", RULES);
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['{}']}}]\n\
         signals: [{{name: own, expr: 'sum by (deployment, namespace) (queue_size)'}}]\n\
         external_metrics: {{insecure: true, rules_files: [rules.yaml]}}\n",
        target.address
    );
    let config_file = files.write("stillwell.yml", &text);
    let apis = ApiOptions::default();
    let running = server_of(&text, settings(Some(config_file)), apis).await;
    let address = running.addresses[0];
    until(&running.app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    let object = |metric: &str| format!("namespaces/a/deployments.apps/d/{metric}");
    let about_d = |value: &str| Ok(vec![("d".to_owned(), value.to_owned())]);
    for metric in ["later_queue", "later_asked"] {
        let external = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/a/{metric}");
        let (status, _, body) = get(address, &external).await;
        assert_eq!(status, 200, "{metric}: {body}");
        for names in [object(metric), object(metric).replace("/d/", "/*/")] {
            let answer = told(address, "v1beta2", &names).await;
            let why = answer.expect_err("an external rule's number");
            assert!(why.starts_with("404"), "{names}: {why}");
        }
    }
    assert_eq!(told(address, "v1beta2", &object("own")).await, about_d("3"));
    target.set_page(&format!(
        "{PAGE}later_queue{{namespace=\"a\",deployment=\"d\"}} 8\n"
    ));
    eventually("the custom rule answers", || async {
        told(address, "v1beta2", &object("later_queue")).await == about_d("8")
    })
    .await;
    running.stop().await;
}

//! A real prometheus-adapter over a real Prometheus, and this server, with the same rules file and the same pages: the same
//! lists of metrics and the same answers.
//!
//! Needs a Prometheus (`STILLWELL_RIVALS_DIR`) and a prometheus-adapter (`STILLWELL_ADAPTER=PATH`; built from its Go
//! module: `go build ./cmd/adapter`). Without them the test says so and passes.
//!
//! What differs on purpose: where the adapter's answer is one of several numbers, whichever comes last, this server refuses
//! and says how to group; where there is no number it gives the reason instead of an empty list; the core group's
//! `apiVersion` is `v1`, where the adapter writes `/v1`; a sample has its own time, where the adapter writes that of the
//! answer; and a metric of an object is found though the query leaves out the label that names it, where every selector
//! pins it.

mod forms;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::common::api_server::ApiServer;
use crate::common::certificates::{Authority, Files, SERVICE, get_tls};
use crate::common::{Act, TestTarget, eventually, get, server_of, settings, state, until};
use serde_json::{Value, json};
use stillwell::serve::ApiOptions;
use stillwell_adapters::host::Health;
use stillwell_testing::outside::{ADAPTER, RIVALS};

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

struct Processes(Vec<Child>);

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn binaries() -> Option<(PathBuf, PathBuf)> {
    RIVALS.find_inside("usr/bin/prometheus").zip(ADAPTER.find())
}

fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    free.local_addr().expect("bound").port()
}

/// Both servers over the same pages and cluster.
struct Pair {
    ours: SocketAddr,
    theirs: SocketAddr,
    authority: Authority,
    running: stillwell::serve::Running,
    api: ApiServer,
    _processes: Processes,
    _files: Files,
}

/// What both are given.
struct Given<'g> {
    /// Of a folder of its own.
    name: &'g str,
    rules: &'g str,
    /// Each with the labels of its target.
    targets: Vec<(TestTarget, String)>,
    /// Path of the list, name and labels.
    objects: Vec<(&'g str, &'g str, Value)>,
}

async fn metrics_of_objects() -> Given<'static> {
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
        name: "against-adapter",
        rules: RULES,
        targets,
        objects,
    }
}

async fn pair(prometheus: &PathBuf, adapter: &PathBuf, given: &Given<'_>) -> Pair {
    let files = Files::new(given.name);
    let rules = files.write("rules.yaml", given.rules);
    let mut scraped =
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: all\n  static_configs:\n"
            .to_owned();
    for (target, labels) in &given.targets {
        scraped.push_str(&format!(
            "  - {{targets: ['{}'], labels: {labels}}}\n",
            target.address
        ));
    }
    let api = ApiServer::start().await;
    api.state.lock().allowed.push("system:anonymous".to_owned());
    for (list, name, labels) in &given.objects {
        api.put_object(list, name, Some(labels.clone()));
    }
    let kubeconfig = api.kubeconfig(&files);
    let config = format!(
        "{scraped}external_metrics: {{insecure: true, rules_files: ['{}']}}\n",
        rules.display()
    );
    let apis = ApiOptions {
        kubeconfig: Some(kubeconfig.clone()),
        ..ApiOptions::default()
    };
    let running = server_of(&config, settings(None), apis).await;
    let authority = Authority::new("adapter");
    let (certificate, key) = files.serve(&authority.server(SERVICE));
    let (prometheus_port, adapter_port) = (free_port(), free_port());
    let data = files.write("data", "").with_file_name("tsdb");
    // With STILLWELL_ADAPTER_LOG the adapter's own words are shown.
    let shown = std::env::var_os("STILLWELL_ADAPTER_LOG").is_some();
    let quiet = |command: &mut Command| {
        let errors = if shown {
            Stdio::inherit()
        } else {
            Stdio::null()
        };
        command
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("it starts")
    };
    let prometheus = quiet(Command::new(prometheus).args([
        format!(
            "--config.file={}",
            files.write("prometheus.yml", &scraped).display()
        ),
        format!("--storage.tsdb.path={}", data.display()),
        format!("--web.listen-address=127.0.0.1:{prometheus_port}"),
    ]));
    let mut processes = Processes(vec![prometheus]);
    // The adapter lists at its start; what is there by then it knows at once.
    let scraped_all: SocketAddr = ([127, 0, 0, 1], prometheus_port).into();
    eventually("Prometheus has scraped", || async {
        if tokio::net::TcpStream::connect(scraped_all).await.is_err() {
            return false;
        }
        let (_, _, body) = get(scraped_all, "/api/v1/query?query=count(up%20==%201)").await;
        body.contains(&format!("\"{}\"", given.targets.len()))
    })
    .await;
    let adapter = quiet(Command::new(adapter).args([
        format!("--prometheus-url=http://127.0.0.1:{prometheus_port}/"),
        format!("--config={}", rules.display()),
        format!("--lister-kubeconfig={}", kubeconfig.display()),
        format!("--authentication-kubeconfig={}", kubeconfig.display()),
        format!("--authorization-kubeconfig={}", kubeconfig.display()),
        "--authentication-skip-lookup=true".to_owned(),
        "--authorization-always-allow-paths=/apis/*".to_owned(),
        "--enable-priority-and-fairness=false".to_owned(),
        "--metrics-relist-interval=1s".to_owned(),
        "--metrics-max-age=5m".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={adapter_port}"),
        format!("--tls-cert-file={}", certificate.display()),
        format!("--tls-private-key-file={}", key.display()),
    ]));
    processes.0.push(adapter);
    until(&running.app, "scrapes", |app| {
        let mut targets = given.targets.iter();
        targets.all(|(target, _)| state(app, target).health() == Health::Up)
    })
    .await;
    Pair {
        ours: running.addresses[0],
        theirs: ([127, 0, 0, 1], adapter_port).into(),
        authority,
        running,
        api,
        _processes: processes,
        _files: files,
    }
}

impl Pair {
    /// Code and body of the adapter.
    async fn theirs(&self, path: &str) -> Option<(u16, Value)> {
        // It takes a while until it listens.
        tokio::net::TcpStream::connect(self.theirs).await.ok()?;
        let answer = get_tls(self.theirs, &self.authority.der(), None, "", path)
            .await
            .ok()?;
        let body = dechunked(&answer.1);
        let json = serde_json::from_str(&body).unwrap_or(Value::String(body));
        Some((answer.0, json))
    }

    async fn ours(&self, path: &str) -> (u16, Value) {
        let (code, _, body) = get(self.ours, path).await;
        (
            code,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        )
    }
}

/// A body without the sizes of its chunks, where it was sent in such.
fn dechunked(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            break;
        };
        let (chunk, after) = after.split_at(size.min(after.len()));
        whole.push_str(chunk);
        rest = after.trim_start_matches("\r\n");
    }
    if whole.is_empty() {
        body.to_owned()
    } else {
        whole
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
            item.to_string()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_answers_are_those_of_prometheus_adapter() {
    let Some((prometheus, adapter)) = binaries() else {
        return;
    };
    let pair = pair(&prometheus, &adapter, &metrics_of_objects().await).await;
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
        assert!(matches!(our_code, 404 | 503), "{path}: {our_code} {ours}");
        assert_eq!(ours["kind"], "Status", "{path}");
    }
    assert!(!pair.api.asked("/api/v1/namespaces/a/pods").is_empty());
    pair.running.stop().await;
}

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
            .map(Value::to_string)
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

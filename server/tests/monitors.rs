//! Jobs from objects of a cluster: prometheus-operator's and Google Managed Prometheus' monitors, and InferencePools.

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use common::{TestTarget, eventually, server, value};
use parking_lot::Mutex;
use serde_json::{Value, json};
use stillwell_adapters::host::{Health, Host};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

/// An API server with any objects: lists and watches by path.
#[derive(Clone)]
struct ApiServer {
    address: SocketAddr,
    /// By the path of the collection, as all namespaces see it.
    objects: Arc<Mutex<BTreeMap<String, Vec<Value>>>>,
    events: broadcast::Sender<(String, Value)>,
}

const SERVICE_MONITORS: &str = "/apis/monitoring.coreos.com/v1/servicemonitors";
const POD_MONITORS: &str = "/apis/monitoring.coreos.com/v1/podmonitors";
const SCRAPE_CONFIGS: &str = "/apis/monitoring.coreos.com/v1alpha1/scrapeconfigs";
const POD_MONITORINGS: &str = "/apis/monitoring.googleapis.com/v1/podmonitorings";
const POOLS: &str = "/apis/inference.networking.k8s.io/v1/inferencepools";
const RULES: &str = "/apis/monitoring.coreos.com/v1/prometheusrules";
const PODS: &str = "/api/v1/pods";
const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const SECRETS: &str = "/api/v1/secrets";

impl ApiServer {
    async fn start() -> ApiServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let server = ApiServer {
            address: listener.local_addr().expect("bound"),
            objects: Arc::default(),
            events: broadcast::channel(64).0,
        };
        for path in [PODS, SERVICES, SLICES, SECRETS] {
            server.objects.lock().insert(path.to_owned(), Vec::new());
        }
        let served = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served.clone().connection(stream));
            }
        });
        server
    }

    fn add(&self, path: &str, object: Value) {
        let mut objects = self.objects.lock();
        objects
            .entry(path.to_owned())
            .or_default()
            .push(object.clone());
        self.events
            .send((path.to_owned(), json!({"type": "ADDED", "object": object})))
            .ok();
    }

    fn delete(&self, path: &str, name: &str) {
        let mut objects = self.objects.lock();
        let list = objects.get_mut(path).expect("a collection");
        let at = list
            .iter()
            .position(|one| one["metadata"]["name"] == name)
            .expect("there is one");
        let object = list.remove(at);
        self.events
            .send((
                path.to_owned(),
                json!({"type": "DELETED", "object": object}),
            ))
            .ok();
    }

    async fn connection(self, mut stream: TcpStream) {
        while let Some(head) = common::read_head(&mut stream).await {
            let target = head.split(' ').nth(1).unwrap_or("").to_owned();
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            // `/api/v1/namespaces/llm/secrets/token` is one object of the collection `/api/v1/secrets`.
            let (before, after) = path.split_once("/namespaces/").unwrap_or((path, ""));
            let parts: Vec<&str> = after.split('/').collect();
            let (collection, namespace, name) = match parts[..] {
                [namespace, kind] => (format!("{before}/{kind}"), namespace, ""),
                [namespace, kind, name] => (format!("{before}/{kind}"), namespace, name),
                _ => (path.to_owned(), "", ""),
            };
            if query.contains("watch=") {
                return self.watch(stream, collection).await;
            }
            let found = self.objects.lock().get(&collection).cloned();
            let fits = |one: &&Value| {
                (namespace.is_empty() || one["metadata"]["namespace"] == namespace)
                    && (name.is_empty() || one["metadata"]["name"] == name)
            };
            let items: Vec<Value> = found.iter().flatten().filter(fits).cloned().collect();
            let (status, body) = match (&found, name, items.first()) {
                (None, _, _) => ("404 Not Found", json!("404 page not found")),
                (_, "", _) => (
                    "200 OK",
                    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}),
                ),
                (_, _, Some(one)) => ("200 OK", one.clone()),
                _ => (
                    "404 Not Found",
                    json!({"kind": "Status", "status": "Failure", "code": 404, "message": "not found", "reason": "NotFound"}),
                ),
            };
            let body = body.to_string();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn watch(self, mut stream: TcpStream, collection: String) {
        let mut events = self.events.subscribe();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.ok();
        // What came between the list and now.
        let known = self.objects.lock().get(&collection).cloned();
        let known = known
            .into_iter()
            .flatten()
            .map(|object| json!({"type": "ADDED", "object": object}));
        let mut missed: std::collections::VecDeque<Value> = known.collect();
        loop {
            let event = match missed.pop_front() {
                Some(event) => event,
                None => match events.recv().await {
                    Ok((of, event)) if of == collection => event,
                    Ok(_) => continue,
                    Err(_) => return,
                },
            };
            let line = format!("{event}\n");
            let chunk = format!("{:x}\r\n{line}\r\n", line.len());
            if stream.write_all(chunk.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// A gateway's pod behind a Service, as a Deployment makes it.
    fn gateway(&self, name: &str, target: &TestTarget) {
        let port = target.address.port();
        let labels = json!({"app": name, "pod-template-hash": "5d4f8c7b9"});
        let pod = format!("{name}-5d4f8c7b9-abcde");
        let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-5d4f8c7b9"), "uid": "1", "controller": true}]);
        self.add(PODS, json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod, "namespace": "llm", "resourceVersion": "2", "labels": labels, "ownerReferences": owner},
            "spec": {"nodeName": "n", "containers": [{"name": "epp", "ports": [{"name": "metrics", "containerPort": port}, {"name": "grpc", "containerPort": 9002}]}]},
            "status": {"podIP": "127.0.0.1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }));
        self.add(SERVICES, json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "llm", "resourceVersion": "2", "labels": {"app": name, "team": "serving"}},
            "spec": {"ports": [{"name": "http-metrics", "port": 9090}, {"name": "grpc", "port": 9002}]},
        }));
        self.add(SLICES, json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{name}-x"), "namespace": "llm", "resourceVersion": "2", "labels": {"kubernetes.io/service-name": name}},
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": pod, "namespace": "llm"}}],
            "ports": [{"name": "http-metrics", "port": port, "protocol": "TCP"}, {"name": "grpc", "port": 9002, "protocol": "TCP"}],
        }));
    }
}

fn monitor(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "any/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "llm", "resourceVersion": "3"}, "spec": spec,
    })
}

fn page(queued: u32) -> String {
    format!("inference_objective_running_requests{{model_name=\"m\"}} {queued}\n")
}

/// The labels of the targets of a job, without the address.
fn labels(app: &stillwell::serve::App, job: &str) -> Vec<String> {
    let of = |target: &stillwell_adapters::host::ActiveTarget| target.job == job;
    let targets = app.targets().active;
    let shown = targets.iter().filter(|target| of(target)).map(|target| {
        let labels = target.labels.iter().filter(|(name, _)| *name != "instance");
        let labels: Vec<String> = labels
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!(
            "{} {}",
            labels.join(" "),
            matches!(target.health, Health::Up)
        )
    });
    shown.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_object_gives_the_labels_that_its_operator_gives() {
    let cluster = ApiServer::start().await;
    let target = TestTarget::with_page(&page(5)).await;
    cluster.gateway("epp", &target);
    for path in [
        SERVICE_MONITORS,
        POD_MONITORS,
        SCRAPE_CONFIGS,
        POD_MONITORINGS,
        POOLS,
    ] {
        cluster.objects.lock().insert(path.to_owned(), Vec::new());
    }
    let text = format!(
        "global: {{scrape_interval: 50ms}}\nmonitors: {{api_server: 'http://{0}', scrape_interval: 50ms}}\n\
         inference_pools: {{api_server: 'http://{0}', namespaces: [llm]}}\n",
        cluster.address
    );
    let running = server(&text).await;
    let app = &running.app;
    // A kind whose definition is not installed is no failure: ClusterPodMonitoring is missing here.
    cluster.add(SERVICE_MONITORS, monitor("ServiceMonitor", "epp", json!({
        "selector": {"matchLabels": {"app": "epp"}, "matchExpressions": [{"key": "team", "operator": "In", "values": ["serving"]}]},
        "targetLabels": ["team"], "podTargetLabels": ["app"], "jobLabel": "app",
        "endpoints": [{"port": "http-metrics", "interval": "15s", "scrapeTimeout": "10s", "relabelings": [{"targetLabel": "cluster", "replacement": "c1"}]}],
    })));
    cluster.add(POD_MONITORS, monitor("PodMonitor", "epp", json!({
        "selector": {"matchLabels": {"app": "epp"}}, "podMetricsEndpoints": [{"port": "metrics"}],
    })));
    cluster.add(POD_MONITORINGS, monitor("PodMonitoring", "epp", json!({
        "selector": {"matchLabels": {"app": "epp"}}, "endpoints": [{"port": "metrics", "interval": "5s"}],
    })));
    cluster.add(SCRAPE_CONFIGS, monitor("ScrapeConfig", "epp", json!({
        "staticConfigs": [{"targets": [target.address.to_string()], "labels": {"zone": "a"}}],
    })));
    cluster.add(POOLS, monitor("InferencePool", "pool-1", json!({
        "endpointPickerRef": {"name": "epp", "port": {"number": 9002}}, "targetPorts": [{"number": 8000}],
    })));
    let controller = "top_level_controller_name=epp top_level_controller_type=Deployment";
    let pod = "pod=epp-5d4f8c7b9-abcde";
    for (job, want) in [
        (
            "serviceMonitor/llm/epp/0",
            format!(
                "app=epp cluster=c1 container=epp endpoint=http-metrics job=epp namespace=llm {pod} service=epp team=serving {controller} true"
            ),
        ),
        (
            "podMonitor/llm/epp/0",
            format!(
                "container=epp endpoint=metrics job=llm/epp namespace=llm {pod} {controller} true"
            ),
        ),
        (
            "PodMonitoring/llm/epp/metrics",
            format!("container=epp job=epp namespace=llm {pod} {controller} true"),
        ),
        (
            "scrapeConfig/llm/epp",
            "job=scrapeConfig/llm/epp zone=a true".to_owned(),
        ),
        (
            "inferencePool/llm/pool-1",
            format!(
                "container=epp endpoint=metrics inference_pool=pool-1 job=epp namespace=llm {pod} service=epp {controller} true"
            ),
        ),
    ] {
        eventually(job, || async {
            labels(app, job) == [want.clone()] || {
                common::say(&format!("{job}: {:?}", labels(app, job)));
                false
            }
        })
        .await;
    }
    let query = "sum(inference_objective_running_requests{top_level_controller_name=\"epp\",job=\"epp\",endpoint=\"http-metrics\"})";
    assert_eq!(common::value(running.addresses[0], query).await, Some(5.0));

    cluster.delete(SERVICE_MONITORS, "epp");
    eventually("its targets to go", || async {
        labels(app, "serviceMonitor/llm/epp/0").is_empty()
    })
    .await;
    assert_eq!(labels(app, "podMonitor/llm/epp/0").len(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_read_by_name_and_an_object_that_names_a_file_gives_no_targets() {
    let cluster = ApiServer::start().await;
    let target = TestTarget::with_page(&page(7)).await;
    cluster.gateway("epp", &target);
    cluster.add(SECRETS, json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "reader", "namespace": "llm"},
        "data": {"token": "czNjcmV0Cg=="},
    }));
    let endpoint = |extra: Value| {
        let mut endpoint = json!({"port": "http-metrics"});
        endpoint
            .as_object_mut()
            .expect("a map")
            .extend(extra.as_object().expect("a map").clone());
        json!({"selector": {"matchLabels": {"app": "epp"}}, "endpoints": [endpoint]})
    };
    let authorization =
        json!({"authorization": {"credentials": {"name": "reader", "key": "token"}}});
    cluster.add(
        SERVICE_MONITORS,
        monitor("ServiceMonitor", "token", endpoint(authorization)),
    );
    let file = json!({"bearerTokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"});
    cluster.add(
        SERVICE_MONITORS,
        monitor("ServiceMonitor", "file", endpoint(file)),
    );
    let missing = json!({"authorization": {"credentials": {"name": "nobody", "key": "token"}}});
    cluster.add(
        SERVICE_MONITORS,
        monitor("ServiceMonitor", "missing", endpoint(missing)),
    );
    let text = format!(
        "global: {{scrape_interval: 50ms}}\nmonitors: {{api_server: 'http://{}', controller_labels: false}}\n",
        cluster.address
    );
    let running = server(&text).await;
    eventually("its page", || async {
        labels(&running.app, "serviceMonitor/llm/token/0").len() == 1 && target.requests() > 0
    })
    .await;
    let head = target.last_head();
    assert!(
        head.to_ascii_lowercase()
            .contains("authorization: bearer s3cret\r\n"),
        "{head}"
    );
    let pools = running.app.scrape_pools();
    assert_eq!(
        pools,
        ["serviceMonitor/llm/token/0"],
        "the others give no targets"
    );
    running.stop().await;
}

/// A watch that failed was reported as read again at once, so nobody learned of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_cannot_be_reached_stays_a_problem_that_is_shown() {
    let running =
        server("monitors: {kinds: [ServiceMonitor], api_server: 'http://127.0.0.1:9'}\n").await;
    let app = &running.app;
    let shown = std::sync::atomic::AtomicUsize::new(0);
    eventually("the problem to stay", || async {
        let states = app.discovery().states();
        let problem = states
            .iter()
            .filter_map(|state| state.problem.as_deref())
            .next();
        let in_a_row = match problem.is_some_and(|why| why.contains("servicemonitors")) {
            true => shown.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1,
            false => {
                shown.store(0, std::sync::atomic::Ordering::Relaxed);
                0
            }
        };
        in_a_row == 10
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_objects_are_evaluated_while_they_are_there_and_a_bad_object_harms_no_other() {
    let cluster = ApiServer::start().await;
    cluster.objects.lock().insert(RULES.to_owned(), Vec::new());
    let target = TestTarget::with_page("q{pool=\"a\"} 6\nq{pool=\"b\"} 1\n").await;
    let text = format!(
        "global: {{scrape_interval: 20ms, evaluation_interval: 100ms}}\n\
         monitors: {{kinds: [PrometheusRule], namespaces: [llm], api_server: 'http://{}'}}\n\
         scrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}']}}]\n",
        cluster.address, target.address
    );
    let running = server(&text).await;
    let address = running.addresses[0];
    let groups = |rules: Value| json!({"groups": [{"name": "queue", "rules": rules}]});
    cluster.add(RULES, monitor("PrometheusRule", "good", groups(json!([
        {"record": "pool:q:sum", "expr": "sum by (pool) (q)", "labels": {"from": "good"}},
        {"alert": "Long", "expr": "pool:q:sum > 5", "for": "0s", "annotations": {"summary": "{{ $value }}"}},
    ]))));
    cluster.add(
        RULES,
        monitor(
            "PrometheusRule",
            "bad",
            groups(json!([
                {"record": "never", "expr": "q"}, {"record": "wrong", "expr": "sum(("},
            ])),
        ),
    );
    let mut elsewhere = monitor(
        "PrometheusRule",
        "other",
        groups(json!([{"record": "other", "expr": "1"}])),
    );
    elsewhere["metadata"]["namespace"] = json!("elsewhere");
    cluster.add(RULES, elsewhere);

    let alert = "ALERTS{alertname=\"Long\", alertstate=\"firing\", pool=\"a\"}";
    eventually("the rules to be evaluated", || async {
        let sum = value(address, "pool:q:sum{pool=\"b\", from=\"good\"}").await;
        (sum, value(address, alert).await) == (Some(1.0), Some(1.0))
    })
    .await;
    let shown = running.app.rule_groups();
    let files: Vec<&str> = shown.iter().map(|group| group.file.as_str()).collect();
    assert_eq!(files, ["PrometheusRule llm/good"]);
    for absent in ["never", "other"] {
        assert_eq!(value(address, absent).await, None, "{absent}");
    }

    cluster.add(
        RULES,
        monitor(
            "PrometheusRule",
            "second",
            groups(json!([{"record": "second", "expr": "7"}])),
        ),
    );
    eventually("the second object's rule", || async {
        value(address, "second").await == Some(7.0)
    })
    .await;
    cluster.delete(RULES, "good");
    eventually("the rules to end with their object", || async {
        (
            value(address, alert).await,
            value(address, "pool:q:sum{pool=\"b\"}").await,
        ) == (None, None)
    })
    .await;
    assert_eq!(value(address, "second").await, Some(7.0));
    running.stop().await;
}

//! Jobs from objects of a cluster: prometheus-operator's and Google Managed Prometheus' monitors, and InferencePools.

use crate::common::certificates::Files;
use crate::common::objects::ObjectServer;
use crate::common::{TestTarget, eventually, server, value};
use serde_json::{Value, json};
use stillwell_adapters::host::{Health, Host};

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

/// The kinds that every cluster has.
const BUILT_IN: [&str; 4] = [PODS, SERVICES, SLICES, SECRETS];

/// An API server with the definitions of these kinds.
async fn api_server(kinds: &[&str]) -> ObjectServer {
    ObjectServer::start(&[&BUILT_IN, kinds].concat()).await
}

/// A gateway's pod behind a Service, as a Deployment makes it.
fn gateway(cluster: &ObjectServer, name: &str, target: &TestTarget) {
    let port = target.address.port();
    let labels = json!({"app": name, "pod-template-hash": "5d4f8c7b9"});
    let pod = format!("{name}-5d4f8c7b9-abcde");
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-5d4f8c7b9"), "uid": "1", "controller": true}]);
    cluster.put(PODS, json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod, "namespace": "llm", "resourceVersion": "2", "labels": labels, "ownerReferences": owner},
        "spec": {"nodeName": "n", "containers": [{"name": "epp", "ports": [{"name": "metrics", "containerPort": port}, {"name": "grpc", "containerPort": 9002}]}]},
        "status": {"podIP": "127.0.0.1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }));
    cluster.put(SERVICES, json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "llm", "resourceVersion": "2", "labels": {"app": name, "team": "serving"}},
        "spec": {"ports": [{"name": "http-metrics", "port": 9090}, {"name": "grpc", "port": 9002}]},
    }));
    cluster.put(SLICES, json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("{name}-x"), "namespace": "llm", "resourceVersion": "2", "labels": {"kubernetes.io/service-name": name}},
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": pod, "namespace": "llm"}}],
        "ports": [{"name": "http-metrics", "port": port, "protocol": "TCP"}, {"name": "grpc", "port": 9002, "protocol": "TCP"}],
    }));
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
    let cluster = api_server(&[
        SERVICE_MONITORS,
        POD_MONITORS,
        SCRAPE_CONFIGS,
        POD_MONITORINGS,
        POOLS,
    ])
    .await;
    let target = TestTarget::with_page(&page(5)).await;
    gateway(&cluster, "epp", &target);
    let text = format!(
        "global: {{scrape_interval: 50ms}}\nmonitors: {{api_server: 'http://{0}', scrape_interval: 50ms}}\n\
         inference_pools: {{api_server: 'http://{0}', namespaces: [llm]}}\n",
        cluster.address
    );
    let running = server(&text).await;
    let app = &running.app;
    // A kind whose definition is not installed is no failure: ClusterPodMonitoring is missing here.
    cluster.put(SERVICE_MONITORS, monitor("ServiceMonitor", "epp", json!({
        "selector": {"matchLabels": {"app": "epp"}, "matchExpressions": [{"key": "team", "operator": "In", "values": ["serving"]}]},
        "targetLabels": ["team"], "podTargetLabels": ["app"], "jobLabel": "app",
        "endpoints": [{"port": "http-metrics", "interval": "15s", "scrapeTimeout": "10s", "relabelings": [{"targetLabel": "cluster", "replacement": "c1"}]}],
    })));
    cluster.put(POD_MONITORS, monitor("PodMonitor", "epp", json!({
        "selector": {"matchLabels": {"app": "epp"}}, "podMetricsEndpoints": [{"port": "metrics"}],
    })));
    cluster.put(POD_MONITORINGS, monitor("PodMonitoring", "epp", json!({
        "selector": {"matchLabels": {"app": "epp"}}, "endpoints": [{"port": "metrics", "interval": "5s"}],
    })));
    cluster.put(SCRAPE_CONFIGS, monitor("ScrapeConfig", "epp", json!({
        "staticConfigs": [{"targets": [target.address.to_string()], "labels": {"zone": "a"}}],
    })));
    cluster.put(POOLS, monitor("InferencePool", "pool-1", json!({
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
                crate::common::say(&format!("{job}: {:?}", labels(app, job)));
                false
            }
        })
        .await;
    }
    let query = "sum(inference_objective_running_requests{top_level_controller_name=\"epp\",job=\"epp\",endpoint=\"http-metrics\"})";
    assert_eq!(
        crate::common::value(running.addresses[0], query).await,
        Some(5.0)
    );

    cluster.delete(SERVICE_MONITORS, "llm/epp");
    eventually("its targets to go", || async {
        labels(app, "serviceMonitor/llm/epp/0").is_empty()
    })
    .await;
    assert_eq!(labels(app, "podMonitor/llm/epp/0").len(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_read_by_name_and_an_object_that_names_a_file_gives_no_targets() {
    let cluster = api_server(&[SERVICE_MONITORS]).await;
    let target = TestTarget::with_page(&page(7)).await;
    gateway(&cluster, "epp", &target);
    cluster.put(SECRETS, json!({
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
    cluster.put(
        SERVICE_MONITORS,
        monitor("ServiceMonitor", "token", endpoint(authorization)),
    );
    let file = json!({"bearerTokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"});
    cluster.put(
        SERVICE_MONITORS,
        monitor("ServiceMonitor", "file", endpoint(file)),
    );
    let missing = json!({"authorization": {"credentials": {"name": "nobody", "key": "token"}}});
    cluster.put(
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

/// The scaffold of every operator names the token of its own account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_may_name_a_file_where_that_is_allowed() {
    let cluster = api_server(&[SERVICE_MONITORS]).await;
    let target = TestTarget::with_page(&page(7)).await;
    gateway(&cluster, "epp", &target);
    let files = Files::new("monitor-files");
    let token = files.write("token", "s3cret\n");
    for (name, file) in [
        ("absolute", token.to_str().expect("UTF-8")),
        ("relative", "token"),
    ] {
        let endpoint = json!({"port": "http-metrics", "bearerTokenFile": file});
        let spec = json!({"selector": {"matchLabels": {"app": "epp"}}, "endpoints": [endpoint]});
        cluster.put(SERVICE_MONITORS, monitor("ServiceMonitor", name, spec));
    }
    let text = format!(
        "global: {{scrape_interval: 50ms}}\nmonitors: {{api_server: 'http://{}', controller_labels: false, arbitrary_fs_access: true}}\n",
        cluster.address
    );
    let running = server(&text).await;
    eventually("the token", || async {
        let head = target.last_head().to_ascii_lowercase();
        head.contains("authorization: bearer s3cret\r\n")
    })
    .await;
    assert_eq!(
        running.app.scrape_pools(),
        ["serviceMonitor/llm/absolute/0"]
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
    let cluster = api_server(&[RULES]).await;
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
    cluster.put(RULES, monitor("PrometheusRule", "good", groups(json!([
        {"record": "pool:q:sum", "expr": "sum by (pool) (q)", "labels": {"from": "good"}},
        {"alert": "Long", "expr": "pool:q:sum > 5", "for": "0s", "annotations": {"summary": "{{ $value }}"}},
    ]))));
    cluster.put(
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
    cluster.put(RULES, elsewhere);

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

    cluster.put(
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
    cluster.delete(RULES, "llm/good");
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

//! From an object's creation to the first signal: ServiceMonitor, PodMonitor, InferencePool, PrometheusRule, and what
//! kube-state-metrics would tell.

use std::time::Instant;

use serde_json::{Value, json};

use super::Failure;
use super::control_plane::{ADDRESS, ControlPlane};
use super::gateway::Gateway;
use super::hpa_types;
use super::http;
use super::resources;
use super::stillwell::{WEB, signal};
use super::table::{Seen, Table, wait_for};
use super::walk::{POOL, definition, picker, pool};

const MONITORING: &str = "monitoring.coreos.com";

/// The configuration of the second half: as shipped, and monitors, workloads, pods and objects.
pub fn config() -> String {
    let signals: String = ["service-monitor", "pod-monitor", "inference-pool"]
        .iter()
        .map(|name| format!("- {{name: {name}, expr: 'sum(llm_d_epp_flow_control_queue_size{{inference_pool=\"by-{name}\"}})'}}\n"))
        .collect();
    format!(
        "global: {{scrape_interval: 100ms}}\ninference_pools: {{}}\n\
         monitors: {{namespaces: [default], scrape_interval: 100ms}}\nkube_state: {{}}\nevents: {{}}\n\
         scrape_configs: [{{job_name: cadvisor, scrape_interval: 1s, static_configs: [{{targets: ['{ADDRESS}:{}'], labels: {{node: node}}}}]}}]\n\
         external_metrics: {{rules_files: [igw-adapter-values.yaml, types.yaml, resource-rules.yaml]}}\nsignals:\n{signals}\
         - {{name: ready-replicas, expr: 'max(kube_deployment_status_replicas_ready{{namespace=\"default\",deployment=\"{POOL}-epp\"}})'}}\n",
        resources::PORT
    )
}

/// The files of that configuration.
pub fn changes() -> Vec<(&'static str, String)> {
    vec![
        ("stillwell.yml", config()),
        ("types.yaml", hpa_types::RULES.to_owned()),
        ("resource-rules.yaml", resources::RULES.to_owned()),
    ]
}

/// The kinds of prometheus-operator.
pub fn definitions() -> Vec<Value> {
    vec![
        definition(MONITORING, "v1", "ServiceMonitor", "servicemonitors"),
        definition(MONITORING, "v1", "PodMonitor", "podmonitors"),
        definition(MONITORING, "v1alpha1", "ScrapeConfig", "scrapeconfigs"),
        definition(MONITORING, "v1", "PrometheusRule", "prometheusrules"),
    ]
}

fn page(pool: &str, queued: u32) -> String {
    format!(
        "llm_d_epp_flow_control_queue_size{{fairness_id=\"f\",priority=\"0\",inference_pool=\"{pool}\",model_name=\"m\",target_model_name=\"m\"}} {queued}\n"
    )
}

fn monitor(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    })
}

/// A Secret with the token of an account that may read `/metrics`.
fn reader(plane: &ControlPlane) -> Result<(), Failure> {
    let kind = "rbac.authorization.k8s.io";
    plane.apply(&[
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader", "namespace": "default"}}),
        json!({
            "apiVersion": format!("{kind}/v1"), "kind": "ClusterRole", "metadata": {"name": "reader"},
            "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
        }),
        json!({
            "apiVersion": format!("{kind}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": kind, "kind": "ClusterRole", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "default"}],
        }),
    ])?;
    let token = plane.kubectl(&["create", "token", "reader", "--duration=24h"])?;
    plane.apply(&[json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "reader", "namespace": "default"},
        "stringData": {"token": token},
    })])
}

/// Creates each kind of object and waits for the signal that needs it.
pub fn walk(plane: &ControlPlane, table: &mut Table) -> Result<(), Failure> {
    reader(plane)?;
    let authorization =
        json!({"type": "Bearer", "credentials": {"name": "reader", "key": "token"}});
    let endpoint = |port: &str| json!([{"port": port, "authorization": authorization}]);
    let selector = |name: &str| json!({"matchLabels": {"app": name}});
    let base = "/apis/monitoring.coreos.com/v1/namespaces/default";
    let pools = "/apis/inference.networking.k8s.io/v1/namespaces/default/inferencepools";
    let mut idle = Vec::new();
    for (name, kind, path) in [
        (
            "service-monitor",
            "ServiceMonitor",
            format!("{base}/servicemonitors"),
        ),
        ("pod-monitor", "PodMonitor", format!("{base}/podmonitors")),
        ("inference-pool", "InferencePool", pools.to_owned()),
    ] {
        let gateway = Gateway::start(Some(&plane.proxy))?;
        let by = format!("by-{name}");
        gateway.show(&page(&by, 7));
        plane.apply(&picker(&by, &gateway))?;
        let slices = format!(
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{by}"
        );
        wait_for("the endpoint", 60, || {
            let slices = plane.get(&slices)?;
            let endpoint = &slices["items"][0]["endpoints"][0];
            Ok((endpoint["conditions"]["ready"] == true).then_some(()))
        })?;
        let object = match kind {
            "ServiceMonitor" => monitor(
                kind,
                &by,
                json!({"selector": selector(&by), "endpoints": endpoint("http-metrics")}),
            ),
            "PodMonitor" => monitor(
                kind,
                &by,
                json!({"selector": selector(&by), "podMetricsEndpoints": endpoint("metrics")}),
            ),
            _ => pool(&by, &by),
        };
        table.step(
            &format!("a {kind} is created; its gateway asks for a token"),
            || {
                let began = Instant::now();
                http::send(&plane.proxy, "POST", &path, &object)?;
                wait_for("the signal", 30, || {
                    Ok((signal(name)? == ("value".to_owned(), Some(7.0))).then_some(()))
                })?;
                let took = began.elapsed();
                match took.as_secs_f64() <= 2.0 {
                    true => Ok(Seen::after("the signal is its number", took)),
                    false => Err(format!("the signal came after {took:?}, not within 2 s").into()),
                }
            },
        );
        idle.push((gateway, by));
    }
    rules_and_workloads(plane, base, table);
    // The steps that follow scale by what the whole namespace has queued.
    for (gateway, by) in idle {
        gateway.show(&page(&by, 0));
    }
    Ok(())
}

fn rules_and_workloads(plane: &ControlPlane, base: &str, table: &mut Table) {
    table.step("a PrometheusRule is created, and one with a mistake", || {
        let rules = |expr: &str, record: &str| json!({"groups": [{"name": "g", "interval": "1s", "rules": [{"record": record, "expr": expr}]}]});
        let path = format!("{base}/prometheusrules");
        let bad = monitor("PrometheusRule", "bad", rules("sum((", "bad:rule"));
        http::send(&plane.proxy, "POST", &path, &bad)?;
        let good = monitor("PrometheusRule", "good", rules("sum(llm_d_epp_flow_control_queue_size{inference_pool=~\"by-.*\"})", "all:queue"));
        let began = Instant::now();
        http::send(&plane.proxy, "POST", &path, &good)?;
        let (value, _) = wait_for("its series", 30, || {
            let answer = http::get(WEB, "/api/v1/query?query=all:queue")?;
            Ok(answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned))
        })?;
        Ok(Seen::after(format!("`all:queue` is {value}; the mistake is a line in the log"), began.elapsed()))
    });
    table.step(
        "`kube_state`: ready replicas of the Endpoint Picker from the API server's own watch",
        || {
            let (_, took) = wait_for("1", 30, || {
                Ok((signal("ready-replicas")? == ("value".to_owned(), Some(1.0))).then_some(()))
            })?;
            Ok(Seen::after("1", took))
        },
    );
}

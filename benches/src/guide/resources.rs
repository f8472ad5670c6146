//! CPU and memory through the API server: `kubectl top`, by the `resourceRules` of the shipped overlay, from a stand-in for the
//! kubelet's page of cAdvisor; and the same reads from a real prometheus-adapter over a real Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Failure;
use super::control_plane::{ADDRESS, ControlPlane, spawn};
use super::gateway::Gateway;
use super::table::{Seen, Table, wait_for};
use super::walk::{POOL, available, page};

/// The kubelet's port.
pub const PORT: u16 = 10_250;
/// The rules as shipped.
pub const RULES: &str =
    include_str!("../../../server/deploy/overlays/resource-metrics/config/resource-rules.yaml");
const API_SERVICE: &str = "v1beta1.metrics.k8s.io";
const ADAPTER_PORT: u16 = 26_443;
const PROMETHEUS: &str = "127.0.0.1:19092";
/// Of a container and of the node, in cores.
const CORES: (f64, f64) = (0.25, 1.5);
/// Rates of two servers that scrape at other times.
const CORES_APART_MAX: f64 = 0.1;

/// A page whose counters grow. Ends with it.
pub struct Cadvisor {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Cadvisor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok(); // it has nothing to tell
        }
    }
}

impl Cadvisor {
    /// Shows CPU and memory of the pods that there are, but not of those whose name begins so.
    fn start(plane: &ControlPlane, without: &str) -> Result<Cadvisor, Failure> {
        let gateway = Gateway::at(PORT, None)?;
        let over = Arc::new(AtomicBool::new(false));
        let (ended, proxy, without) = (Arc::clone(&over), plane.proxy.clone(), without.to_owned());
        let began = Instant::now();
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let pods = super::http::get(&proxy, "/api/v1/pods").unwrap_or_default();
                gateway.show(&cadvisor(&pods, &without, began.elapsed().as_secs_f64()));
                thread::sleep(Duration::from_millis(200));
            }
        });
        Ok(Cadvisor {
            over,
            thread: Some(thread),
        })
    }
}

fn cadvisor(pods: &Value, without: &str, seconds: f64) -> String {
    let mut page = format!(
        "container_cpu_usage_seconds_total{{id=\"/\"}} {}\ncontainer_memory_working_set_bytes{{id=\"/\"}} 4294967296\n",
        CORES.1 * seconds
    );
    for pod in pods["items"].as_array().into_iter().flatten() {
        let text = |name: &str| pod["metadata"][name].as_str().unwrap_or("");
        let (namespace, name) = (text("namespace"), text("name"));
        if name.starts_with(without) {
            continue;
        }
        let labels =
            format!("{{container=\"c\",namespace=\"{namespace}\",pod=\"{name}\",id=\"/x\"}}");
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "container_cpu_usage_seconds_total{labels} {}",
            CORES.0 * seconds
        );
        let _ = writeln!(page, "container_memory_working_set_bytes{labels} 134217728");
    }
    page
}

/// What is needed beside the shipped base.
pub fn allow(plane: &ControlPlane, deploy: &Path) -> Result<(), Failure> {
    for file in ["apiservice.yaml", "rbac.yaml"] {
        let path = deploy.join("overlays/resource-metrics").join(file);
        plane.kubectl(&["apply", "-f", &path.display().to_string()])?;
    }
    let kind = "rbac.authorization.k8s.io";
    plane.apply(&[
        json!({
            "apiVersion": format!("{kind}/v1"), "kind": "ClusterRole", "metadata": {"name": "guide-resources"},
            "rules": [{"apiGroups": ["apiregistration.k8s.io"], "resources": ["apiservices"], "resourceNames": [API_SERVICE], "verbs": ["get", "watch", "patch"]}],
        }),
        json!({
            "apiVersion": format!("{kind}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "guide-resources"},
            "roleRef": {"apiGroup": kind, "kind": "ClusterRole", "name": "guide-resources"},
            "subjects": [{"kind": "ServiceAccount", "name": "stillwell", "namespace": "stillwell"}],
        }),
    ])
}

/// `kubectl top`, and a pod without a sample.
pub fn walk(plane: &ControlPlane, table: &mut Table) -> Result<Cadvisor, Failure> {
    let silent = format!("{POOL}-epp");
    let cadvisor = Cadvisor::start(plane, &silent)?;
    table.step("metrics.k8s.io becomes available", || {
        let (_, took) = wait_for("AVAILABLE True", 90, || available(plane, API_SERVICE))?;
        Ok(Seen::after("`AVAILABLE True`", took))
    });
    for what in ["nodes", "pods"] {
        table.step(&format!("`kubectl top {what}`"), || {
            let (line, took) = wait_for("numbers", 120, || {
                let shown = plane.kubectl(&["top", what, "--no-headers"])?;
                let line = shown.lines().next().unwrap_or("").to_owned();
                Ok((!line.is_empty()).then_some(line))
            })?;
            let line: Vec<&str> = line.split_whitespace().collect();
            Ok(Seen::after(format!("`{}`", line.join(" ")), took))
        });
    }
    table.step("a pod whose page of cAdvisor says nothing of it", || {
        let all = plane.get("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods")?;
        let names: Vec<&str> = all["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["metadata"]["name"].as_str())
            .collect();
        match names.iter().find(|name| name.starts_with(&silent)) {
            Some(name) => Err(format!("{name} is listed").into()),
            None => Ok(Seen::of(format!(
                "is missing from the list of {}",
                names.len()
            ))),
        }
    });
    Ok(cadvisor)
}

struct Processes(Vec<Child>);

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().ok(); // it may have ended
            child.wait().ok();
        }
    }
}

/// The same reads from the real adapter: what both say of the same pages, through the same API server.
pub fn adapter(
    plane: &ControlPlane,
    gateway: &Gateway,
    (prometheus, adapter): (&Path, &Path),
    deploy: &Path,
    table: &mut Table,
) -> Result<(), Failure> {
    gateway.show(&page(POOL, 12, 3));
    let (told, _) = wait_for("what the gateway shows now", 30, || {
        let told = external(plane)?;
        let is_new = told.get("igw_queue_depth").map(String::as_str) == Some("12");
        Ok(is_new.then_some(told))
    })?;
    let ours = (usage(plane)?, told);
    let _processes = start_adapter(plane, gateway, (prometheus, adapter), deploy)?;
    for (name, group) in [
        (API_SERVICE, "metrics.k8s.io"),
        ("v1beta1.external.metrics.k8s.io", "external.metrics.k8s.io"),
    ] {
        plane.apply(&adapter_service(name, group))?;
    }
    table.step("the real prometheus-adapter over a real Prometheus with the same pages and rules: CPU and memory", || {
        // Its rates are low until its Prometheus has scraped for a window.
        let (count, took) = wait_for("the same numbers", 180, || {
            let theirs = usage(plane)?;
            for (name, (cores, bytes)) in &ours.0 {
                let (their_cores, their_bytes) = theirs.get(name).ok_or_else(|| format!("the adapter does not know {name}"))?;
                if (cores - their_cores).abs() > CORES_APART_MAX || bytes != their_bytes {
                    return Err(format!("{name}: {cores} {bytes}, and the adapter says {their_cores} {their_bytes}").into());
                }
            }
            Ok((theirs.len() == ours.0.len()).then_some(theirs.len()))
        })?;
        Ok(Seen::after(format!("the same {count} pods, the same memory, CPU within {CORES_APART_MAX} cores"), took))
    });
    table.step("... and the guide's external metrics", || {
        let (theirs, took) = wait_for("the adapter's external metrics", 120, || {
            let theirs = external(plane)?;
            Ok((theirs.len() == ours.1.len()).then_some(theirs))
        })?;
        match theirs == ours.1 {
            true => Ok(Seen::after(format!("the same: {theirs:?}"), took)),
            false => Err(format!("{:?}, and the adapter says {theirs:?}", ours.1).into()),
        }
    });
    Ok(())
}

/// CPU and memory by pod.
fn usage(plane: &ControlPlane) -> Result<BTreeMap<String, (f64, String)>, Failure> {
    let all = plane.get("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods")?;
    let items = all["items"].as_array().into_iter().flatten();
    let one = |item: &Value| {
        let usage = &item["containers"][0]["usage"];
        let cpu = usage["cpu"].as_str()?;
        let cores = match cpu.strip_suffix('m') {
            Some(milli) => milli.parse::<f64>().ok()? / 1000.0,
            None => cpu.parse().ok()?,
        };
        let name = item["metadata"]["name"].as_str()?.to_owned();
        Some((name, (cores, usage["memory"].to_string())))
    };
    Ok(items.filter_map(one).collect())
}

/// The guide's metrics that have a number.
fn external(plane: &ControlPlane) -> Result<BTreeMap<String, String>, Failure> {
    let mut told = BTreeMap::new();
    for metric in ["igw_queue_depth", "igw_running_requests"] {
        let base = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default";
        let answer = plane.get(&format!("{base}/{metric}"))?;
        if let Some(value) = answer["items"][0]["value"].as_str() {
            told.insert(metric.to_owned(), value.to_owned());
        }
    }
    Ok(told)
}

/// Its rules are the same: those of the shipped values file under the names of the adapter's own file.
fn adapter_rules(deploy: &Path) -> Result<String, Failure> {
    let values = std::fs::read_to_string(deploy.join("base/config/igw-adapter-values.yaml"))?;
    let external = values
        .split_once("  external:\n")
        .ok_or("no external rules")?
        .1;
    Ok(format!("externalRules:\n{external}\n{RULES}"))
}

fn start_adapter(
    plane: &ControlPlane,
    gateway: &Gateway,
    (prometheus, adapter): (&Path, &Path),
    deploy: &Path,
) -> Result<Processes, Failure> {
    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let scraped = plane.path("adapter-prometheus.yml");
    std::fs::write(
        &scraped,
        format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
             - job_name: cadvisor\n  static_configs: [{{targets: ['{ADDRESS}:{PORT}'], labels: {{node: node}}}}]\n\
             - job_name: epp\n  authorization: {{credentials_file: {token}}}\n  static_configs: [{{targets: ['{ADDRESS}:{}'], labels: {{namespace: default, top_level_controller_name: {POOL}-epp}}}}]\n",
            gateway.port
        ),
    )?;
    let rules = plane.path("adapter-rules.yaml");
    std::fs::write(&rules, adapter_rules(deploy)?)?;
    let mut command = Command::new(prometheus);
    command.args([
        format!("--config.file={}", scraped.display()),
        format!(
            "--storage.tsdb.path={}",
            plane.path("adapter-tsdb").display()
        ),
        format!("--web.listen-address={PROMETHEUS}"),
    ]);
    let mut processes = Processes(vec![spawn(command, &plane.path("adapter-prometheus.log"))?]);
    wait_for("Prometheus", 60, || {
        super::http::get(PROMETHEUS, "/api/v1/query?query=up").map(|_| Some(()))
    })?;
    let kubeconfig = plane.path("admin.kubeconfig").display().to_string();
    let mut command = Command::new(adapter);
    command.args([
        format!("--prometheus-url=http://{PROMETHEUS}/"),
        format!("--config={}", rules.display()),
        format!("--lister-kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--metrics-relist-interval=1s".to_owned(),
        "--metrics-max-age=5m".to_owned(),
        format!("--cert-dir={}", plane.path("adapter-certs").display()),
        format!("--secure-port={ADAPTER_PORT}"),
    ]);
    processes
        .0
        .push(spawn(command, &plane.path("adapter.log"))?);
    Ok(processes)
}

/// The APIService of a group, led to the adapter by a Service without pods.
fn adapter_service(name: &str, group: &str) -> Vec<Value> {
    led_to(
        (name, group),
        ("monitoring", "prometheus-adapter"),
        ADAPTER_PORT,
    )
}

/// The APIService of a group, led by a Service without pods to a program that listens to this port of the machine.
pub(super) fn led_to(
    (name, group): (&str, &str),
    (namespace, service): (&str, &str),
    port: u16,
) -> Vec<Value> {
    let meta = json!({"name": service, "namespace": namespace});
    let mut slice = meta.clone();
    slice["labels"] = json!({"kubernetes.io/service-name": service});
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": meta,
            "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": slice, "addressType": "IPv4",
            "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }),
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name},
            "spec": {
                "group": group, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                "insecureSkipTLSVerify": true, "caBundle": null,
                "service": {"namespace": namespace, "name": service, "port": 443},
            },
        }),
    ]
}

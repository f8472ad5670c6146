//! Option 2 of the guide: scale to zero and back by a real KEDA operator, which listens to Stillwell's external scaler, and
//! beyond one replica by KEDA's metrics adapter.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::{Value, json};

use super::Failure;
use super::control_plane::{ControlPlane, spawn};
use super::gateway::Gateway;
use super::resources::led_to;
use super::table::{Seen, Table, wait_for};
use super::walk::{POOL, available, definition, deployment, page, scaled};

const NAME: &str = "by-keda";
const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";
/// Where KEDA's adapter listens, and where its operator gives it numbers.
const ADAPTER_PORT: u16 = 26_444;
const METRICS_SERVICE: &str = "127.0.0.1:19666";
const KINDS: [(&str, &str, &str); 6] = [
    ("keda.sh", "ScaledObject", "scaledobjects"),
    ("keda.sh", "ScaledJob", "scaledjobs"),
    ("keda.sh", "TriggerAuthentication", "triggerauthentications"),
    (
        "keda.sh",
        "ClusterTriggerAuthentication",
        "clustertriggerauthentications",
    ),
    ("eventing.keda.sh", "CloudEventSource", "cloudeventsources"),
    (
        "eventing.keda.sh",
        "ClusterCloudEventSource",
        "clustercloudeventsources",
    ),
];

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok(); // it may have ended
        self.0.wait().ok();
    }
}

/// Starts the operator, and lets a ScaledObject sleep and wake.
pub fn walk(
    plane: &ControlPlane,
    gateway: &Gateway,
    (operator, adapter): (&Path, Option<&Path>),
    table: &mut Table,
) -> Result<(), Failure> {
    let definitions: Vec<Value> = KINDS.iter().map(of_kind).collect();
    plane.apply(&definitions)?;
    plane.apply(&[
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "keda"}}),
        deployment(NAME, 1, ("http", 8000)),
    ])?;
    let _process = Process(start(plane, operator)?);
    gateway.show(&page(POOL, 0, 0));
    wait_for("the ScaledObject to be taken", 60, || {
        plane.apply(&[scaled_object()])?;
        Ok(Some(()))
    })?;
    table.step("option 2: a real KEDA operator and a ScaledObject of type external-push; nothing is queued", || {
        scaled(plane, NAME, 0, 120)
    });
    std::thread::sleep(Duration::from_secs(5)); // asleep for a while
    table.step(
        "one request is queued at zero; KEDA hears of it on its stream",
        || {
            gateway.show(&page(POOL, 1, 0));
            scaled(plane, NAME, 1, 60)
        },
    );
    let what = "KEDA's own metrics adapter: the HPA that KEDA makes";
    match adapter {
        Some(adapter) => with_adapter(plane, gateway, adapter, table),
        None => {
            table.not_run(what, "its program was not given (--keda-adapter)");
            Ok(())
        }
    }
}

/// KEDA's adapter takes the external metrics API over, so the HPA that KEDA has made reads through KEDA what Stillwell tells
/// it; then the API is given back.
fn with_adapter(
    plane: &ControlPlane,
    gateway: &Gateway,
    adapter: &Path,
    table: &mut Table,
) -> Result<(), Failure> {
    let before = plane.get(&format!(
        "/apis/apiregistration.k8s.io/v1/apiservices/{API_SERVICE}"
    ))?;
    plane.kubectl(&["delete", "apiservice", API_SERVICE])?;
    plane.apply(&led_to(
        (API_SERVICE, "external.metrics.k8s.io"),
        ("keda", "keda-operator-metrics-apiserver"),
        ADAPTER_PORT,
    ))?;
    let process = Process(start_adapter(plane, adapter)?);
    table.step(
        "KEDA's own metrics adapter has the external metrics API",
        || {
            let (_, took) = wait_for("its APIService", 90, || available(plane, API_SERVICE))?;
            Ok(Seen::after("`AVAILABLE True`", took))
        },
    );
    table.step(
        "700 queued: the HPA that KEDA has made reads through KEDA's adapter and operator what Stillwell tells",
        || {
            gateway.show(&page(POOL, 700, 0));
            scaled(plane, NAME, 3, 90)
        },
    );
    gateway.show(&page(POOL, 0, 0));
    drop(process);
    plane.kubectl(&["delete", "apiservice", API_SERVICE])?;
    let (name, spec) = (&before["metadata"]["name"], &before["spec"]);
    plane.apply(&[json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}, "spec": spec,
    })])?;
    table.step("the external metrics API is given back", || {
        let (_, took) = wait_for("its APIService", 90, || available(plane, API_SERVICE))?;
        Ok(Seen::after("`AVAILABLE True`", took))
    });
    Ok(())
}

fn start_adapter(plane: &ControlPlane, adapter: &Path) -> Result<Child, Failure> {
    let kubeconfig = plane.path("admin.kubeconfig").display().to_string();
    let mut command = Command::new(adapter);
    command
        .args([
            format!("--secure-port={ADAPTER_PORT}"),
            format!("--cert-dir={}", plane.path("keda-certs").display()),
            format!(
                "--tls-cert-file={}",
                plane.path("keda-certs/tls.crt").display()
            ),
            format!(
                "--tls-private-key-file={}",
                plane.path("keda-certs/tls.key").display()
            ),
            format!("--lister-kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            format!("--metrics-service-address={METRICS_SERVICE}"),
        ])
        .env("KUBECONFIG", &kubeconfig)
        .env("POD_NAMESPACE", "keda")
        .env("WATCH_NAMESPACE", "");
    spawn(command, &plane.path("keda-adapter.log"))
}

fn of_kind((group, kind, plural): &(&str, &str, &str)) -> Value {
    let mut of = definition(group, "v1alpha1", kind, plural);
    of["spec"]["versions"][0]["subresources"] = json!({"status": {}});
    if kind.starts_with("Cluster") {
        of["spec"]["scope"] = json!("Cluster");
    }
    of
}

fn scaled_object() -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"name": NAME}, "minReplicaCount": 0, "maxReplicaCount": 3,
            "pollingInterval": 15, "cooldownPeriod": 5,
            "triggers": [{"type": "external-push", "metadata": {
                "scalerAddress": "127.0.0.1:9091", "signal": "igw_queue_depth", "threshold": "250", "latch": "5s",
            }}],
        },
    })
}

fn start(plane: &ControlPlane, operator: &Path) -> Result<Child, Failure> {
    let certificates = plane.path("keda-certs");
    std::fs::create_dir_all(&certificates)?;
    for (from, to) in [
        ("ca.crt", "ca.crt"),
        ("apiserver.crt", "tls.crt"),
        ("apiserver.key", "tls.key"),
    ] {
        std::fs::copy(plane.path(from), certificates.join(to))?;
    }
    let mut command = Command::new(operator);
    command
        .args([
            "--leader-elect=false".to_owned(),
            "--metrics-bind-address=127.0.0.1:18080".to_owned(),
            "--health-probe-bind-address=127.0.0.1:18081".to_owned(),
            format!("--metrics-service-bind-address={METRICS_SERVICE}"),
            format!("--cert-dir={}", certificates.display()),
        ])
        .env("KUBECONFIG", plane.path("admin.kubeconfig"))
        .env("POD_NAMESPACE", "keda")
        .env("KEDA_CLUSTER_OBJECT_NAMESPACE", "keda")
        .env("WATCH_NAMESPACE", "");
    spawn(command, &plane.path("keda.log"))
}

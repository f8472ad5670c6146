//! Option 2 of the guide: scale to zero and back by a real KEDA operator, which listens to Stillwell's external scaler.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::{Value, json};

use super::Failure;
use super::control_plane::{ControlPlane, spawn};
use super::gateway::Gateway;
use super::table::{Table, wait_for};
use super::walk::{POOL, definition, deployment, page, scaled};

const NAME: &str = "by-keda";
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
    operator: &Path,
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
    Ok(())
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
            "--metrics-service-bind-address=127.0.0.1:19666".to_owned(),
            format!("--cert-dir={}", certificates.display()),
        ])
        .env("KUBECONFIG", plane.path("admin.kubeconfig"))
        .env("POD_NAMESPACE", "keda")
        .env("KEDA_CLUSTER_OBJECT_NAMESPACE", "keda")
        .env("WATCH_NAMESPACE", "");
    spawn(command, &plane.path("keda.log"))
}

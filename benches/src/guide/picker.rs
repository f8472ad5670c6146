//! The real Endpoint Picker (`gateway-api-inference-extension`, `cmd/epp`) in place of the stand-in: found from its InferencePool,
//! and its page, for which it asks for a token, read.

use std::path::Path;
use std::process::{Child, Command};

use serde_json::{Value, json};

use super::Failure;
use super::control_plane::{ControlPlane, spawn};
use super::http;
use super::stillwell::WEB;
use super::table::{Seen, Table, wait_for};
use super::walk::{definition, deployment, pool};

const NAME: &str = "real-epp";
const METRICS_PORT: u16 = 19_190;
const CONFIG: &str = "apiVersion: inference.networking.x-k8s.io/v1alpha1\nkind: EndpointPickerConfig\nfeatureGates: [flowControl]\n";

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok(); // it may have ended
        self.0.wait().ok();
    }
}

/// Starts it for a pool of its own and waits until its page is read.
pub fn walk(plane: &ControlPlane, program: &Path, table: &mut Table) -> Result<(), Failure> {
    let group = "inference.networking.x-k8s.io";
    for (version, kind, plural) in [
        ("v1alpha2", "InferenceObjective", "inferenceobjectives"),
        (
            "v1alpha2",
            "InferenceModelRewrite",
            "inferencemodelrewrites",
        ),
    ] {
        plane.apply(&[definition(group, version, kind, plural)])?;
    }
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": NAME, "namespace": "default", "labels": {"app": NAME}},
        "spec": {"selector": {"app": NAME}, "ports": [{"name": "http-metrics", "port": 9090, "targetPort": METRICS_PORT}]},
    });
    plane.apply(&[
        deployment(NAME, 1, ("metrics", METRICS_PORT)),
        service,
        pool("real", NAME),
    ])?;
    let mut command = Command::new(program);
    command
        .args([
            "--pool-name=real".to_owned(),
            "--pool-namespace=default".to_owned(),
            "--pool-group=inference.networking.k8s.io".to_owned(),
            "--grpc-port=19102".to_owned(),
            "--grpc-health-port=19103".to_owned(),
            format!("--metrics-port={METRICS_PORT}"),
            format!("--config-text={CONFIG}"),
        ])
        .env("KUBECONFIG", plane.path("admin.kubeconfig"))
        .env("NAMESPACE", "default");
    let _process = Process(spawn(command, &plane.path("epp.log"))?);
    table.step(
        "the real Endpoint Picker with flow control, found from its InferencePool; it asks for a token",
        || {
            let (series, took) = wait_for("its page", 120, || {
                let query = "count%7Bpod%3D~%22real-epp.%2A%22%7D".replace("count%7B", "count(%7B");
                let path = format!("/api/v1/query?query={query})");
                let answer = http::get(WEB, &path)?;
                let count = answer["data"]["result"][0]["value"][1].as_str();
                let count = count.and_then(|text| text.parse::<u32>().ok());
                Ok(count.filter(|count| *count > 20)) // more than `up` and its like
            })?;
            let shown = families(plane)?;
            Ok(Seen::after(
                format!("its page is read: {series} series, such as {shown}"),
                took,
            ))
        },
    );
    Ok(())
}

/// Some of its families.
fn families(plane: &ControlPlane) -> Result<String, Failure> {
    let _ = plane;
    let path = "/api/v1/label/__name__/values?match[]=%7Bpod%3D~%22real-epp.%2A%22%7D";
    let answer = http::get(WEB, path)?;
    let names = answer["data"].as_array().into_iter().flatten();
    let of_picker = |name: &&str| name.starts_with("inference_") || name.starts_with("llm_d_");
    let names: Vec<&str> = names
        .filter_map(Value::as_str)
        .filter(of_picker)
        .take(3)
        .collect();
    Ok(names.join(", "))
}

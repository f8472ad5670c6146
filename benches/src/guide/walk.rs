//! The guide's own steps: flow control, rules as published, the HPA up and down, scale to zero.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Failure;
use super::control_plane::ControlPlane;
use super::gateway::Gateway;
use super::stillwell::Stillwell;
use super::table::{Seen, Table, wait_for};

/// The guide's names.
pub const POOL: &str = "vllm-llama3-8b-instruct";
/// Its HPA, below the API server.
pub const HPA: &str =
    "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/vllm-llama3-8b-instruct-hpa";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1";

/// The page of an Endpoint Picker with flow control.
pub fn page(pool: &str, queued: u32, running: u32) -> String {
    format!(
        "inference_extension_flow_control_queue_size{{fairness_id=\"f\",priority=\"0\",inference_pool=\"{pool}\",model_name=\"m\",target_model_name=\"m\"}} {queued}\n\
         inference_objective_running_requests{{model_name=\"m\"}} {running}\n\
         inference_extension_flow_control_pool_saturation{{inference_pool=\"{pool}\"}} 0.5\n\
         inference_pool_ready_pods{{name=\"{pool}\"}} 1\n"
    )
}

/// A definition of objects of which nothing is known but the names.
pub fn definition(group: &str, version: &str, kind: &str, plural: &str) -> Value {
    let approved = "api-approved.kubernetes.io";
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}"), "annotations": {approved: "unapproved, for a test"}},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_ascii_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{
                "name": version, "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

/// A Deployment of pods with one port.
pub fn deployment(name: &str, replicas: u32, (port_name, port): (&str, u16)) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "none", "ports": [{"name": port_name, "containerPort": port}]}]},
            },
        },
    })
}

/// An Endpoint Picker: its Deployment and the Service before it.
pub fn picker(name: &str, gateway: &Gateway) -> [Value; 2] {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "selector": {"app": name},
            "ports": [{"name": "http-metrics", "port": 9090, "targetPort": gateway.port}],
        },
    });
    [deployment(name, 1, ("metrics", gateway.port)), service]
}

/// An InferencePool and its Endpoint Picker's name.
pub fn pool(name: &str, picker: &str) -> Value {
    json!({
        "apiVersion": "inference.networking.k8s.io/v1", "kind": "InferencePool",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": name}}, "targetPorts": [{"number": 8000}],
            "endpointPickerRef": {"name": picker, "port": {"number": 9002}},
        },
    })
}

/// Walks the guide. Returns the process, for the steps that follow.
pub fn walk(
    plane: &ControlPlane,
    gateway: &Gateway,
    deploy: &Path,
    table: &mut Table,
) -> Result<Stillwell, Failure> {
    let epp = format!("{POOL}-epp");
    let pools = definition(
        "inference.networking.k8s.io",
        "v1",
        "InferencePool",
        "inferencepools",
    );
    plane.apply(&[pools])?;
    wait_for("InferencePools", 30, || {
        plane.apply(&[pool(POOL, &epp)])?;
        Ok(Some(()))
    })?;
    let mut objects = vec![deployment(POOL, 1, ("http", 8000))];
    objects.extend(picker(&epp, gateway));
    plane.apply(&objects)?;
    gateway.show(&page(POOL, 0, 0));
    table.step("1. flow control is on in the Endpoint Picker, which asks for a token", || {
        Ok(Seen::of("its stand-in shows `inference_extension_flow_control_queue_size` to whom TokenReview and SubjectAccessReview let in"))
    });
    let overlay = deploy.join("overlays/hpa").display().to_string();
    table.step(
        "2, 3, 4. `kubectl apply -k server/deploy/overlays/hpa`: rules and HPA as published",
        || {
            let said = plane.kubectl(&["apply", "-k", &overlay])?;
            Ok(Seen::of(format!("{} objects taken", said.lines().count())))
        },
    );
    Stillwell::mount_account(plane)?;
    let began = Instant::now();
    let process = Stillwell::start(plane, &[])?;
    table.step("Stillwell starts with the Deployment's arguments and ConfigMap; the APIService becomes available", || {
        wait_for("AVAILABLE True", 90, || available(plane, "v1beta1.external.metrics.k8s.io"))?;
        Ok(Seen::after("its CA is in `caBundle`; `AVAILABLE True`", began.elapsed()))
    });
    for metric in ["igw_queue_depth", "igw_running_requests"] {
        let path = format!("{EXTERNAL}/namespaces/default/{metric}");
        table.step(&format!("5. `kubectl get --raw {path}`"), || {
            let (value, took) = wait_for("a value", 30, || {
                let answer: Value =
                    serde_json::from_str(&plane.kubectl(&["get", "--raw", &path])?)?;
                Ok(answer["items"][0]["value"].as_str().map(str::to_owned))
            })?;
            Ok(Seen::after(format!("`{value}`"), took))
        });
    }
    let denied = gateway.answers(401) + gateway.answers(403);
    let (allowed, line) = (
        gateway.answers(200),
        "answers of the Endpoint Picker to scrapes until now",
    );
    table.step(line, || match allowed {
        0 => Err("none was allowed".into()),
        _ => Ok(Seen::of(format!("{allowed} with a page, {denied} refused"))),
    });
    up_and_down(plane, gateway, table)?;
    to_zero(plane, gateway, deploy, table)?;
    Ok(process)
}

/// Whether an APIService is available.
pub fn available(plane: &ControlPlane, name: &str) -> Result<Option<()>, Failure> {
    let service = plane.get(&format!(
        "/apis/apiregistration.k8s.io/v1/apiservices/{name}"
    ))?;
    let conditions = service["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let fits = |one: &Value| one["type"] == "Available" && one["status"] == "True";
    Ok(conditions.any(fits).then_some(()))
}

/// Waits until a Deployment shall have so many replicas; says which numbers were seen on the way.
pub fn scaled(
    plane: &ControlPlane,
    deployment: &str,
    to: i64,
    seconds: u64,
) -> Result<Seen, Failure> {
    let mut seen = vec![plane.replicas(deployment)?];
    let began = Instant::now();
    let mut first = None;
    let (_, took) = wait_for(&format!("{deployment} at {to}"), seconds, || {
        let now = plane.replicas(deployment)?;
        if seen.last() != Some(&now) {
            seen.push(now);
            first.get_or_insert(began.elapsed());
        }
        Ok((now == to).then_some(()))
    })
    .map_err(|error| format!("{error}; seen: {seen:?}"))?;
    let path: Vec<String> = seen.iter().map(ToString::to_string).collect();
    let first = first.map_or(String::new(), |first| {
        format!("; first decision after {:.1} s", first.as_secs_f64())
    });
    Ok(Seen::after(
        format!("replicas {}{first}", path.join(" → ")),
        took,
    ))
}

/// Lets the HPA scale in at its next look, where the guide's window is 5 minutes.
fn shorten(plane: &ControlPlane) -> Result<(), Failure> {
    let patch = json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}});
    plane.patch(HPA, &patch)?;
    Ok(())
}

fn up_and_down(plane: &ControlPlane, gateway: &Gateway, table: &mut Table) -> Result<(), Failure> {
    table.step("the HPA reads both metrics", || {
        let (targets, took) = wait_for("ScalingActive", 60, || {
            let hpa = plane.get(HPA)?;
            let line = plane.kubectl(&["get", "hpa", &format!("{POOL}-hpa"), "--no-headers"])?;
            Ok(is_active(&hpa).then_some(line))
        })?;
        let shown: Vec<&str> = targets.split_whitespace().collect();
        Ok(Seen::after(format!("`{}`", shown.join(" ")), took))
    });
    table.step(
        "700 queued, 600 running: the guide's HPA scales out",
        || {
            gateway.show(&page(POOL, 700, 600));
            scaled(plane, POOL, 3, 120)
        },
    );
    table.step(
        "nothing queued or running; the window of 300 s cut to 0 for this run: it scales in",
        || {
            shorten(plane)?;
            gateway.show(&page(POOL, 0, 0));
            scaled(plane, POOL, 1, 120)
        },
    );
    Ok(())
}

/// Whether the HPA says that it scales.
pub fn is_active(hpa: &Value) -> bool {
    let conditions = hpa["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one["type"] == "ScalingActive" && one["status"] == "True")
}

/// What the HPA says of why it does not scale.
pub fn why_inactive(hpa: &Value) -> String {
    let conditions = hpa["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let of = conditions.find(|one| one["type"] == "ScalingActive");
    let message = of.and_then(|one| one["message"].as_str()).unwrap_or("");
    message.chars().take(240).collect()
}

fn to_zero(
    plane: &ControlPlane,
    gateway: &Gateway,
    deploy: &Path,
    table: &mut Table,
) -> Result<(), Failure> {
    let overlay = deploy.join("overlays/scale-to-zero").display().to_string();
    table.step(
        "option 1: `kubectl apply -k server/deploy/overlays/scale-to-zero`, nothing to do",
        || {
            plane.kubectl(&["apply", "-k", &overlay])?;
            shorten(plane)?;
            scaled(plane, POOL, 0, 120)
        },
    );
    thread::sleep(Duration::from_secs(5)); // asleep for a while
    table.step("one request is queued at zero", || {
        gateway.show(&page(POOL, 1, 0));
        scaled(plane, POOL, 1, 60)
    });
    Ok(())
}

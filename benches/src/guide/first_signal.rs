//! From the ServiceMonitor of llm-d's chart to a first signal, by the steps of the README: objects as the `inferencepool` chart of
//! gateway-api-inference-extension 1.5 renders them, in a namespace of their own, and then nothing but what the README says.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::Failure;
use super::control_plane::ControlPlane;
use super::gateway::Gateway;
use super::readme::{cleared, commands};
use super::stillwell::Stillwell;
use super::table::{Seen, Table, wait_for};
use super::walk::{POOL, deployment, is_active, page, why_inactive};

const NAMESPACE: &str = "llm-d";
/// Where the README begins to say it, and where it ends.
const SECTION: (&str, &str) = ("From the ServiceMonitor", "With Helm");
/// More steps than these are none that a new user should have to take.
const STEPS_MAX: usize = 3;

/// Walks the steps, and waits until the HPA of the overlay reads both of its metrics.
pub fn walk(plane: &ControlPlane, deploy: &Path, table: &mut Table) -> Result<(), Failure> {
    cleared(plane)?;
    let gateway = Gateway::start(Some(&plane.proxy))?;
    gateway.show(&page(POOL, 12, 3));
    plane.apply(&objects(&gateway))?;
    let readme = fs::read_to_string(deploy.join("../../README.md"))?;
    let section = readme.split_once(SECTION.0).map_or("", |(_, rest)| rest);
    let section = section.split_once(SECTION.1).map_or("", |(of, _)| of);
    let steps = commands(section);
    if steps.is_empty() || steps.len() > STEPS_MAX {
        return Err(format!("the README has {} steps, not 1 to {STEPS_MAX}", steps.len()).into());
    }
    let clone = copied(plane, deploy)?;
    let mut process = None;
    let began = Instant::now();
    for (number, step) in steps.iter().enumerate() {
        let shown = step.split("   #").next().unwrap_or("").trim();
        let done = format!("chart's ServiceMonitor, step {}: `{shown}`", number + 1);
        table.step(&done, || match step.split_whitespace().next() {
            Some("$EDITOR") => edited(&clone, shown),
            _ => {
                let line = step.replace("SERVICE'", &format!("{POOL}-epp'"));
                let (said, _) = wait_for("success", 60, || match plane.shell(&line, &clone)? {
                    (true, said) => Ok(Some(said)),
                    (false, said) => Err(said.into()),
                })?;
                let last = said.lines().last().unwrap_or("").to_owned();
                Ok(Seen::after(format!("`{last}`"), began.elapsed()))
            }
        });
        if process.is_none() && step.contains("apply -k") {
            Stillwell::mount_account(plane)?;
            process = Some(Stillwell::start(plane, &[])?);
        }
    }
    table.step("the HPA of that overlay reads both metrics", || {
        let path =
            format!("/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{POOL}");
        let mut why = String::new();
        let found = wait_for("ScalingActive True", 60, || {
            let hpa = plane.get(&path)?;
            why = why_inactive(&hpa);
            Ok(is_active(&hpa).then_some(()))
        });
        let (_, took) = found.map_err(|error| format!("{error}: {why}"))?;
        Ok(Seen::after("`ScalingActive True`", took))
    });
    Ok(())
}

/// The manifests as a clone has them.
fn copied(plane: &ControlPlane, deploy: &Path) -> Result<std::path::PathBuf, Failure> {
    let clone = plane.path("first-signal");
    fs::create_dir_all(clone.join("server"))?;
    let copying = Command::new("cp")
        .arg("-r")
        .arg(deploy)
        .arg(clone.join("server/deploy"))
        .status()?;
    match copying.success() {
        true => Ok(clone),
        false => Err("the manifests cannot be copied".into()),
    }
}

/// Does what an editor is opened for: the namespace is another one, the names are the shipped ones.
fn edited(clone: &Path, line: &str) -> Result<Seen, Failure> {
    let files: Vec<&str> = line.split_whitespace().skip(1).collect();
    let [file] = files[..] else {
        return Err(format!("{} files to edit: {line}", files.len()).into());
    };
    let path = clone.join(file);
    let before = fs::read_to_string(&path)?;
    let after = before.replace("namespace: default", &format!("namespace: {NAMESPACE}"));
    if before == after {
        return Err(format!("{file} has no namespace").into());
    }
    fs::write(path, after)?;
    Ok(Seen::of(format!(
        "one file; the namespace is `{NAMESPACE}`"
    )))
}

/// What the chart renders for a pool with `monitoring.prometheus.enabled`, and the Deployment of its model servers.
fn objects(gateway: &Gateway) -> Vec<Value> {
    let picker = format!("{POOL}-epp");
    let labels = json!({"app.kubernetes.io/name": picker, "app.kubernetes.io/version": "1.5.0"});
    let secret = "inference-gateway-sa-metrics-reader-secret";
    let rbac = "rbac.authorization.k8s.io";
    let role = format!("{POOL}-{NAMESPACE}-epp");
    let named = |name: &str| json!({"name": name, "namespace": NAMESPACE, "labels": labels});
    let mut workloads = [
        deployment(&picker, 1, ("metrics", gateway.port)),
        deployment(POOL, 1, ("http", 8000)),
    ];
    for workload in &mut workloads {
        workload["metadata"]["namespace"] = json!(NAMESPACE);
    }
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named(&picker)}),
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": {
                "name": secret, "namespace": NAMESPACE, "labels": labels,
                "annotations": {"kubernetes.io/service-account.name": picker},
            },
        }),
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": {"name": role},
            "rules": [
                {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
                {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
                {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
            ],
        }),
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": role},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": picker, "namespace": NAMESPACE}],
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": named(&picker),
            "spec": {"selector": {"app": picker}, "ports": [
                {"name": "grpc-ext-proc", "port": 9002},
                {"name": "http-metrics", "port": 9090, "targetPort": gateway.port},
            ]},
        }),
        json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": named(&format!("{picker}-monitor")),
            "spec": {
                "endpoints": [{
                    "interval": "10s", "port": "http-metrics", "path": "/metrics",
                    "authorization": {"credentials": {"key": "token", "name": secret}},
                }],
                "jobLabel": picker,
                "namespaceSelector": {"matchNames": [NAMESPACE]},
                "selector": {"matchLabels": labels},
            },
        }),
    ];
    objects.extend(workloads);
    objects
}

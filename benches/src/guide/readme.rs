//! The commands of `server/deploy/README.md`, in its order, on the running control plane.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::Failure;
use super::control_plane::{ADDRESS, ControlPlane, spawn};
use super::stillwell::Stillwell;
use super::table::{Seen, Table, wait_for};
use super::walk::available;

/// What cannot be run here, and why.
const NOT_RUN: [(&str, &str); 2] = [
    (
        "port-forward",
        "there is no kubelet; the port is reached without",
    ),
    ("helm ", "no release of the adapter is installed"),
];
const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";

/// The commands of the console blocks; a line that ends in a backslash, in a pipe or within quotes goes on.
pub fn commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut in_console = false;
    let mut open = false;
    for line in text.lines() {
        match line.trim() {
            "```console" => in_console = true,
            "```" => in_console = false,
            line if in_console && line.starts_with("$ ") => commands.push(line[2..].to_owned()),
            line if in_console && open => {
                if let Some(last) = commands.last_mut() {
                    *last = format!("{}\n{line}", last);
                }
            }
            _ => {}
        }
        open = in_console
            && commands.last().is_some_and(|command| {
                let quotes = command.matches('\'').count();
                command.ends_with('\\') || command.ends_with('|') || quotes % 2 == 1
            });
    }
    commands
}

/// Another server of the group, in the adapter's place: its Service, and the APIService as the adapter's chart writes it.
fn adapter(plane: &ControlPlane) -> Result<std::process::Child, Failure> {
    let port = 6_444;
    let config = plane.path("adapter.yml");
    fs::write(
        &config,
        "signals: [{name: igw_queue_depth, expr: 'vector(0)'}]\n",
    )?;
    let mut command = Command::new(plane.stillwell());
    command
        .arg("serve")
        .arg(format!("--config.file={}", config.display()))
        .arg("--web.listen-address=127.0.0.1:9190")
        .arg("--keda.listen-address=127.0.0.1:9191")
        .arg(format!("--secure-port={port}"))
        .arg("--api-service.service=monitoring/prometheus-adapter")
        .arg(format!(
            "--kubeconfig={}",
            plane.path("admin.kubeconfig").display()
        ));
    let child = spawn(command, &plane.path("adapter.log"))?;
    let meta = json!({"name": "prometheus-adapter", "namespace": "monitoring"});
    plane.apply(&[
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]}}),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "prometheus-adapter", "namespace": "monitoring", "labels": {"kubernetes.io/service-name": "prometheus-adapter"}},
            "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": true}}], "ports": [{"name": "https", "port": port}],
        }),
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": API_SERVICE, "labels": {"app.kubernetes.io/managed-by": "Helm"}},
            "spec": {
                "group": "external.metrics.k8s.io", "version": "v1beta1", "insecureSkipTLSVerify": true,
                "groupPriorityMinimum": 100, "versionPriority": 100,
                "service": {"namespace": "monitoring", "name": "prometheus-adapter", "port": 443},
            },
        }),
    ])?;
    wait_for("the adapter's APIService", 90, || {
        available(plane, API_SERVICE)
    })?;
    Ok(child)
}

/// Runs the README's commands. Stillwell starts when its manifests are there, as kubelets would see to.
pub fn walk(plane: &ControlPlane, deploy: &Path, table: &mut Table) -> Result<(), Failure> {
    cleared(plane)?;
    let mut adapter = adapter(plane)?;
    let result = walk_beside(plane, deploy, table);
    adapter.kill().ok(); // it may have ended
    adapter.wait().ok();
    result
}

/// A cluster in which nothing of Stillwell is left.
pub(super) fn cleared(plane: &ControlPlane) -> Result<(), Failure> {
    for arguments in [
        "delete hpa --all -n default",
        "delete apiservice v1beta1.external.metrics.k8s.io v1beta1.custom.metrics.k8s.io v1beta2.custom.metrics.k8s.io v1beta1.metrics.k8s.io",
        "delete namespace stillwell",
        "delete clusterrole,clusterrolebinding -l app.kubernetes.io/part-of=stillwell",
        "delete rolebinding -n kube-system -l app.kubernetes.io/part-of=stillwell",
    ] {
        let arguments: Vec<&str> = arguments.split(' ').chain(["--ignore-not-found"]).collect();
        plane.kubectl(&arguments)?;
    }
    Ok(())
}

fn walk_beside(plane: &ControlPlane, deploy: &Path, table: &mut Table) -> Result<(), Failure> {
    // The README's paths are those of a clone. `apiservice.yaml` is taken out of the base, as it says.
    let clone = plane.path("clone");
    let copied = clone.join("server/deploy");
    fs::create_dir_all(clone.join("server"))?;
    let copying = Command::new("cp")
        .arg("-r")
        .arg(deploy)
        .arg(&copied)
        .status()?;
    if !copying.success() {
        return Err("the manifests cannot be copied".into());
    }
    let base = copied.join("base/kustomization.yaml");
    let text = fs::read_to_string(&base)?.replace("- apiservice.yaml\n", "");
    fs::write(base, text)?;
    let readme = fs::read_to_string(deploy.join("README.md"))?;
    let mut process = None;
    for command in commands(&readme) {
        let shown = command.split("   #").next().unwrap_or("").trim().to_owned();
        let done = format!("README: `{}`", shown.replace('\n', " "));
        if let Some((_, why)) = NOT_RUN.iter().find(|(part, _)| command.contains(part)) {
            table.not_run(&done, why);
            continue;
        }
        let line = command.strip_suffix(" &").unwrap_or(&command);
        table.step(&done, || {
            let attempt = || -> Result<(bool, String), Failure> { plane.shell(line, &clone) };
            // A group that was moved a moment ago is asked for again by the API server within seconds.
            let (said, took) = wait_for("success", 60, || match attempt()? {
                (true, said) => Ok(Some(said)),
                (false, said) => Err(said.into()),
            })?;
            let first = said
                .lines()
                .next()
                .unwrap_or("")
                .chars()
                .take(100)
                .collect::<String>();
            Ok(Seen::after(format!("`{first}`"), took))
        });
        if process.is_none() && line.contains("apply -k") {
            Stillwell::mount_account(plane)?;
            process = Some(Stillwell::start(plane, &[])?);
        }
        if line.contains("apiservice.yaml") && line.contains("apply") {
            moved(plane, table, "stillwell", true);
        }
        if line.contains("replace") {
            moved(plane, table, "prometheus-adapter", false);
        }
    }
    Ok(())
}

/// Waits until the group is served by this Service.
fn moved(plane: &ControlPlane, table: &mut Table, service: &str, by_ca: bool) {
    table.step(&format!("the group is served by {service}"), || {
        let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{API_SERVICE}");
        let (_, took) = wait_for("the move", 90, || {
            let spec = &plane.get(&path)?["spec"];
            let named = spec["service"]["name"] == service && spec["caBundle"].is_string() == by_ca;
            Ok(if named {
                available(plane, API_SERVICE)?
            } else {
                None
            })
        })?;
        Ok(Seen::after("`AVAILABLE True`", took))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_console_blocks_with_their_further_lines() {
        let text = "$ no\n```console\n$ a 'b\n  c' > d\n$ e \\\n  f\noutput\n$ g\n```\n```yaml\n$ no\n```\n";
        assert_eq!(commands(text), ["a 'b\nc' > d", "e \\\nf", "g"]);
    }
}

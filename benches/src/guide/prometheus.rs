//! A real Prometheus beside Stillwell with the same `scrape_configs`, of every role of `kubernetes_sd_configs` and some other
//! mechanisms, on the same API server: the same targets and the same series.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::{Value, json};

use super::Failure;
use super::control_plane::{ADDRESS, ControlPlane, spawn};
use super::gateway::Gateway;
use super::http;
use super::table::{Seen, Table, wait_for};
use super::walk::deployment;

/// Where the two listen.
const THEIRS: &str = "127.0.0.1:19090";
const OURS: &str = "127.0.0.1:19091";
const APP: &str = "compared";
/// Differences that a failed step names.
const SHOWN: usize = 12;

/// Ended with the step.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok(); // it may have ended
        self.0.wait().ok();
    }
}

/// Starts both and compares what they find and hold.
///
/// Prometheus needs some seconds for its first list where the machine is busy.
pub fn walk(plane: &ControlPlane, program: &Path, table: &mut Table) -> Result<(), Failure> {
    let gateway = Gateway::start(None)?;
    gateway.show(
        "queue{pool=\"p\",job=\"mine\",instance=\"me\"} 3\nqueue{pool=\"q\",exported_job=\"x\"} 4\nother{pool=\"p\"} 5\n",
    );
    plane.apply(&objects(&gateway))?;
    let file = plane.path("targets.json");
    let listed = json!([{"targets": [format!("{ADDRESS}:{}", gateway.port)], "labels": {"from": "a file", "__meta_x": "y"}}]);
    std::fs::write(&file, listed.to_string())?;
    let config = plane.path("compared.yml");
    std::fs::write(&config, text(plane, &gateway, &file))?;
    let mut theirs = Command::new(program);
    theirs.args([
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", plane.path("tsdb").display()),
        format!("--web.listen-address={THEIRS}"),
    ]);
    let mut ours = Command::new(plane.stillwell());
    ours.args([
        "serve".to_owned(),
        format!("--config.file={}", config.display()),
        format!("--web.listen-address={OURS}"),
        "--keda.listen-address=127.0.0.1:0".to_owned(),
    ]);
    let _theirs = Process(spawn(theirs, &plane.path("prometheus.log"))?);
    let _ours = Process(spawn(ours, &plane.path("compared.log"))?);
    table.step("a real Prometheus with the same `scrape_configs` on the same API server: the same targets, discovered labels and dropped ones", || {
        let count = same("targets", targets)?;
        Ok(Seen::of(format!("{count} labels of targets of roles pod, endpoints, endpointslice, service, node and ingress, of files and of static_configs, the same in both")))
    });
    table.step(
        "... and the same series, with relabelling, `honor_labels` and limits",
        || {
            let count = same("series", series)?;
            Ok(Seen::of(format!("{count} series, the same in both")))
        },
    );
    Ok(())
}

/// Waits until both say the same of something, and not nothing; answers how much.
fn same(what: &str, ask: fn(&str) -> Result<BTreeSet<String>, Failure>) -> Result<usize, Failure> {
    let mut seen = (BTreeSet::new(), BTreeSet::new());
    let found = wait_for(&format!("the same {what}"), 60, || {
        seen = (ask(OURS)?, ask(THEIRS)?);
        Ok((seen.0 == seen.1 && !seen.0.is_empty()).then_some(seen.0.len()))
    });
    match found {
        Ok((count, _)) => Ok(count),
        Err(error) => {
            let (ours, theirs) = seen;
            let some = |of: &BTreeSet<String>, other| {
                let only: Vec<String> = of.difference(other).take(SHOWN).cloned().collect();
                only.join("; ")
            };
            let (more, less) = (some(&ours, &theirs), some(&theirs, &ours));
            Err(format!("{error}; only ours: {more}; only theirs: {less}").into())
        }
    }
}

/// Each label of each target, discovered or not, of active and dropped ones; a line each, so that differences are short.
fn targets(server: &str) -> Result<BTreeSet<String>, Failure> {
    let answer = http::get(server, "/api/v1/targets")?;
    let mut lines = BTreeSet::new();
    for (list, kinds) in [
        ("activeTargets", &["labels", "discoveredLabels"][..]),
        ("droppedTargets", &["discoveredLabels"][..]),
    ] {
        for target in answer["data"][list].as_array().into_iter().flatten() {
            let discovered = &target["discoveredLabels"];
            let of = match list {
                "activeTargets" => format!("{} {}", target["scrapePool"], target["scrapeUrl"]),
                _ => format!("dropped {}", discovered["__address__"]),
            };
            // Several ports of a pod without one, and pods of one address, have the same URL.
            let container = &discovered["__meta_kubernetes_pod_container_port_name"];
            let of = format!(
                "{of} {} {container}",
                discovered["__meta_kubernetes_pod_name"]
            );
            for kind in kinds {
                for (label, value) in target[*kind].as_object().into_iter().flatten() {
                    lines.insert(format!("{of} {kind} {label}={value}"));
                }
            }
        }
    }
    Ok(lines)
}

/// Every series with its value, but for what takes time, and for the counts of pages that a limit refuses: Prometheus counts their
/// samples up to the limit, here nothing of such a page is counted.
fn series(server: &str) -> Result<BTreeSet<String>, Failure> {
    let query =
        "%7B__name__%3D~%22.%2B%22,__name__!~%22scrape_duration_seconds|scrape_series_added%22%7D";
    let answer = http::get(server, &format!("/api/v1/query?query={query}"))?;
    let found = answer["data"]["result"].as_array().cloned();
    let refused = |one: &Value| {
        let text = |label: &str| one["metric"][label].as_str().unwrap_or("");
        ["limited", "long-labels"].contains(&text("job"))
            && text("__name__").starts_with("scrape_samples_")
    };
    let one = |one: Value| format!("{} {}", one["metric"], one["value"][1]);
    let found = found.unwrap_or_default().into_iter();
    Ok(found.filter(|one| !refused(one)).map(one).collect())
}

fn text(plane: &ControlPlane, gateway: &Gateway, file: &Path) -> String {
    let kubeconfig = plane.path("admin.kubeconfig").display().to_string();
    let address = format!("{ADDRESS}:{}", gateway.port);
    let kubernetes = |role: &str, relabelling: &str| {
        format!(
            "- job_name: {role}\n  kubernetes_sd_configs: [{{role: {role}, kubeconfig_file: '{kubeconfig}', namespaces: {{names: [{APP}]}}}}]\n  \
             relabel_configs:\n{relabelling}"
        )
    };
    let map = |what: &str| {
        format!("  - {{action: labelmap, regex: __meta_kubernetes_{what}_label_(.+)}}\n")
    };
    let label =
        |from: &str, to: &str| format!("  - {{source_labels: [{from}], target_label: {to}}}\n");
    let mut text =
        "global: {scrape_interval: 1s, external_labels: {cluster: c}}\nscrape_configs:\n"
            .to_owned();
    text += &kubernetes(
        "pod",
        &[
            "  - {source_labels: [__meta_kubernetes_pod_container_port_name], regex: metrics, action: keep}\n".to_owned(),
            map("pod"),
            label("__meta_kubernetes_pod_controller_name", "controller"),
            label("__meta_kubernetes_pod_node_name", "node"),
            label("__meta_kubernetes_pod_ready", "ready"),
        ]
        .concat(),
    );
    text += &kubernetes(
        "endpoints",
        &[
            label("__meta_kubernetes_service_name", "service"),
            map("service"),
        ]
        .concat(),
    );
    text += &kubernetes(
        "endpointslice",
        &[
            label("__meta_kubernetes_endpointslice_port_name", "port"),
            label(
                "__meta_kubernetes_endpointslice_endpoint_conditions_ready",
                "ready",
            ),
            label("__meta_kubernetes_pod_name", "pod"),
        ]
        .concat(),
    );
    text += &kubernetes(
        "service",
        &label("__meta_kubernetes_service_cluster_ip", "cluster_ip"),
    );
    text += &kubernetes("ingress", &label("__meta_kubernetes_ingress_host", "host"));
    text += &format!(
        "- job_name: node\n  kubernetes_sd_configs: [{{role: node, kubeconfig_file: '{kubeconfig}'}}]\n  relabel_configs:\n{}",
        [map("node"), label("__meta_kubernetes_node_name", "node")].concat()
    );
    text += &format!(
        "- job_name: file\n  file_sd_configs: [{{files: ['{}']}}]\n\
         - job_name: honoured\n  honor_labels: true\n  static_configs: [{{targets: ['{address}'], labels: {{a: b}}}}]\n\
         - job_name: hashed\n  static_configs: [{{targets: ['{address}', '{ADDRESS}:1'], labels: {{a: b}}}}]\n  \
         relabel_configs: [{{source_labels: [__address__], modulus: 2, target_label: __tmp, action: hashmod}}, {{source_labels: [__tmp], target_label: shard}}, {{regex: a, action: labeldrop}}]\n\
         - job_name: limited\n  sample_limit: 2\n  static_configs: [{{targets: ['{address}']}}]\n\
         - job_name: long-labels\n  label_value_length_limit: 3\n  static_configs: [{{targets: ['{address}']}}]\n\
         - job_name: metrics\n  metric_relabel_configs: [{{source_labels: [pool], regex: q, action: drop}}, {{source_labels: [__name__], regex: o(.*), target_label: __name__, replacement: 'renamed_$1'}}]\n  \
         static_configs: [{{targets: ['{address}']}}]\n",
        file.display()
    );
    text
}

/// A namespace with pods, a Service of two ports and an Ingress.
fn objects(gateway: &Gateway) -> Vec<Value> {
    // One: pods here have one address, and of targets that are the same in the end either server keeps any.
    let mut pods = deployment(APP, 1, ("metrics", gateway.port));
    pods["metadata"]["namespace"] = json!(APP);
    pods["spec"]["template"]["metadata"]["annotations"] =
        json!({"example.com/with.dots": "yes", "plain": ""});
    let containers = &mut pods["spec"]["template"]["spec"]["containers"];
    containers[0]["ports"]
        .as_array_mut()
        .into_iter()
        .for_each(|ports| ports.push(json!({"name": "http", "containerPort": 8000})));
    let meta = json!({"name": APP, "namespace": APP, "labels": {"app": APP, "tier": "x"}});
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": APP}}),
        pods,
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": meta,
            "spec": {"selector": {"app": APP}, "ports": [
                {"name": "metrics", "port": 9090, "targetPort": "metrics"}, {"name": "web", "port": 80, "targetPort": 8000},
            ]},
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta,
            "spec": {"rules": [{"host": "h.example.com", "http": {"paths": [
                {"path": "/a", "pathType": "Prefix", "backend": {"service": {"name": APP, "port": {"number": 80}}}},
            ]}}]},
        }),
    ]
}

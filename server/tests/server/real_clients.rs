//! The real kubectl and curl read the guide's metrics over TLS, by the guide's own rules.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::certificates::{Authority, Files, Pair, SERVICE};
use crate::common::{TestTarget, server_of, settings, state, until};
use serde_json::{Value, json};
use stillwell::serve::ApiOptions;
use stillwell::serve::secure::SecureOptions;
use stillwell_adapters::host::Health;
use stillwell_testing::outside::{CURL, RIVALS};

const GROUP: &str = "/apis/external.metrics.k8s.io/v1beta1";
const PAGE: &str = "inference_extension_flow_control_queue_size{inference_pool=\"vllm-llama3-8b-instruct\",priority=\"0\"} 12\n\
inference_extension_flow_control_queue_size{inference_pool=\"vllm-llama3-8b-instruct\",priority=\"1\"} 1.5\n\
inference_extension_flow_control_queue_size{inference_pool=\"another\",priority=\"0\"} 1000\n\
inference_objective_running_requests{model_name=\"m\"} 250000\n";

struct Written {
    certificate: PathBuf,
    key: PathBuf,
}

fn write(files: &Files, name: &str, pair: &Pair) -> Written {
    Written {
        certificate: files.write(&format!("{name}.crt"), &pair.certificate.pem()),
        key: files.write(&format!("{name}.key"), &pair.key.serialize_pem()),
    }
}

/// Runs a command off the runtime; its exit code, output and errors.
async fn run(mut command: Command) -> (bool, String, String) {
    let run = move || command.output().expect("the command runs");
    let output = tokio::task::spawn_blocking(run).await.expect("no panic");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_and_curl_read_the_guides_metrics() {
    let target = TestTarget::with_page(PAGE).await;
    let files = Files::new("real-clients");
    let (serving, front, client) = (
        Authority::new("serving"),
        Authority::new("front"),
        Authority::new("clients"),
    );
    let pair = write(&files, "tls", &serving.server(SERVICE));
    let ca = files.write("serving-ca.crt", &serving.certificate.pem());
    let options = SecureOptions {
        address: "127.0.0.1:0".to_owned(),
        certificate: Some((pair.certificate, pair.key)),
        client_ca: Some(files.write("client.crt", &client.certificate.pem())),
        request_header_ca: Some(files.write("front.crt", &front.certificate.pem())),
        allowed_names: vec!["front-proxy-client".to_owned()],
        ..SecureOptions::default()
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base/config");
    let text = std::fs::read_to_string(folder.join("stillwell.yml")).expect("readable");
    // The shipped file finds its gateways in a cluster; here there is one, with the labels that they would have.
    let found = "inference_pools: {}";
    assert!(text.contains(found));
    let job = format!(
        "scrape_configs: [{{job_name: epp, static_configs: [{{targets: ['{}'], labels: {{top_level_controller_name: vllm-llama3-8b-instruct-epp}}}}]}}]",
        target.address
    );
    let text = text.replace(found, &job);
    let apis = ApiOptions {
        secure: Some(options),
        ..ApiOptions::default()
    };
    let running = server_of(&text, settings(Some(folder.join("stillwell.yml"))), apis).await;
    until(&running.app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    let address = running.secure_address.expect("a secure listener");

    let metrics = [
        ("igw_queue_depth", "13500m"),
        ("igw_running_requests", "250k"),
    ];
    let proxy = write(
        &files,
        "proxy",
        &front.client("front-proxy-client", &[], false),
    );
    let ordinary = write(&files, "ordinary", &client.client("somebody", &[], false));
    let expired = write(
        &files,
        "expired",
        &front.client("front-proxy-client", &[], true),
    );
    let named = write(&files, "named", &front.client("another", &[], false));
    let curl = |client: Option<&Written>, headers: &[&str], path: &str| {
        let mut command = Command::new("curl");
        command
            .args([
                "-sS",
                "--max-time",
                "20",
                "-w",
                "\n%{http_code}",
                "--cacert",
            ])
            .arg(&ca)
            .arg("--resolve")
            .arg(format!("{SERVICE}:{}:127.0.0.1", address.port()));
        if let Some(client) = client {
            command.arg("--cert").arg(&client.certificate);
            command.arg("--key").arg(&client.key);
        }
        for header in headers {
            command.args(["-H", header]);
        }
        command.arg(format!("https://{SERVICE}:{}{path}", address.port()));
        command
    };
    let hpa = [
        "X-Remote-User: system:serviceaccount:kube-system:horizontal-pod-autoscaler",
        "Accept: application/json",
    ];
    if CURL.find().is_some() {
        for (metric, value) in metrics {
            let path = format!("{GROUP}/namespaces/default/{metric}");
            let (ok, out, err) = run(curl(Some(&proxy), &hpa, &path)).await;
            let (body, code) = out.rsplit_once('\n').unwrap_or((&out, ""));
            assert!(ok && code == "200", "{out}{err}");
            let list: Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(list["items"][0]["value"], json!(value), "{body}");
            for (who, client, headers) in [
                ("no certificate", None, &[][..]),
                ("a header without a certificate", None, &hpa),
                (
                    "a certificate of the client CA that forges",
                    Some(&ordinary),
                    &hpa,
                ),
                ("a name that is not allowed", Some(&named), &hpa),
                ("an expired certificate", Some(&expired), &hpa),
            ] {
                let (_, out, err) = run(curl(client, headers, &path)).await;
                let (body, code) = out.rsplit_once('\n').unwrap_or((&out, ""));
                let status: Value = serde_json::from_str(body).unwrap_or(Value::Null);
                assert_eq!(
                    (code, &status["kind"], &status["reason"]),
                    ("403", &json!("Status"), &json!("Forbidden")),
                    "{who}: {out}{err}"
                );
            }
        }
        let (_, out, _) = run(curl(Some(&proxy), &hpa, GROUP)).await;
        assert!(
            out.contains("\"name\":\"igw_queue_depth\"") && out.ends_with("\n200"),
            "{out}"
        );
    }

    let Some(binary) = RIVALS.find_inside("usr/bin/kubectl") else {
        return running.stop().await;
    };
    let admin = write(
        &files,
        "admin",
        &client.client("admin", &["system:masters"], false),
    );
    let cache = files.write("cache", "").with_file_name("kubectl-cache");
    let kubectl = |client: &Written, arguments: &[&str]| {
        let mut command = Command::new(&binary);
        command
            .arg(format!("--server=https://{address}"))
            .arg(format!("--tls-server-name={SERVICE}"))
            .arg(format!("--certificate-authority={}", ca.display()))
            .arg(format!(
                "--client-certificate={}",
                client.certificate.display()
            ))
            .arg(format!("--client-key={}", client.key.display()))
            .arg(format!("--cache-dir={}", cache.display()))
            .args(["--kubeconfig=/dev/null", "--request-timeout=20s"])
            .args(arguments);
        command
    };
    for (metric, value) in metrics {
        let path = format!("{GROUP}/namespaces/default/{metric}");
        let (ok, out, err) = run(kubectl(&admin, &["get", "--raw", &path])).await;
        assert!(ok, "{out}{err}");
        let list: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(list["items"][0]["value"], json!(value), "{out}");
        let (ok, out, err) = run(kubectl(&ordinary, &["get", "--raw", &path])).await;
        assert!(!ok && err.contains("Forbidden"), "{out}{err}");
    }
    // kubectl reads the aggregated discovery document here.
    let (ok, out, err) = run(kubectl(&admin, &["api-resources", "--no-headers"])).await;
    assert!(ok, "{out}{err}");
    for (metric, value) in metrics {
        let line = out.lines().find(|line| line.starts_with(metric));
        let words: Vec<&str> = line.unwrap_or("").split_whitespace().collect();
        assert_eq!(
            words,
            [metric, "external.metrics.k8s.io/v1beta1", "true", metric],
            "{out}"
        );
        let named = format!("{metric}.external.metrics.k8s.io");
        let (ok, out, err) = run(kubectl(
            &admin,
            &["get", "--no-headers", "-n", "default", &named],
        ))
        .await;
        let words: Vec<&str> = out.split_whitespace().take(2).collect();
        assert!(ok && words == [metric, value], "{out}{err}");
    }
    let (ok, out, err) = run(kubectl(&admin, &["api-versions"])).await;
    assert!(
        ok && out.contains("external.metrics.k8s.io/v1beta1"),
        "{out}{err}"
    );
    running.stop().await;
}

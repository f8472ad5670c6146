//! A selector that matches nothing names the nearest thing that was seen: in the reason, on `/signals`, and by
//! `check config --live`.

use std::process::Command;

use crate::common::{TestTarget, get, server, state, until};
use stillwell_adapters::host::Health;

const PAGE: &str = "inference_extension_flow_control_queue_size{fairness_id=\"f\",inference_pool=\"vllm-llama-3-1-8b-instruct\",model_name=\"m\",priority=\"0\",target_model_name=\"m\"} 7\n\
inference_extension_flow_control_pool_saturation{inference_pool=\"vllm-llama-3-1-8b-instruct\"} 0.5\n\
vllm:num_requests_waiting{model_name=\"Qwen/Qwen3-32B\"} 3\n";

fn config(target: &TestTarget) -> String {
    format!(
        r#"global: {{scrape_interval: 20ms}}
scrape_configs:
- job_name: epp
  static_configs: [{{targets: ['{}']}}]
external_metrics: {{insecure: true}}
signals:
- {{name: pool, expr: 'sum(inference_extension_flow_control_queue_size{{inference_pool="vllm-llama3-8b-instruct"}})'}}
- {{name: metric, expr: 'sum(vllm_num_requests_waiting)'}}
- {{name: value, expr: 'sum(vllm:num_requests_waiting{{model_name="Qwen/Qwen3-32b"}})'}}
- {{name: bare, expr: 'vllm:num_requests_waiting{{model_name="Qwen/Qwen3-32b"}}'}}
- {{name: label, expr: 'sum(vllm:num_requests_waiting{{modelname="Qwen/Qwen3-32B"}})'}}
- {{name: right, expr: 'sum(vllm:num_requests_waiting{{model_name="Qwen/Qwen3-32B"}})'}}
- {{name: models, expr: 'sum by (model_name) (vllm:num_requests_waiting)'}}
- {{name: week, expr: 'max_over_time(vllm:num_requests_waiting[1w])'}}
- {{name: renamed, expr: 'sum(llm_d_epp_flow_control_queue_size)'}}
"#,
        target.address
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nearest_thing_seen_is_named() {
    let target = TestTarget::with_page(PAGE).await;
    let text = config(&target);
    let running = server(&text).await;
    let address = running.addresses[0];
    until(&running.app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    for (signal, code, says) in [
        ("pool", 503, "vllm-llama-3-1-8b-instruct"),
        ("metric", 503, "did you mean vllm:num_requests_waiting?"),
        (
            "value",
            503,
            "no series ever had model_name=\"Qwen/Qwen3-32b\"; seen: \"Qwen/Qwen3-32B\"",
        ),
        (
            "bare",
            503,
            "no series ever had model_name=\"Qwen/Qwen3-32b\"; seen: \"Qwen/Qwen3-32B\"",
        ),
        ("right", 200, "\"value\":\"3\""),
        ("renamed", 200, "\"value\":\"7\""),
    ] {
        let path = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/n/{signal}");
        let (told, _, body) = get(address, &path).await;
        assert_eq!(told, code, "{signal}: {body}");
        assert!(
            body.replace("\\\"", "\"").contains(says),
            "{signal}: {body}"
        );
        let (_, _, page) = get(address, &format!("/signals/{signal}")).await;
        assert!(code == 200 || page.contains(says), "{signal}: {page}");
    }
    let file = std::env::temp_dir().join(format!("stillwell-live-{}.yml", std::process::id()));
    std::fs::write(&file, &text).expect("writable");
    let checked = file.clone();
    let checking = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_stillwell"))
            .args(["check", "config", "--live"])
            .arg(format!("http://{address}"))
            .arg(checked)
            .output()
    });
    let output = checking.await.expect("it ends").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    std::fs::remove_file(&file).ok();
    for (signal, says) in [
        (
            "pool",
            "has inference_pool=\"vllm-llama3-8b-instruct\"; seen: [\"vllm-llama-3-1-8b-instruct\"]",
        ),
        (
            "metric",
            "no scraped series is called vllm_num_requests_waiting; did you mean vllm:num_requests_waiting?",
        ),
        (
            "value",
            "has model_name=\"Qwen/Qwen3-32b\"; seen: [\"Qwen/Qwen3-32B\"]",
        ),
        (
            "models",
            "model_name=\"Qwen/Qwen3-32B\" cannot stand in an HPA's selector: with `selector: sanitized` \
             model_name=Qwen_Qwen3-32B selects it, with `for_each: [model_name]` it is the metric models-qwen-qwen3-32b",
        ),
        ("week", "its query reads 1w back and samples are kept for"),
        (
            "label",
            "no scraped series has the label \"modelname\"; did you mean model_name?",
        ),
    ] {
        let line = said
            .lines()
            .find(|line| line.contains(&format!("{signal:?}")) && line.contains(says));
        assert!(line.is_some(), "{signal}: {said}");
    }
    for signal in ["right", "renamed"] {
        let blamed = said.lines().any(|line| {
            line.contains(&format!("signal {signal:?}")) && line.contains("no scraped series")
        });
        assert!(!blamed, "{signal}: {said}");
    }
    running.stop().await;
}

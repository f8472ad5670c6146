//! prometheus-adapter's rules files, as they are, over the external metrics API.

use crate::common::certificates::Files;
use crate::common::{TestTarget, get, server_with, settings, state, until};
use serde_json::{Value, json};
use stillwell::serve::app;
use stillwell_adapters::host::Health;

/// The first rule as the guide publishes it (README.hpa-igw.md): `namespaced` stands inside `overrides`.
const RULES: &str = r#"
rules:
  default: false
  external:
  - seriesQuery: 'inference_extension_flow_control_queue_size'
    resources:
      overrides:
        namespace:
          resource: "namespace"
        namespaced: false
    name:
      as: "igw_queue_depth"
    metricsQuery: 'sum(inference_extension_flow_control_queue_size{inference_pool="p"})'
  - seriesQuery: '{__name__=~"^inference_objective_.*"}'
    resources:
      overrides:
        ns: {resource: namespace}
    name: {matches: "^inference_objective_(.*)$", as: "igw_$1"}
    metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
"#;

const PAGE: &str = "inference_extension_flow_control_queue_size{inference_pool=\"p\"} 7\n\
inference_objective_running_requests{model_name=\"a\",ns=\"team-a\"} 2\n\
inference_objective_running_requests{model_name=\"b\",ns=\"team-a\"} 3\n\
inference_objective_running_requests{model_name=\"a\",ns=\"team-b\"} 40\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_with_a_slash_is_selected_by_a_text_that_kubernetes_takes() {
    let page = "vllm:num_requests_waiting{model_name=\"Qwen/Qwen3-32B\"} 3\n\
                vllm:num_requests_waiting{model_name=\"meta/llama\"} 4\n\
                vllm:num_requests_waiting{model_name=\"meta:llama\"} 5\n";
    let target = TestTarget::with_page(page).await;
    let folder = std::env::temp_dir().join(format!("stillwell-slash-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let rules = "externalRules:\n- {seriesQuery: 'vllm:num_requests_waiting', name: {as: by_rule}, resources: {namespaced: false}, selector: sanitized, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>})'}\n\
                 rules:\n- {seriesQuery: 'vllm:num_requests_waiting', name: {as: of_pod}, resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}, selector: sanitized, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'}\n";
    std::fs::write(folder.join("rules.yaml"), rules).expect("a temporary file");
    let expr = "expr: sum by (model_name) (vllm:num_requests_waiting)";
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: vllm\n  static_configs: [{{targets: ['{}'], labels: {{namespace: n, pod: p}}}}]\n\
         external_metrics: {{insecure: true, rules_files: [rules.yaml]}}\nsignals:\n\
         - {{name: sanitized, {expr}, selector: sanitized}}\n- {{name: exact, {expr}}}\n\
         - {{name: per_pod, expr: 'sum by (namespace, pod, model_name) (vllm:num_requests_waiting)', selector: sanitized}}\n",
        target.address
    );
    let config_file = folder.join("stillwell.yml");
    let running = server_with(&text, settings(Some(config_file)), Default::default()).await;
    until(&running.app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    for (path, code, says) in [
        (
            "sanitized?labelSelector=model_name%3DQwen_Qwen3-32B",
            200,
            "\"value\":\"3\"",
        ),
        (
            "sanitized?labelSelector=model_name%3DQwen.Qwen3-32B",
            200,
            "\"value\":\"3\"",
        ),
        (
            "sanitized?labelSelector=model_name+in+(Qwen_Qwen3-32B)",
            200,
            "\"value\":\"3\"",
        ),
        (
            "sanitized?labelSelector=model_name%21%3DQwen_Qwen3-32B,model_name+notin+(meta_x)",
            200,
            "\"value\":\"4\"",
        ),
        (
            "by_rule?labelSelector=model_name%3DQwen_Qwen3-32B",
            200,
            "\"value\":\"3\"",
        ),
        (
            "sanitized?labelSelector=model_name%3Dmeta_llama",
            503,
            "stands for 2 values: \"meta/llama\", \"meta:llama\"",
        ),
        (
            "by_rule?labelSelector=model_name%3Dmeta_llama",
            503,
            "stands for 2 values",
        ),
        (
            "exact?labelSelector=model_name%3DQwen_Qwen3-32B",
            503,
            "seen: ",
        ),
    ] {
        let path = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/n/{path}");
        let (told, _, body) = get(running.addresses[0], &path).await;
        let body = body.replace("\\\"", "\"");
        assert_eq!(told, code, "{path}: {body}");
        assert!(body.contains(says), "{path}: {body}");
    }
    for pods in ["p", "*"] {
        for metric in ["of_pod", "per_pod"] {
            for (model, code, says) in [
                ("Qwen_Qwen3-32B", 200, "\"value\":\"3\""),
                ("meta_llama", 503, "stands for 2 values"),
            ] {
                let path = format!(
                    "/apis/custom.metrics.k8s.io/v1beta1/namespaces/n/pods/{pods}/{metric}?metricLabelSelector=model_name%3D{model}"
                );
                let (told, _, body) = get(running.addresses[0], &path).await;
                // Of one object that a signal says nothing of, what there is is told.
                let (code, says) = match (pods, metric, code) {
                    ("p", "per_pod", 503) => (404, "seen: "),
                    _ => (code, says),
                };
                assert_eq!(told, code, "{path}: {body}");
                assert!(body.contains(says), "{path}: {body}");
            }
        }
    }
    std::fs::remove_dir_all(&folder).ok();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_files_are_served_and_look_at_who_asks() {
    let target = TestTarget::with_page(PAGE).await;
    let folder = std::env::temp_dir().join(format!("stillwell-rules-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let config_file = folder.join("stillwell.yml");
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['{}']}}]\nexternal_metrics: {{insecure: true, rules_files: [rules.yaml]}}\n",
        target.address
    );
    std::fs::write(&config_file, &text).expect("a temporary file");
    std::fs::write(folder.join("rules.yaml"), RULES).expect("a temporary file");
    let running = server_with(&text, settings(Some(config_file)), Default::default()).await;
    let address = running.addresses[0];
    until(&running.app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    let base = "/apis/external.metrics.k8s.io/v1beta1";
    let (_, _, body) = get(address, base).await;
    let listed: Value = serde_json::from_str(&body).expect("JSON");
    let names: Vec<&str> = listed["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(names, ["igw_queue_depth", "igw_running_requests"]);
    for (path, value) in [
        ("team-a/igw_queue_depth", "7"),
        // A query without the selector is told as it is, as by the adapter.
        ("team-a/igw_queue_depth?labelSelector=a%3Db", "7"),
        (
            "team-a/igw_queue_depth?labelSelector=inference_pool%3Dp,c",
            "7",
        ),
        ("team-a/igw_running_requests", "5"),
        ("team-b/igw_running_requests", "40"),
        (
            "team-a/IGW_Running_Requests?labelSelector=model_name%3Db",
            "3",
        ),
        (
            "team-a/igw_running_requests?labelSelector=model_name+in+(a,b)",
            "5",
        ),
        (
            "team-a/igw_running_requests?labelSelector=model_name+notin+(a)",
            "3",
        ),
    ] {
        let (status, _, body) = get(address, &format!("{base}/namespaces/{path}")).await;
        let list: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (status, &list["items"][0]["value"]),
            (200, &json!(value)),
            "{path}: {body}"
        );
    }
    for (path, code) in [
        ("team-c/igw_running_requests", 503),
        // ... but not to whoever asks for another pool than the query does: its queue may be full where this one is empty.
        (
            "team-a/igw_queue_depth?labelSelector=inference_pool%3Dother",
            503,
        ),
        ("team-a/igw_nothing", 404),
    ] {
        let (status, _, body) = get(address, &format!("{base}/namespaces/{path}")).await;
        assert_eq!(status, code, "{path}: {body}");
    }
    let (status, _, page) = get(address, "/signals/igw_running_requests").await;
    assert_eq!(status, 200, "{page}");
    for part in [
        "asked for   external: team-a, model_name=b\n",
        "asked for   external: team-b\n",
        "ago: team-b: 40\n",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    std::fs::write(
        folder.join("rules.yaml"),
        RULES.replace("metricsQuery", "metricQuery"),
    )
    .expect("a temporary file");
    let why = running.app.reload().await.expect_err("an unknown key");
    assert!(
        why.contains("rules.yaml line") && why.contains("did you mean metricsQuery?"),
        "{why}"
    );
    assert_eq!(
        get(address, &format!("{base}/namespaces/x/igw_queue_depth"))
            .await
            .0,
        200
    );
    std::fs::remove_dir_all(&folder).ok();
    running.stop().await;
}

/// External rules and `signals` share names, whatever their case, for an HPA asks in lower case; custom rules have names of their
/// own.
#[test]
fn a_name_is_made_once_by_external_rules_and_signals_and_once_more_by_custom_rules() {
    let external = |name: &str| {
        format!(
            "  - {{seriesQuery: q, resources: {{namespaced: false}}, name: {{as: {name}}}, metricsQuery: sum(q)}}\n"
        )
    };
    let custom = |name: &str| {
        format!(
            "  - {{seriesQuery: q, resources: {{template: <<.Resource>>}}, name: {{as: {name}}}, metricsQuery: 'sum(q{{<<.LabelMatchers>>}}) by (<<.GroupBy>>)'}}\n"
        )
    };
    for (story, rules, refused) in [
        (
            "as a signal",
            format!("rules:\n  external:\n{}", external("WAITING")),
            Some("a second signal \"WAITING\" (case is not looked at); the first is on line 1"),
        ),
        (
            "twice",
            format!("rules:\n  external:\n{}{}", external("x"), external("X")),
            Some("a second signal \"X\""),
        ),
        (
            "by a custom rule as well",
            format!(
                "rules:\n  external:\n{}  custom:\n{}{}",
                external("x"),
                custom("x"),
                custom("waiting")
            ),
            None,
        ),
    ] {
        let files = Files::new("clash");
        let folder = files.write("rules.yaml", &rules);
        let text = "signals: [{name: waiting, expr: sum(q)}]\nexternal_metrics: {rules_files: [rules.yaml]}\n";
        let features = stillwell_engine::promql::Features::default();
        let loaded = app::load(text, folder.parent().expect("a folder"), &features);
        let problems = loaded.err().map(|problems| format!("{problems:?}"));
        match (&problems, refused) {
            (None, None) => {}
            (Some(said), Some(expected)) => {
                let expected = expected.replace('"', "\\\"");
                assert!(said.contains(&expected), "{story}: {said}");
            }
            _ => panic!("{story}: {problems:?}"),
        }
    }
}

//! Metrics of objects, as an HPA of `type: Object` reads them, over a whole server.

use crate::common::{TestTarget, get, server_with, settings, state, until};
use serde_json::{Value, json};
use stillwell_adapters::host::Health;

const PAGE: &str = "queue{inference_pool=\"a\",model=\"m\"} 3\n\
queue{inference_pool=\"a\",model=\"n\"} 4\n\
queue{inference_pool=\"b\",model=\"m\"} 50\n\
waiting{ns=\"team-a\",inference_pool=\"a\"} 6\n\
waiting{ns=\"team-b\",inference_pool=\"a\"} 60\n";

const RULES: &str = "rules:\n  external:\n  - seriesQuery: 'waiting'\n    resources: {overrides: {ns: {resource: namespace}}}\n    name: {as: waiting}\n    metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>})'\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_told_of_the_object_that_it_is_about_and_of_no_other() {
    let target = TestTarget::with_page(PAGE).await;
    let folder = std::env::temp_dir().join(format!("stillwell-objects-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    std::fs::write(folder.join("rules.yaml"), RULES).expect("a temporary file");
    let text = format!(
        r#"
global: {{scrape_interval: 20ms}}
scrape_configs:
- job_name: epp
  static_configs: [{{targets: ['{}'], labels: {{service: epp, namespace: team-a}}}}]
external_metrics: {{insecure: true, rules_files: [rules.yaml], custom_api_groups: [custom.metrics.k8s.io, objects.example.com]}}
signals:
- {{name: by_pool, expr: sum by (inference_pool) (queue)}}
- {{name: by_model, expr: 'sum by (inference_pool, model) (queue)'}}
- {{name: pool_a, expr: 'sum(queue{{inference_pool="a"}})'}}
- {{name: total, expr: sum(queue)}}
- {{name: said, expr: sum(queue), labels: {{inference_pool: c}}}}
- {{name: by_service, expr: 'sum by (service, namespace) (queue)'}}
- {{name: private, expr: sum by (inference_pool) (queue), namespaces: [team-a]}}
- {{name: of_namespace, expr: sum by (namespace) (queue), namespaces: [team-a]}}
"#,
        target.address
    );
    let config_file = folder.join("stillwell.yml");
    let running = server_with(&text, settings(Some(config_file)), Default::default()).await;
    let address = running.addresses[0];
    until(&running.app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    let pool = "inferencepools.inference.networking.k8s.io";
    let old_pool = "inferencepools.inference.networking.x-k8s.io";
    let base = "/apis/custom.metrics.k8s.io/v1beta2/namespaces";
    for (path, value) in [
        (format!("team-a/{pool}/a/by_pool"), "7"),
        (format!("team-a/{old_pool}/a/by_pool"), "7"),
        (format!("team-b/{pool}/b/BY_POOL"), "50"),
        (
            format!("team-a/{pool}/a/by_model?metricLabelSelector=model%3Dn"),
            "4",
        ),
        (format!("team-a/{pool}/a/pool_a"), "7"),
        (format!("team-a/{pool}/c/said"), "57"),
        ("team-a/services/epp/by_service".to_owned(), "57"),
        (format!("team-a/{pool}/a/private"), "7"),
        // An HPA asks for the metric of a Namespace so; it is the namespace that may read it.
        ("team-a/metrics/of_namespace".to_owned(), "57"),
        (format!("team-a/{pool}/a/waiting"), "6"),
        (format!("team-b/{pool}/a/waiting"), "60"),
    ] {
        for base in [base, "/apis/objects.example.com/v1beta2/namespaces"] {
            let (status, _, body) = get(address, &format!("{base}/{path}")).await;
            let list: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(
                (status, &list["items"][0]["value"], &list["items"][1]),
                (200, &json!(value), &Value::Null),
                "{path}: {body}"
            );
        }
    }
    for (path, code, says) in [
        (
            format!("team-a/{pool}/a/total"),
            404,
            "group the query by inference_pool",
        ),
        (
            format!("team-a/{pool}/b/pool_a"),
            404,
            "none of its 1 elements is about \\\"b\\\" by its label inference_pool; seen: \\\"a\\\"",
        ),
        (
            format!("team-a/{pool}/a/by_model?metricLabelSelector=model%3Dx"),
            404,
            "",
        ),
        (
            format!("team-a/{pool}/a/said"),
            404,
            "none of its 1 elements is about",
        ),
        (
            format!("team-a/{pool}/a/by_model"),
            503,
            "2 elements are about it",
        ),
        (
            "team-a/services/other/by_service".to_owned(),
            404,
            "by_service is not there for services \\\"other\\\" in namespace \\\"team-a\\\": no series of it has \
             service=\\\"other\\\", and every target that could has answered; seen: \\\"epp\\\"",
        ),
        (
            "team-b/services/epp/by_service".to_owned(),
            404,
            "none of its 1 elements has namespace=team-b; seen: \\\"team-a\\\"",
        ),
        (
            format!("team-b/{pool}/a/private"),
            403,
            "not for namespace team-b",
        ),
        (
            "team-b/metrics/of_namespace".to_owned(),
            403,
            "not for namespace team-b",
        ),
        (format!("team-c/{pool}/a/waiting"), 503, "unknown"),
        (
            format!("team-a/{pool}/*/by_model?metricLabelSelector=model%3Dx"),
            404,
            "metricLabelSelector",
        ),
        (
            format!("team-a/{pool}/a/nothing"),
            404,
            "there is no metric nothing",
        ),
    ] {
        let (status, _, body) = get(address, &format!("{base}/{path}")).await;
        assert_eq!(status, code, "{path}: {body}");
        assert!(body.contains(says), "{path}: {body}");
    }
    std::fs::remove_dir_all(&folder).ok();
    running.stop().await;
}

//! `for_each`: a metric for each model that was seen, for HPAs that cannot select a name with a slash.

use crate::common::{TestTarget, eventually, get, server};
use serde_json::{Value, json};

const API: &str = "/apis/external.metrics.k8s.io/v1beta1";

async fn read(address: std::net::SocketAddr, metric: &str) -> (u16, Value) {
    let (status, _, body) = get(address, &format!("{API}/namespaces/a/{metric}")).await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_model_has_a_metric_of_its_own_and_what_stands_for_two_is_refused() {
    let family = "llm_d_epp_flow_control_queue_size";
    let page = |model: &str, queued: u32| {
        format!("{family}{{inference_pool=\"p\",model_name=\"{model}\"}} {queued}\n")
    };
    let models = page("Qwen/Qwen3-32B", 7) + &page("a/b", 1) + &page("a.b", 2) + &page("idle", 0);
    let target = TestTarget::with_page(&models).await;
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs: [{{job_name: j, static_configs: [{{targets: ['{}']}}]}}]\n\
         external_metrics: {{insecure: true}}\nsignals:\n\
         - {{name: queue, expr: 'sum by (model_name) ({family})', for_each: [model_name], namespaces: [a]}}\n",
        target.address
    );
    let running = server(&text).await;
    let address = running.addresses[0];
    eventually("the model's own metric", || async {
        let (status, list) = read(address, "queue-qwen-qwen3-32b").await;
        status == 200 && list["items"][0]["value"] == "7"
    })
    .await;
    let (_, list) = read(address, "Queue-Qwen-Qwen3-32B").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        list["items"][0]["metricLabels"],
        json!({"model_name": "Qwen/Qwen3-32B"})
    );
    assert_eq!(
        read(address, "queue-idle").await.1["items"][0]["value"],
        "0"
    );
    assert_eq!(
        read(address, "queue").await.1["items"]
            .as_array()
            .map(Vec::len),
        Some(4)
    );
    let (status, refused) = read(address, "queue-a-b").await;
    let why = refused["message"].as_str().expect("a text");
    assert!(
        status >= 400
            && why
                .contains("queue-a-b stands for 2 values: model_name=\"a.b\", model_name=\"a/b\""),
        "{why}"
    );
    assert_eq!(read(address, "queue-other").await.0, 404);
    let (status, _, _) = get(address, &format!("{API}/namespaces/b/queue-idle")).await;
    assert_eq!(status, 403, "the namespaces of the signal");
    let (_, _, list) = get(address, API).await;
    for name in ["\"queue\"", "\"queue-qwen-qwen3-32b\"", "\"queue-idle\""] {
        assert!(list.contains(name), "{list}");
    }
    running.stop().await;
}

#[test]
fn a_label_that_the_query_aggregates_away_is_refused() {
    let bad = [
        "sum(q)",
        "sum by (inference_pool) (q)",
        "sum without (model_name) (q)",
    ];
    for expr in bad {
        let text = format!("signals: [{{name: s, expr: '{expr}', for_each: [model_name]}}]\n");
        let problems = stillwell::serve::app::load(
            &text,
            std::path::Path::new(""),
            &stillwell_engine::promql::Features::default(),
        );
        let problems = problems.expect_err("a mistake");
        assert!(
            problems[0].message.contains("by (model_name)"),
            "{problems:?}"
        );
    }
    for expr in ["q", "sum by (model_name) (q)", "sum without (pod) (q)"] {
        let text = format!("signals: [{{name: s, expr: '{expr}', for_each: [model_name]}}]\n");
        let read = stillwell::serve::app::load(
            &text,
            std::path::Path::new(""),
            &stillwell_engine::promql::Features::default(),
        );
        assert!(read.is_ok(), "{expr}");
    }
}

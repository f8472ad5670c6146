//! A fallback and a floor, as the HPA, Prometheus' clients and people see them.

use crate::common::{Act, TestTarget, data, eventually, get, ok, server};
use serde_json::json;

const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_measured_is_told_only_where_it_is_configured_and_said_to_be() {
    let target = TestTarget::with_page("q{pool=\"a\"} 0\n").await;
    let text = format!(
        "global: {{scrape_interval: 20ms}}
scrape_configs:
- job_name: j
  static_configs: [{{targets: ['{}']}}]
signals:
- {{name: plain, expr: sum(q)}}
- {{name: safe, expr: sum(q), hold: 50ms, fallback: {{after: 50ms, value: 3}}}}
- {{name: same, expr: sum(q), hold: 50ms, fallback: {{after: 50ms, value: replicas-preserving}}}}
- name: warm
  expr: sum(q) + 0
  floor: [{{value: 2, start: '0 0 1 1 *', end: '1 0 1 1 *'}}, {{value: 4, start: '1 0 1 1 *', end: '0 0 1 1 *'}}]
external_metrics: {{insecure: true}}
",
        target.address
    );
    let running = server(&text).await;
    let address = running.addresses[0];
    let told = async |name: &str| get(address, &format!("{EXTERNAL}/{name}")).await;
    eventually("numbers", || async { told("plain").await.0 == 200 }).await;
    // Of two floors one applies at any time of the year but its first minute, and then the other.
    let (status, _, body) = told("warm").await;
    assert!(
        status == 200 && (body.contains("\"value\":\"4\"") || body.contains("\"value\":\"2\"")),
        "{body}"
    );
    assert!(told("safe").await.2.contains("\"value\":\"0\""));
    target.set(Act::Say(
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    eventually("the fallback", || async {
        told("safe").await.2.contains("\"value\":\"3\"")
    })
    .await;
    eventually("an error", || async { told("same").await.0 != 200 }).await;
    let (_, _, page) = get(address, "/signals/safe").await;
    assert!(
        page.contains("configured") && page.contains("which was not measured"),
        "{page}"
    );
    let (_, _, metrics) = get(address, "/metrics").await;
    assert!(
        metrics.contains("stillwell_signal_state{signal=\"safe\",state=\"configured\"} 1"),
        "{metrics}"
    );
    target.set(Act::Say(ok("q{pool=\"a\"} 7\n")));
    eventually("the measured number", || async {
        told("safe").await.2.contains("\"value\":\"7\"")
    })
    .await;
    let up = data(address, "/api/v1/query?query=up").await;
    assert_eq!(up["result"][0]["value"][1], json!("1"));
    running.stop().await;
}

//! The requests of the clients that people point at a Prometheus, each in the form in which it sends them, and what it needs
//! to find in the answer (sources: each client's own code, as named).

use crate::common::{TestTarget, eventually, http, server_with, settings, value};
use serde_json::Value;
use stillwell::serve::web::WebOptions;
use stillwell_adapters::time::rfc3339;
use stillwell_engine::Timestamp;

const PAGE: &str = "# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\nhttp_requests_total{code=\"200\"} 120\nhttp_requests_total{code=\"500\"} 3\n\
    wva_desired_replicas{variant_name=\"v\",exported_namespace=\"ns\"} 4\nqueue_size 7\n";

/// One request: who sends it, its method, path and body, and what its answer must be: a JSON pointer and the value there.
struct Sent {
    by: &'static str,
    request: (&'static str, &'static str),
    form: &'static str,
    headers: &'static str,
    answer: &'static [(&'static str, &'static str)],
}

const fn get(
    by: &'static str,
    path: &'static str,
    answer: &'static [(&'static str, &'static str)],
) -> Sent {
    Sent {
        by,
        request: ("GET", path),
        form: "",
        headers: "",
        answer,
    }
}

const fn post(
    by: &'static str,
    path: &'static str,
    form: &'static str,
    answer: &'static [(&'static str, &'static str)],
) -> Sent {
    Sent {
        by,
        request: ("POST", path),
        form,
        headers: "",
        answer,
    }
}

/// `NOW` and `AGO` are times in seconds, with a fraction as clients send it.
const SENT: [Sent; 33] = [
    // Grafana (prometheus data source): health, variables, panels, explore, exemplars, rules.
    post(
        "Grafana: health",
        "/api/v1/query",
        "query=1%2B1&time=4",
        &[("/data/resultType", "scalar"), ("/data/result/1", "2")],
    ),
    get(
        "Grafana: kind of server",
        "/api/v1/status/buildinfo",
        &[("/status", "success")],
    ),
    get(
        "Grafana: label names",
        "/api/v1/labels?start=AGO&end=NOW",
        &[("/data/0", "__name__")],
    ),
    post(
        "Grafana: label names",
        "/api/v1/labels",
        "start=AGO&end=NOW&match[]=queue_size",
        &[("/data/1", "instance")],
    ),
    get(
        "Grafana: metric names",
        "/api/v1/label/__name__/values?start=AGO&end=NOW&limit=40000",
        &[("/data/0", "http_requests_total")],
    ),
    get(
        "Grafana: values",
        "/api/v1/label/code/values?match[]=http_requests_total&start=AGO&end=NOW",
        &[("/data/1", "500")],
    ),
    post(
        "Grafana: series",
        "/api/v1/series",
        "match%5B%5D=%7B__name__%3D%22queue_size%22%7D&start=AGO&end=NOW",
        &[("/data/0/__name__", "queue_size")],
    ),
    post(
        "Grafana: panel",
        "/api/v1/query_range",
        "query=sum+by+%28code%29+%28http_requests_total%29&start=AGO&end=NOW&step=1",
        &[
            ("/data/resultType", "matrix"),
            ("/data/result/0/metric/code", "200"),
        ],
    ),
    post(
        "Grafana: table",
        "/api/v1/query",
        "query=queue_size&time=NOW",
        &[("/data/result/0/value/1", "7")],
    ),
    post(
        "Grafana: exemplars",
        "/api/v1/query_exemplars",
        "query=http_requests_total&start=AGO&end=NOW",
        &[("/status", "success")],
    ),
    get(
        "Grafana: metadata",
        "/api/v1/metadata?limit=40000",
        &[("/data/http_requests_total/0/type", "counter")],
    ),
    get("Grafana: rules", "/api/v1/rules", &[("/status", "success")]),
    post(
        "Grafana: format",
        "/api/v1/format_query",
        "query=sum(queue_size)",
        &[("/data", "sum(queue_size)")],
    ),
    // prometheus-api-client (Python): GET alone, with a range in the query.
    get("prometheus-api-client: connection", "/", &[]),
    get(
        "prometheus-api-client: all metrics",
        "/api/v1/label/__name__/values",
        &[("/data/0", "http_requests_total")],
    ),
    get(
        "prometheus-api-client: current value",
        "/api/v1/query?query=queue_size%7Bjob%3D%22j%22%7D",
        &[("/data/result/0/value/1", "7")],
    ),
    get(
        "prometheus-api-client: range",
        "/api/v1/query?query=queue_size%5B60s%5D&time=NOW",
        &[("/data/resultType", "matrix")],
    ),
    get(
        "prometheus-api-client: custom range",
        "/api/v1/query_range?query=queue_size&start=AGO&end=NOW&step=0.5",
        &[("/data/resultType", "matrix")],
    ),
    // Argo Rollouts (client_golang): a form first, GET where that is refused.
    post(
        "Argo Rollouts",
        "/api/v1/query",
        "query=sum%28http_requests_total%7Bcode%3D%22200%22%7D%29+%2F+sum%28http_requests_total%29&time=NOW",
        &[("/data/resultType", "vector")],
    ),
    post(
        "Argo Rollouts: scalar",
        "/api/v1/query",
        "query=scalar%28queue_size%29&time=NOW",
        &[("/data/resultType", "scalar"), ("/data/result/1", "7")],
    ),
    // Flagger: no time, the last element's string.
    get(
        "Flagger: online",
        "/api/v1/query?query=vector(1)",
        &[("/data/result/0/value/1", "1")],
    ),
    get(
        "Flagger: check",
        "//api/v1/query?query=sum%28http_requests_total%7Bcode%21~%225..%22%7D%29%2Fsum%28http_requests_total%29%2A100",
        &[("/data/resultType", "vector")],
    ),
    // llm-d's variant autoscaler, and the HPA rule over what it exports.
    post(
        "WVA: start",
        "/api/v1/query",
        "query=up&time=NOW",
        &[("/data/result/0/value/1", "1")],
    ),
    get(
        "WVA: its own output",
        "/api/v1/query?query=max(wva_desired_replicas%7Bvariant_name%3D%22v%22%7D)+by+(variant_name)",
        &[("/data/result/0/value/1", "4")],
    ),
    // Thanos: the sidecar reads configuration and metadata, the ruler sends parameters of its own.
    get(
        "Thanos sidecar: labels",
        "/api/v1/status/config",
        &[("/status", "success")],
    ),
    get(
        "Thanos sidecar: flags",
        "/api/v1/status/flags",
        &[("/status", "success")],
    ),
    get(
        "Thanos sidecar: metadata",
        "/api/v1/metadata?limit=-1&metric=",
        &[("/data/http_requests_total/0/help", "Requests.")],
    ),
    get(
        "Thanos sidecar: targets",
        "/api/v1/targets?state=any",
        &[("/data/activeTargets/0/health", "up")],
    ),
    get(
        "Thanos sidecar: series",
        "/api/v1/series?end=NOW&match%5B%5D=%7B__name__%3D%22queue_size%22%7D&start=AGO",
        &[("/data/0/job", "j")],
    ),
    post(
        "Thanos ruler",
        "/api/v1/query",
        "dedup=true&partial_response=true&query=queue_size+%3E+1&time=NOW&engine=prometheus",
        &[("/data/result/0/value/1", "7")],
    ),
    // Mimir's ruler evaluates elsewhere, and reads protobuf or JSON.
    Sent {
        by: "Mimir ruler",
        request: ("POST", "/api/v1/query"),
        form: "query=queue_size&time=NOW",
        headers: "X-Scope-OrgID: tenant\r\nX-Read-Consistency: strong\r\nAccept: application/vnd.mimir.queryresponse+protobuf,application/json\r\n",
        answer: &[("/data/result/0/value/1", "7")],
    },
    // A metrics adapter's relist, and KEDA's scaler, whose time has whole seconds.
    get(
        "prometheus-adapter",
        "/api/v1/series?match%5B%5D=%7B__name__%3D~%22%5Equeue.%2A%22%7D&start=AGO",
        &[("/data/0/__name__", "queue_size")],
    ),
    get(
        "KEDA",
        "/api/v1/query?query=queue_size&time=DATE",
        &[("/data/result/0/value/1", "7")],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_finds_what_it_needs() {
    let target = TestTarget::with_page(PAGE).await;
    let text = format!(
        "global: {{scrape_interval: 50ms, external_labels: {{zone: z}}}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    for prefix in ["", "/prometheus"] {
        let web = WebOptions {
            route_prefix: prefix.to_owned(),
            ..WebOptions::default()
        };
        let running = server_with(&text, settings(None), web).await;
        let address = running.addresses[0];
        if prefix.is_empty() {
            eventually("a scrape", || async {
                value(address, "queue_size").await.is_some()
            })
            .await;
        } else {
            let asked = format!("{prefix}/api/v1/query?query=queue_size");
            eventually("a scrape", || async {
                let answer = crate::common::data(address, &asked).await;
                answer["result"]
                    .as_array()
                    .is_some_and(|result| !result.is_empty())
            })
            .await;
        }
        let now_ms = running.app.scraper().shared().clock.wall_now().ms();
        let fill = |text: &str| {
            let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
            text.replace("NOW", &seconds(now_ms))
                .replace("AGO", &seconds(now_ms - 60_000))
                .replace(
                    "DATE",
                    &rfc3339(Timestamp::from_ms(now_ms / 1000 * 1000 + 1000)),
                )
        };
        for sent in &SENT {
            ask(address, prefix, sent, fill).await;
        }
        running.stop().await;
    }
}

async fn ask(
    address: std::net::SocketAddr,
    prefix: &str,
    sent: &Sent,
    fill: impl Fn(&str) -> String,
) {
    let (method, path) = sent.request;
    let (path, form) = (fill(path), fill(sent.form));
    let kind = match form.len() {
        0 => String::new(),
        length => format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n"
        ),
    };
    let request = format!(
        "{method} {prefix}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}{kind}\r\n{form}",
        sent.headers
    );
    let (status, head, body) = http(address, &request).await;
    assert_eq!(status, 200, "{}: {body}", sent.by);
    if sent.answer.is_empty() {
        return;
    }
    assert!(
        head.contains("content-type: application/json"),
        "{}: {head}",
        sent.by
    );
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(answer["status"], "success", "{}: {body}", sent.by);
    for (pointer, wanted) in sent.answer {
        let have = answer.pointer(pointer);
        assert_eq!(
            have.and_then(Value::as_str),
            Some(*wanted),
            "{}, {pointer}: {body}",
            sent.by
        );
    }
}

//! The same pages to a real Prometheus and to this server; then both are asked the same.
//!
//! Needs a Prometheus 3.5 or later: `../shared/rivals.sh DIR` unpacks one, and `STILLWELL_RIVALS_DIR=DIR` names it
//! (the program is `DIR/usr/bin/prometheus`). Without it these tests say so and pass. Pages of the gateway's versions
//! come from `../shared/epp/gen_epp.py` where that and python3 are there; the demo's own pages always take part.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use crate::common::rival::{PATIENCE, Prometheus, ask, path, prometheus_binary};
use crate::common::{ok, read_head, server};
use parking_lot::Mutex;
use serde_json::Value;
use stillwell_testing::outside::{PYTHON, SAMPLE_PAGES};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Pages of each version.
const PAGES: usize = 6;
/// Two times in a row that one server reads a page: when the second read begins, the first is in its store.
const READS: usize = 2;
const CLIENTS: [&str; 2] = ["who=prometheus", "who=stillwell"];

/// The guide's queries, those of the gateway's own guides, and the shapes that dashboards use.
const INSTANT: [&str; 33] = [
    r#"sum(inference_extension_flow_control_queue_size{inference_pool="vllm-llama3-8b-instruct"})"#,
    r#"sum(inference_objective_running_requests{top_level_controller_name="vllm-llama3-8b-instruct-epp"})"#,
    r#"sum(llm_d_epp_flow_control_queue_size{namespace="ns",service="optimized-baseline-epp",model_name="Qwen/Qwen3-32B"})"#,
    r#"sum(llm_d_epp_request_running{namespace="ns",service="optimized-baseline-epp",model_name="Qwen/Qwen3-32B"})"#,
    r#"max(llm_d_epp_flow_control_pool_saturation{inference_pool="vllm-llama3-8b-instruct",namespace="ns"})"#,
    r#"sum(llm_d_epp_inflight_tokens{namespace="ns"}) / 15928"#,
    r#"label_replace(llm_d_epp_inflight_tokens{namespace="ns"},"target_pod","$1","endpoint_name","(.+)") and on (target_pod) label_replace(llm_d_epp_per_endpoint_queue_size{name="vllm-llama3-8b-instruct"},"target_pod","$1","model_server_endpoint","(.+)")"#,
    r#"sum(inference_extension_flow_control_queue_size{target_model_name="Qwen/Qwen3-32B"}) or sum(inference_extension_flow_control_queue_size{model_name="Qwen/Qwen3-32B",target_model_name=""})"#,
    r#"sum(vllm:kv_cache_usage_perc{namespace="ns",pod=~".*decode.*"})"#,
    r#"max(kube_deployment_status_replicas_unavailable{namespace="ns",deployment="d"})"#,
    "up",
    "sum by (model_name) (llm_d_epp_request_running)",
    "sum without (model_name, target_model_name) (llm_d_epp_request_running)",
    "avg(inference_objective_running_requests) by (job)",
    "count by (__name__) ({__name__=~\"llm_d_epp_.*\"})",
    "count({__name__!=\"\", __name__!~\"scrape_.*\"})",
    "inference_objective_running_requests > 40",
    "inference_objective_running_requests > bool 40",
    "llm_d_epp_request_running * on (model_name) group_left inference_objective_running_requests",
    "sum(llm_d_epp_flow_control_queue_size) + sum(llm_d_epp_request_running)",
    "clamp_max(llm_d_epp_flow_control_pool_saturation, 0.5) or vector(0)",
    "inference_pool_ready_pods unless llm_d_epp_ready_endpoints",
    "min(llm_d_epp_per_endpoint_queue_size) or vector(0)",
    "histogram_quantile(0.9, sum(llm_d_epp_request_ttft_seconds_bucket) by (le))",
    "histogram_quantile(0.5, llm_d_epp_flow_control_request_queue_duration_seconds_bucket)",
    "absent(llm_d_epp_request_running)",
    "vector(1)",
    "1 + 2 * 3",
    "sum({__name__=~\".*_bucket\"}) by (__name__, le)",
    "topk(2, llm_d_epp_request_running)",
    "sort_desc(inference_objective_running_requests)",
    "stddev(llm_d_epp_request_running) / count(llm_d_epp_request_running)",
    "count_values(\"v\", llm_d_epp_ready_endpoints)",
];

/// Over the pages' own timestamps, so that both servers hold the same samples at the same times.
const RANGE: [&str; 14] = [
    r#"((histogram_quantile(0.9, sum(rate(llm_d_epp_request_predicted_ttft_seconds_bucket[1m])) by (le)) >= 0) or (histogram_quantile(0.9, sum(rate(llm_d_epp_request_ttft_seconds_bucket[1m])) by (le)) >= 0)) or vector(0)"#,
    r#"sum(inference_extension_flow_control_queue_size{inference_pool="vllm-llama3-8b-instruct"})"#,
    "sum(rate(llm_d_epp_request_total[1m])) by (model_name)",
    "rate(llm_d_epp_request_total[25s])",
    "increase(llm_d_epp_request_total[30s])",
    "irate(llm_d_epp_request_total[1m])",
    "avg_over_time(llm_d_epp_request_running[30s])",
    "max_over_time(inference_objective_running_requests[1m])",
    "min_over_time(llm_d_epp_flow_control_queue_size[45s])",
    "sum_over_time(llm_d_epp_flow_control_pool_saturation[30s])",
    "delta(inference_objective_running_requests[1m])",
    "llm_d_epp_request_running offset 20s",
    "max_over_time(sum(llm_d_epp_request_running)[1m:10s])",
    "histogram_quantile(0.99, rate(llm_d_epp_flow_control_request_queue_duration_seconds_bucket[1m]))",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_pages_answer_as_in_prometheus() {
    let Some(binary) = prometheus_binary() else {
        return;
    };
    let mut told = Told::default();
    for (version, pages) in versions() {
        let replay = Replay::start().await;
        let text = config(&replay);
        let running = server(&text.replace("WHO", "stillwell")).await;
        let prometheus = Prometheus::start(&binary, &text.replace("WHO", "prometheus"), &[]);
        for (number, page) in pages.iter().enumerate() {
            replay.turn(page.clone()).await;
            for query in INSTANT {
                let path = path("/api/v1/query", &[("query", query)]);
                let theirs = without_times(prometheus.ask(&replay.read, &path).await);
                let ours =
                    without_times(ask(running.addresses[0], &path).await.expect("an answer"));
                same(
                    &theirs,
                    &ours,
                    &format!("{version}, page {number}, {query}"),
                );
                told.note(version, query, &theirs);
            }
        }
        running.stop().await;
    }
    told.check(&INSTANT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_with_timestamps_answer_as_in_prometheus() {
    const STEP_S: i64 = 10;
    let Some(binary) = prometheus_binary() else {
        return;
    };
    let mut told = Told::default();
    for (version, pages) in versions() {
        let replay = Replay::start().await;
        let text = config(&replay);
        let running = server(&text.replace("WHO", "stillwell")).await;
        let prometheus = Prometheus::start(&binary, &text.replace("WHO", "prometheus"), &[]);
        let now_s = stillwell_adapters::host::Host::now(&*running.app).ms() / 1000;
        let start_s = now_s - STEP_S * pages.len() as i64 - 60;
        for (number, page) in pages.iter().enumerate() {
            let at_ms = (start_s + STEP_S * number as i64) * 1000;
            replay.turn(with_times(page, at_ms)).await;
        }
        let end_s = start_s + STEP_S * (pages.len() as i64 + 2);
        for query in RANGE {
            let range = [
                ("start", start_s.to_string()),
                ("end", end_s.to_string()),
                ("step", "5".to_owned()),
            ];
            let mut params = vec![("query", query)];
            params.extend(range.iter().map(|(name, value)| (*name, value.as_str())));
            let path = path("/api/v1/query_range", &params);
            let theirs = prometheus.ask(&replay.read, &path).await;
            let ours = ask(running.addresses[0], &path).await.expect("an answer");
            same(&theirs, &ours, &format!("{version}, {query}"));
            told.note(version, query, &theirs);
        }
        running.stop().await;
    }
    told.check(&RANGE);
}

/// Pages by name of version: the demo's, and the generator's where it can run.
fn versions() -> BTreeMap<&'static str, Vec<String>> {
    let mut versions = BTreeMap::new();
    let demo = (0..PAGES)
        .map(|number| stillwell::demo::page_at(8.0 + 7.0 * number as f64))
        .collect();
    versions.insert("demo", demo);
    let Some((python, generator)) = PYTHON.find().zip(SAMPLE_PAGES.find_inside("gen_epp.py"))
    else {
        return versions;
    };
    for version in [
        "gie-1.2",
        "gie-1.4",
        "gie-1.5",
        "router-0.10",
        "router-0.11",
    ] {
        let pages = (0..PAGES).map(|number| {
            let seconds = (3600 + 10 * number).to_string();
            let output = Command::new(python)
                .arg(&generator)
                .args(["--version", version, "--load", "1.3", "--inflight"])
                .args(["--t", &seconds])
                .output()
                .expect("python runs");
            assert!(output.status.success(), "{version}: {output:?}");
            let page = String::from_utf8(output.stdout).expect("pages are UTF-8");
            // The guide's name of the pool.
            page.replace("vllm-llama-3-1-8b-instruct", "vllm-llama3-8b-instruct")
        });
        versions.insert(version, pages.collect());
    }
    versions
}

fn config(replay: &Replay) -> String {
    format!(
        r#"
global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}
scrape_configs:
- job_name: epp
  params: {{who: [WHO]}}
  static_configs:
  - targets: ['{}']
    labels: {{namespace: ns, service: optimized-baseline-epp, top_level_controller_name: vllm-llama3-8b-instruct-epp}}
"#,
        replay.address
    )
}

/// Appends a timestamp to every sample.
fn with_times(page: &str, at_ms: i64) -> String {
    let line = |line: &str| match line {
        _ if line.is_empty() || line.starts_with('#') => format!("{line}\n"),
        _ => format!("{line} {at_ms}\n"),
    };
    page.lines().map(line).collect()
}

/// Gives the same page to both servers until both have read it.
#[derive(Clone)]
struct Replay {
    address: SocketAddr,
    turn: Arc<Mutex<Turn>>,
    read: Arc<Notify>,
}

#[derive(Default)]
struct Turn {
    answer: Vec<u8>,
    reads: [usize; 2],
}

impl Replay {
    async fn start() -> Replay {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let replay = Replay {
            address,
            turn: Arc::default(),
            read: Arc::default(),
        };
        replay.turn.lock().answer = ok("");
        let served = replay.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move {
                    while let Some(head) = read_head(&mut stream).await {
                        let answer = served.answer(&head);
                        if stream.write_all(&answer).await.is_err() {
                            return;
                        }
                        served.read.notify_waiters();
                    }
                });
            }
        });
        replay
    }

    fn answer(&self, head: &str) -> Vec<u8> {
        let mut turn = self.turn.lock();
        if let Some(client) = CLIENTS.iter().position(|name| head.contains(name)) {
            turn.reads[client] += 1;
        }
        turn.answer.clone()
    }

    async fn turn(&self, page: String) {
        *self.turn.lock() = Turn {
            answer: ok(&page),
            reads: [0; 2],
        };
        let reading = async {
            loop {
                let read = self.read.notified();
                tokio::pin!(read);
                read.as_mut().enable();
                if self.turn.lock().reads.iter().all(|reads| *reads > READS) {
                    return;
                }
                read.await;
            }
        };
        tokio::time::timeout(PATIENCE, reading)
            .await
            .expect("both servers read every page");
    }
}

/// Which queries gave anything: a comparison of nothing with nothing proves nothing.
#[derive(Default)]
struct Told {
    versions: BTreeSet<String>,
    queries: BTreeSet<String>,
}

impl Told {
    fn note(&mut self, version: &str, query: &str, data: &Value) {
        self.versions.insert(version.to_owned());
        if data["result"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
        {
            self.queries.insert(query.to_owned());
        }
    }

    /// Only the demo's pages do not have every family.
    fn check(&self, queries: &[&str]) {
        let of_other_pages = |query: &str| query.contains("vllm:") || query.contains("kube_");
        for query in queries.iter().filter(|query| !of_other_pages(query)) {
            assert!(
                self.versions.len() == 1 || self.queries.contains(*query),
                "always empty: {query}"
            );
        }
    }
}

/// Live samples have the times of two processes.
fn without_times(mut data: Value) -> Value {
    if let Some(items) = data["result"].as_array_mut() {
        for item in items.iter_mut().filter(|item| item.is_object()) {
            item["value"][0] = Value::Null;
        }
    }
    if data["resultType"] == "scalar" {
        data["result"][0] = Value::Null;
    }
    data
}

/// Equal but for the order of series without `sort` and for the last digits of sums.
fn same(theirs: &Value, ours: &Value, what: &str) {
    let by_labels = |data: &Value| -> BTreeMap<String, Value> {
        let items = data["result"].as_array().cloned().unwrap_or_default();
        items
            .into_iter()
            .map(|item| (item["metric"].to_string(), item))
            .collect()
    };
    assert_eq!(theirs["resultType"], ours["resultType"], "{what}");
    let (theirs, ours) = (by_labels(theirs), by_labels(ours));
    assert_eq!(
        theirs.keys().collect::<Vec<_>>(),
        ours.keys().collect::<Vec<_>>(),
        "{what}"
    );
    for (labels, left) in &theirs {
        assert!(
            near(left, &ours[labels]),
            "{what}\n{labels}\nprometheus {left}\nstillwell  {}",
            ours[labels]
        );
    }
}

fn near(left: &Value, right: &Value) -> bool {
    const RELATIVE: f64 = 1e-12;
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| near(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|r| near(value, r)))
        }
        (Value::String(a), Value::String(b)) if a != b => {
            match (a.parse::<f64>(), b.parse::<f64>()) {
                (Ok(a), Ok(b)) => (a - b).abs() <= RELATIVE * a.abs().max(b.abs()),
                _ => false,
            }
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => left == right,
    }
}

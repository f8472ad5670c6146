//! The HTTP API as its own document tells it: every path of it answers, every route is in it. And what Prometheus has added
//! since 3.5: searches, notifications, statistics, profiles.

use std::collections::BTreeSet;
use std::process::Command;

use crate::common::certificates::Files;
use crate::common::{TestTarget, data, eventually, get, http, server_with, settings, value};
use serde_json::{Value, json};
use stillwell::serve::web::WebOptions;
use stillwell_testing::outside::RIVALS;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PAGE: &str = "# HELP queue_size A queue.\n# TYPE queue_size gauge\nqueue_size{pool=\"a\"} 6\nqueue_size{pool=\"b\"} 1\n\
    # TYPE requests_total counter\nrequests_total 7\n";

async fn started(files: &Files) -> (stillwell::serve::Running, TestTarget) {
    let target = TestTarget::with_page(PAGE).await;
    let text = format!(
        "global: {{scrape_interval: 50ms}}\nscrape_configs:\n- job_name: j\n  basic_auth: {{username: u, password: hidden}}\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let config = files.write("config.yml", &text);
    let running = server_with(&text, settings(Some(config)), WebOptions::default()).await;
    let address = running.addresses[0];
    eventually("a scrape", || async {
        value(address, "sum(queue_size)").await == Some(7.0)
    })
    .await;
    (running, target)
}

/// Everything that the arms of the API's `match` name, with a word for each part that varies.
fn routes() -> BTreeSet<String> {
    let source = include_str!("../../../adapters/src/prometheus/endpoints.rs");
    let arms = source.lines().filter_map(|line| {
        let (arm, _) = line.trim().strip_prefix('[')?.split_once("] =>")?;
        let part = |part: &str| part.trim().trim_matches('"').to_owned();
        let parts: Vec<String> = arm.split(',').map(part).collect();
        Some(parts.join("/"))
    });
    arms.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_is_documented_and_every_documented_path_answers() {
    let files = Files::new("openapi");
    let (running, _target) = started(&files).await;
    let address = running.addresses[0];
    let (status, head, text) = get(address, "/api/v1/openapi.yaml").await;
    assert!(
        status == 200 && head.contains("content-type: application/yaml"),
        "{head}"
    );
    let document: Value = serde_saphyr::from_str(&text).expect("YAML");
    let paths = document["paths"].as_object().expect("paths");
    for route in routes() {
        let route = route
            .replace("label/name", "label/{name}")
            .replace("search/subject", "search/metric_names");
        assert!(
            paths.contains_key(&format!("/api/v1/{route}")),
            "{route} is not in the document"
        );
    }
    for (path, item) in paths {
        let item = item.as_object().expect("operations");
        for (method, operation) in item {
            assert!(
                operation["summary"].is_string() && operation["operationId"].is_string(),
                "{path}"
            );
            if path == "/api/v1/notifications/live" {
                continue; // its answer does not end
            }
            let asked = path.replace("{name}", "pool").replace("{profile}", "heap");
            let request = format!(
                "{} {asked} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                method.to_uppercase()
            );
            let (status, _, body) = http(address, &request).await;
            assert!(
                status != 405 && !body.starts_with("404 page not found"),
                "{method} {path}: {status} {body}"
            );
            let declared = operation["responses"].as_object().expect("responses");
            assert!(
                declared.contains_key(&status.to_string()),
                "{method} {path} answers {status}: {body}"
            );
        }
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_count_the_samples_that_a_query_looks_at() {
    let files = Files::new("stats");
    let (running, _target) = started(&files).await;
    let address = running.addresses[0];
    for (query, queryable, peak) in [
        ("queue_size", 2, 1),
        ("1%2B1", 0, 0),
        ("sum(queue_size)+%2B+requests_total", 3, 1),
    ] {
        for stats in ["true", "all"] {
            let answer = data(
                address,
                &format!("/api/v1/query?query={query}&stats={stats}"),
            )
            .await;
            let samples = &answer["stats"]["samples"];
            assert_eq!(
                samples["totalQueryableSamples"], queryable,
                "{query}: {samples}"
            );
            assert_eq!(samples["samplesRead"], queryable, "{query}");
            assert!(
                samples["peakSamples"].as_u64() >= Some(peak),
                "{query}: {samples}"
            );
            let timings = answer["stats"]["timings"].as_object().expect("timings");
            let names: BTreeSet<&str> = timings.keys().map(String::as_str).collect();
            let expected = [
                "evalTotalTime",
                "execQueueTime",
                "execTotalTime",
                "innerEvalTime",
                "queryPreparationTime",
                "resultSortTime",
            ];
            assert_eq!(names, BTreeSet::from(expected));
            assert!(timings["execTotalTime"].as_f64() > Some(0.0), "{query}");
        }
    }
    let plain = data(address, "/api/v1/query?query=queue_size").await;
    assert!(plain.get("stats").is_none());
    let (_, _, odd) = get(address, "/api/v1/query?query=1&stats=yes").await;
    assert!(
        odd.contains("\"stats\":{") && odd.contains("is deprecated and will be rejected"),
        "{odd}"
    );

    eventually("a second of history", || async {
        value(address, "count_over_time(queue_size{pool=\"a\"}[1m])").await >= Some(25.0)
    })
    .await;
    // Two windows that overlap: what both hold is looked at twice and read once.
    let end_s = running.app.scraper().shared().clock.wall_now().ms() as f64 / 1000.0 - 0.1;
    let range = format!(
        "/api/v1/query_range?query=count_over_time(queue_size[1s])&start={}&end={end_s}&step=0.5&stats=true",
        end_s - 0.5
    );
    let answer = data(address, &range).await;
    let series = answer["result"].as_array().expect("series").iter();
    let points = series.flat_map(|series| series["values"].as_array().expect("points").clone());
    let count = |point: Value| {
        point[1]
            .as_str()
            .expect("text")
            .parse::<u64>()
            .expect("a count")
    };
    let counted: u64 = points.map(count).sum();
    let samples = &answer["stats"]["samples"];
    assert_eq!(samples["totalQueryableSamples"], counted, "{samples}");
    assert!(samples["samplesRead"].as_u64() < Some(counted), "{samples}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_rank_names_and_say_whether_there_are_more() {
    let files = Files::new("search");
    let (running, _target) = started(&files).await;
    let address = running.addresses[0];
    let lines = |path: &'static str| async move {
        let (status, head, body) = get(address, path).await;
        assert!(
            status == 200 && head.contains("content-type: application/x-ndjson"),
            "{path}: {body}"
        );
        body.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect::<Vec<Value>>()
    };
    let found = lines("/api/v1/search/metric_names?search[]=qsize&include_score=true&include_metadata=true&sort_by=score").await;
    assert_eq!(found.len(), 2);
    let first = &found[0]["results"][0];
    assert_eq!(
        (&first["name"], &first["type"], &first["help"]),
        (&json!("queue_size"), &json!("gauge"), &json!("A queue."))
    );
    assert!(first["score"].as_f64() > Some(0.5), "{first}");
    assert_eq!(found[1], json!({"status": "success", "has_more": false}));
    let values =
        lines("/api/v1/search/label_values?label=pool&sort_by=alpha&sort_dir=dsc&batch_size=1")
            .await;
    assert_eq!(
        values[..2],
        [
            json!({"results": [{"value": "b"}]}),
            json!({"results": [{"value": "a"}]})
        ]
    );
    let cut = lines("/api/v1/search/label_names?limit=1").await;
    assert_eq!(
        cut,
        [
            json!({"results": [{"name": "__name__"}]}),
            json!({"status": "success", "has_more": true})
        ]
    );
    let none = lines("/api/v1/search/metric_names?search[]=zzz").await;
    assert_eq!(
        none,
        [
            json!({"results": []}),
            json!({"status": "success", "has_more": false})
        ]
    );
    for (path, says) in [
        ("label_values", "missing required parameter"),
        ("metric_names?sort_dir=asc", "only valid when sort_by"),
        ("metric_names?sort_by=score", "requires search[]"),
        ("metric_names?fuzz_alg=x", "unsupported fuzz_alg"),
        ("metric_names?fuzz_threshold=101", "must be 0-100"),
        ("metric_names?limit=0", "positive integer"),
        ("metric_names?limit=10001", "exceeds the configured maximum"),
        ("metric_names?case_sensitive=x", "must be boolean"),
        ("metric_names?match[]=(", "parse error"),
        ("metric_names?start=2&end=1", "before start"),
    ] {
        let (status, _, body) = get(address, &format!("/api/v1/search/{path}")).await;
        assert!(
            status == 400 && body.contains("\"errorType\":\"bad_data\"") && body.contains(says),
            "{path}: {body}"
        );
    }
    assert_eq!(get(address, "/api/v1/search/nothing").await.0, 404);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_reload_is_told_to_whoever_looks() {
    let files = Files::new("notifications");
    let (running, target) = started(&files).await;
    let address = running.addresses[0];
    assert_eq!(data(address, "/api/v1/notifications").await, json!([]));
    let mut live = tokio::net::TcpStream::connect(address)
        .await
        .expect("listening");
    let request = "GET /api/v1/notifications/live HTTP/1.1\r\nHost: x\r\n\r\n";
    live.write_all(request.as_bytes()).await.expect("it reads");
    files.write("config.yml", "scrape_configs: [{job_nam: x}]\n");
    running.app.reload().await.expect_err("a bad configuration");
    let told = data(address, "/api/v1/notifications").await;
    assert_eq!(
        (&told[0]["text"], &told[0]["active"]),
        (&json!("Configuration reload has failed."), &json!(true))
    );
    let mut text = String::new();
    let mut until = async |what: &str| {
        while !text.contains(what) {
            let mut bytes = [0; 4096];
            let count = live.read(&mut bytes).await.expect("a stream");
            assert!(count > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    };
    until("\"active\":true").await;
    let good = format!(
        "scrape_configs: [{{job_name: j, static_configs: [{{targets: ['{}']}}]}}]\n",
        target.address
    );
    files.write("config.yml", &good);
    running.app.reload().await.expect("a good configuration");
    until("\"active\":false").await;
    assert!(
        text.to_ascii_lowercase()
            .contains("content-type: text/event-stream"),
        "{text}"
    );
    assert_eq!(data(address, "/api/v1/notifications").await, json!([]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_shown_without_secrets_and_own_metrics_by_pattern() {
    let files = Files::new("pools");
    let (running, _target) = started(&files).await;
    let address = running.addresses[0];
    let shown = data(address, "/api/v1/scrape_pools/config?scrapePool=j").await;
    let yaml = shown["yaml"].as_str().expect("text");
    assert!(
        yaml.contains("job_name: j") && yaml.contains("<secret>") && !yaml.contains("hidden"),
        "{yaml}"
    );
    for (path, says) in [("", "no scrapePool"), ("?scrapePool=x", "not found")] {
        let (status, _, body) = get(address, &format!("/api/v1/scrape_pools/config{path}")).await;
        assert!(status == 400 && body.contains(says), "{body}");
    }
    let own = data(
        address,
        "/api/v1/status/self_metrics?metric_name_pattern=stillwell_targets.*",
    )
    .await;
    let names: Vec<&Value> = own
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["stillwell_targets", "stillwell_targets_up"]);
    assert_eq!(own[1]["metric"][0]["gauge"]["value"], 1);
    let (status, _, body) = get(address, "/api/v1/status/self_metrics?metric_name_pattern=(").await;
    assert!(
        status == 400 && body.contains("invalid metric_name_pattern"),
        "{body}"
    );
    for (path, status, says) in [
        ("profile?seconds=x", 400, "not a number"),
        ("profile?seconds=0", 400, "not a number"),
        ("trace", 404, "Go runtime"),
        ("nothing", 404, "no profile"),
    ] {
        let (have, _, body) = get(address, &format!("/debug/pprof/{path}")).await;
        assert!(
            have == status && body.contains(says),
            "{path}: {have} {body}"
        );
    }
    running.stop().await;
}

/// `promtool debug all` parses every profile that it fetches.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn promtool_does_with_us_what_it_does_with_prometheus() {
    let Some(promtool) = RIVALS.find_inside("usr/bin/promtool") else {
        return;
    };
    let files = Files::new("promtool-debug");
    let (running, _target) = started(&files).await;
    let server = format!("http://{}", running.addresses[0]);
    let folder = files.write("x", "").parent().expect("a folder").to_owned();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&promtool);
        command.current_dir(&folder).args(arguments);
        async move {
            let run = move || command.output().expect("promtool runs");
            let output = tokio::task::spawn_blocking(run).await.expect("no panic");
            let text = [output.stdout, output.stderr].concat();
            (
                output.status.success(),
                String::from_utf8_lossy(&text).into_owned(),
            )
        }
    };
    for (arguments, says) in [
        (
            &["query", "instant", &server, "sum(queue_size)"][..],
            "7 @[",
        ),
        (
            &["query", "range", "--step=1s", &server, "sum(queue_size)"],
            "7 @[",
        ),
        (
            &["query", "series", "--match=queue_size", &server],
            "__name__=\"queue_size\"",
        ),
        (&["query", "labels", &server, "pool"], "a"),
        (&["check", "healthy", &format!("--url={server}")], "SUCCESS"),
        (&["check", "ready", &format!("--url={server}")], "SUCCESS"),
        (&["debug", "metrics", &server], "debug.tar.gz"),
        (
            &["debug", "all", &server],
            "Compiling debug information complete",
        ),
    ] {
        let (ok, said) = run(arguments).await;
        assert!(ok && said.contains(says), "{arguments:?}: {said}");
    }
    // It analyses histograms, of which there are none here: it says so and nothing else.
    let analyze = [
        "query",
        "analyze",
        "--server",
        &server,
        "--type=histogram",
        "--match=queue_size",
    ];
    let (_, said) = run(&analyze).await;
    assert!(
        !said.contains("panic") && !said.contains("unexpected"),
        "{said}"
    );
    running.stop().await;
}

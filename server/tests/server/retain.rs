//! `retain: signals` end to end: of a page with many families only what signals need is held, a query that comes
//! later gets its number from the next page, and what no signal needs any more goes.

use crate::common::{TestTarget, data, get, server_with, settings, state, until, value};
use serde_json::Value;
use stillwell::config;
use stillwell_adapters::host::Health;

const QUEUE: &str = "llm_d_epp_flow_control_queue_size";
const HPA: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/";

/// A gateway's page: two families that matter, and a hundred that do not.
fn page() -> String {
    let mut page = format!(
        "process_start_time_seconds 1.7e+09\n# TYPE {QUEUE} gauge\n{QUEUE}{{inference_pool=\"p\"}} 7\n\
         # TYPE llm_d_epp_inflight_requests gauge\nllm_d_epp_inflight_requests{{model_name=\"m\"}} 3\n"
    );
    for family in 0..100 {
        page += &format!(
            "# HELP f{family} Measured.\n# TYPE f{family} gauge\nf{family}{{l=\"a\"}} 1\nf{family}{{l=\"b\"}} 2\n"
        );
    }
    page
}

fn config(target: &TestTarget, signals: &str) -> String {
    format!(
        "global: {{scrape_interval: 20ms}}\n\
         scrape_configs:\n- job_name: epp\n  retain: signals\n  static_configs: [{{targets: ['{}']}}]\n\
         signals:\n{signals}external_metrics: {{insecure: true}}\n",
        target.address
    )
}

fn names(series: &Value) -> Vec<String> {
    let of = |one: &Value| one["__name__"].as_str().expect("a name").to_owned();
    let all = series.as_array().expect("a list").iter().map(of);
    let mut names: Vec<String> = all
        .filter(|name| name != "up" && !name.starts_with("scrape_"))
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_signals_need_is_held_and_nothing_else() {
    let target = TestTarget::with_page(&page()).await;
    let queue = format!("- {{name: queue, expr: 'sum({QUEUE})'}}\n");
    let running_too = "- {name: inflight, expr: 'sum(llm_d_epp_inflight_requests)'}\n";
    let path = std::env::temp_dir().join(format!("stillwell-retain-{}.yml", std::process::id()));
    let text = config(&target, &format!("{queue}{running_too}"));
    std::fs::write(&path, &text).expect("a temporary file");
    let running = server_with(&text, settings(Some(path.clone())), Default::default()).await;
    let (app, address) = (&running.app, running.addresses[0]);
    until(app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;

    for (name, number) in [("queue", "7"), ("inflight", "3")] {
        let (status, _, body) = get(address, &format!("{HPA}{name}")).await;
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (status, &answer["items"][0]["value"]),
            (200, &Value::from(number))
        );
    }
    let held = data(address, "/api/v1/series?match[]={job=%22epp%22}").await;
    assert_eq!(
        names(&held),
        [
            QUEUE,
            "llm_d_epp_inflight_requests",
            "process_start_time_seconds"
        ]
    );
    assert_eq!(value(address, "scrape_samples_scraped").await, Some(203.0));
    let kept = value(address, "scrape_samples_post_metric_relabeling").await;
    assert_eq!(kept, Some(3.0));
    let (_, _, own) = get(address, "/metrics").await;
    let skipped = own
        .lines()
        .find_map(|line| line.strip_prefix("stillwell_scrape_lines_skipped_total "));
    let skipped: f64 = skipped.expect("told").parse().expect("a number");
    assert!(skipped >= 400.0 && skipped % 400.0 == 0.0, "{skipped}");

    // A query that comes later: unknown until the next page has brought what it reads.
    let mut path_of_late = "/guarded/api/v1/query?query=".to_owned();
    stillwell::http_client::encode_query("sum(f7)", &mut path_of_late);
    let before = state(app, &target).counts().scrapes;
    let (status, _, body) = get(address, &path_of_late).await;
    assert!(
        status == 503 && body.contains("waiting for the next page") || body.contains("\"3\""),
        "{status} {body}"
    );
    // One scrape may have been under way.
    until(app, "two scrapes", |app| {
        state(app, &target).counts().scrapes >= before + 2
    })
    .await;
    let (status, _, body) = get(address, &path_of_late).await;
    assert!(status == 200 && body.contains("\"3\""), "{status} {body}");

    // A reload lets go of what only the signal needed that it takes away.
    std::fs::write(&path, config(&target, &queue)).expect("a temporary file");
    app.reload().await.expect("a good configuration");
    let before = state(app, &target).counts().scrapes;
    until(app, "two scrapes", |app| {
        state(app, &target).counts().scrapes >= before + 2
    })
    .await;
    assert_eq!(value(address, "llm_d_epp_inflight_requests").await, None);
    assert_eq!(value(address, QUEUE).await, Some(7.0));
    assert_eq!(
        value(address, "sum(f7)").await,
        Some(3.0),
        "still asked for"
    );
    std::fs::remove_file(&path).ok();
    running.stop().await;
}

#[test]
fn a_configuration_that_keeps_nothing_is_warned_of() {
    let job = "scrape_configs:\n- {job_name: epp, retain: signals, static_configs: [{targets: ['a:1']}]}\n";
    let warnings = |text: &str| {
        let (loaded, report) = config::load_with_files(text, std::path::Path::new("."));
        assert!(loaded.is_some(), "{:?}", report.errors);
        report.warnings
    };
    let warned = warnings(job);
    assert_eq!(warned.len(), 1, "{warned:?}");
    let text = warned[0].to_string();
    assert!(
        text.contains("line 2") && text.contains("retain: signals"),
        "{text}"
    );
    let with_signal = format!("{job}signals:\n- {{name: q, expr: 'sum(q)'}}\n");
    assert!(warnings(&with_signal).is_empty());
}

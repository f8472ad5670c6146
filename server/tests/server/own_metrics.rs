//! The server's own metrics: complete, described in one table, and what the shipped dashboard and alert rules read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::certificates::Files;
use crate::common::receiver::Receiver;
use crate::common::write_receiver::{Answer, WriteReceiver};
use crate::common::{TestTarget, data, eventually, get, server_with, settings, value};
use serde_json::Value;
use stillwell_engine::labels::METRIC_NAME;
use stillwell_engine::promql::{Features, Query};
use stillwell_testing::outside::RIVALS;

fn shipped(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/monitoring");
    folder.join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(shipped(name)).expect("shipped")
}

/// Per family of the table: its type, unit and meaning.
fn table() -> BTreeMap<String, [String; 3]> {
    let text = read("README.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
        let name = cells[0].trim_end_matches('`').to_owned();
        (
            name,
            [cells[1], cells[2], cells[4]].map(|cell| cell.trim().to_owned()),
        )
    })
    .collect()
}

/// Per family of a page: its type, unit and meaning.
fn told(page: &str) -> BTreeMap<String, [String; 3]> {
    let mut families: BTreeMap<String, [String; 3]> = BTreeMap::new();
    for line in page.lines() {
        let mut words = line.splitn(4, ' ');
        let at = match (words.next(), words.next()) {
            (Some("#"), Some("TYPE")) => 0,
            (Some("#"), Some("HELP")) => 2,
            _ => continue,
        };
        let name = words.next().expect("a name").to_owned();
        let family = families.entry(name.clone()).or_default();
        words.next().unwrap_or("").clone_into(&mut family[at]);
        let bare = name.strip_suffix("_total").unwrap_or(&name);
        let unit = ["seconds", "bytes"]
            .into_iter()
            .find(|unit| bare.ends_with(unit));
        unit.unwrap_or("").clone_into(&mut family[1]);
    }
    families
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_and_the_page_agree() {
    let target = TestTarget::with_page("q 3\n").await;
    let receiver = Receiver::start().await;
    let written = WriteReceiver::start(&[Answer::Take]).await;
    let files = Files::new("own-metrics");
    let text = format!(
        "global: {{scrape_interval: 50ms}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}']}}]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\nremote_write: [{{url: 'http://{}/w'}}]\n\
         signals:\n- {{name: depth, expr: q}}\n- {{name: nothing, expr: 'sum(not_there)'}}\n",
        target.address, receiver.address, written.address
    );
    let config = files.write("config.yml", &text);
    let mut settings = settings(Some(config));
    settings.storage_path = Some(files.write("marker", "").with_extension("snapshots"));
    let storage = settings.storage_path.clone().expect("given");
    let running = server_with(&text, settings, Default::default()).await;
    let address = running.addresses[0];
    eventually("a number and an alertmanager", || async {
        let (_, _, page) = get(address, "/metrics").await;
        page.contains("\nstillwell_signal_value{")
            && page.contains("\nstillwell_notifications_sent_total{")
            && page.contains("\nstillwell_remote_write_samples_total{")
    })
    .await;
    let (_, head, page) = get(address, "/metrics").await;
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    let (table, told) = (table(), told(&page));
    assert_eq!(told, table);
    for (name, [kind, _, help]) in &told {
        assert!(help.ends_with('.') && !kind.is_empty(), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
    }
    let json = data(address, "/api/v1/status/self_metrics").await;
    let names: BTreeSet<&str> = json
        .as_array()
        .expect("a list")
        .iter()
        .map(|family| family["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, table.keys().map(String::as_str).collect());

    let openmetrics = crate::common::http(
        address,
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        openmetrics
            .1
            .contains("content-type: application/openmetrics-text; version=1.0.0")
    );
    let checked = stillwell_engine::exposition::check_openmetrics(openmetrics.2.as_bytes());
    assert!(checked.is_ok(), "{checked:?}");

    for (page, code, says) in [
        (page.as_str(), 0, ""),
        ("", 0, ""),
        ("a 1\na 2\n", 3, "a metric not unique\na no help text\n"),
        (
            "a 1\n# TYPE a gauge\n",
            1,
            "text format parsing error in line 2: second TYPE line for metric name \"a\", or TYPE reported after samples\n",
        ),
    ] {
        let file = std::fs::File::open(files.write("linted", page)).expect("written");
        let checked = Command::new(env!("CARGO_BIN_EXE_stillwell"))
            .args(["check", "metrics", "--lint=error"])
            .stdin(file)
            .output();
        let checked = checked.expect("it runs");
        let said = String::from_utf8_lossy(&checked.stdout);
        assert_eq!(
            (checked.status.code(), &*said),
            (Some(code), says),
            "{page}"
        );
    }
    if let Some(promtool) = RIVALS.find_inside("usr/bin/promtool") {
        let page = files.write("page", &page);
        let file = std::fs::File::open(page).expect("written");
        let checked = Command::new(promtool)
            .args(["check", "metrics"])
            .stdin(file)
            .output();
        let checked = checked.expect("promtool runs");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && said.is_empty(), "{said}");
    }
    running.stop().await;
    std::fs::remove_dir_all(storage).ok();
}

/// KEDA's own metrics keep the last value of a scaler that cannot be read, and dashboards show a queue that nobody measures
/// (keda#6617).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_nobody_measures_vanishes_and_so_does_a_removed_signal() {
    let target = TestTarget::with_page("q{pool=\"a\",signal=\"s\"} 3\n").await;
    let files = Files::new("signal-series");
    let base = format!(
        "global: {{scrape_interval: 50ms}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let with = |signals: &str| format!("{base}signals:\n{signals}");
    let depth = "- {name: depth, expr: 'sum by (pool, signal) (q)', hold: 100ms}\n";
    let text = with(&format!("{depth}- {{name: other, expr: q}}\n"));
    let config = files.write("config.yml", &text);
    let running = server_with(&text, settings(Some(config)), Default::default()).await;
    let address = running.addresses[0];
    let page = || async { get(address, "/metrics").await.2 };
    let number = "stillwell_signal_value{signal=\"depth\",pool=\"a\",exported_signal=\"s\"} 3\n";
    eventually("a number", || async { page().await.contains(number) }).await;
    assert!(
        page()
            .await
            .contains("stillwell_signal_state{signal=\"depth\",state=\"value\"} 1\n")
    );
    target.set(crate::common::Act::Reset);
    eventually("no number", || async {
        let page = page().await;
        page.contains("stillwell_signal_state{signal=\"depth\",state=\"unknown\"} 1\n")
            && !page.contains("stillwell_signal_value{signal=\"depth\"")
            && !page.contains("stillwell_signal_age_seconds{signal=\"depth\"")
    })
    .await;
    files.write("config.yml", &with("- {name: other, expr: q}\n"));
    running.app.reload().await.expect("a good configuration");
    let page = page().await;
    assert!(
        !page.contains("signal=\"depth\"") && page.contains("signal=\"other\""),
        "{page}"
    );
    running.stop().await;
}

/// The metrics of our own that a query reads.
fn read_by(expr: &str) -> Vec<String> {
    let query = Query::parse(expr, &Features::default());
    let query = query.unwrap_or_else(|error| panic!("{expr}: {error}"));
    let names = query.selectors().flat_map(|selector| {
        let named = selector
            .matchers
            .iter()
            .filter(|matcher| matcher.name() == METRIC_NAME);
        named
            .map(|matcher| matcher.value().to_owned())
            .collect::<Vec<_>>()
    });
    names.collect()
}

fn expressions(json: &Value, into: &mut Vec<String>) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name == "expr") {
                    Some(expr) => into.push(expr.to_owned()),
                    None => expressions(value, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, into)),
        _ => {}
    }
}

#[test]
fn the_dashboard_and_the_alert_rules_read_what_there_is() {
    let table = table();
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).expect("JSON");
    let rules: Value = serde_saphyr::from_str(&read("alerts.yaml")).expect("YAML");
    let mut exprs = Vec::new();
    expressions(&dashboard, &mut exprs);
    let of_dashboard = exprs.len();
    expressions(&rules, &mut exprs);
    assert!(of_dashboard > 15 && exprs.len() > of_dashboard + 10);
    for expr in &exprs {
        let names = read_by(expr);
        assert!(!names.is_empty(), "{expr}");
        for name in names {
            let family = name.strip_suffix("_bucket").unwrap_or(&name);
            assert!(table.contains_key(family), "{expr}: no {name}");
        }
    }
    if let Some(promtool) = RIVALS.find_inside("usr/bin/promtool") {
        let mut check = Command::new(promtool);
        let checked = check
            .args(["check", "rules"])
            .arg(shipped("alerts.yaml"))
            .output();
        let checked = checked.expect("promtool runs");
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(
            checked.status.success() && said.contains("12 rules found"),
            "{said}"
        );
    }
}

/// The shipped rules in a running server: one fires, with its text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alert_rules_fire() {
    let files = Files::new("own-alerts");
    let rules = read("alerts.yaml").replace("for: 2m", "for: 0s");
    files.write("rules.yml", &rules);
    let target =
        TestTarget::with_page("stillwell_signal_state{signal=\"depth\",state=\"unknown\"} 1\n")
            .await;
    let text = format!(
        "global: {{scrape_interval: 50ms, evaluation_interval: 50ms}}\nrule_files: ['*rules.yml']\nscrape_configs:\n- job_name: stillwell\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let config = files.write("config.yml", &text);
    let running = server_with(&text, settings(Some(config)), Default::default()).await;
    let address = running.addresses[0];
    let firing =
        "ALERTS{alertname=\"StillwellSignalUnknown\", signal=\"depth\", alertstate=\"firing\"}";
    eventually("it fires", || async {
        value(address, firing).await == Some(1.0)
    })
    .await;
    let alerts = data(address, "/api/v1/alerts").await;
    let summary = alerts["alerts"][0]["annotations"]["summary"]
        .as_str()
        .expect("text");
    assert!(summary.starts_with("Signal depth is unknown"), "{summary}");
    running.stop().await;
}

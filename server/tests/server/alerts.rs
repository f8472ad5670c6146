//! Alerts on their way to Alertmanagers: what is sent, when it is sent again, and what a restart keeps.

use std::path::Path;

use crate::common::certificates::Files;
use crate::common::receiver::Receiver;
use crate::common::rival::{Prometheus, prometheus_binary};
use crate::common::{TestTarget, data, eventually, server_with, settings};
use serde_json::{Value, json};
use stillwell::serve::{Running, Settings};
use stillwell_adapters::time::parse_rfc3339;

/// Evaluated at the interval of the configuration.
const RULES: &str = r#"
groups:
- name: queue
  rules:
  - alert: QueueIsLong
    expr: q{pool="a"} > 10
    labels: {severity: page, team: "{{ $labels.pool }}"}
    annotations: {summary: "{{ $labels.pool }} holds {{ $value }} in {{ $externalLabels.zone }}"}
  - alert: Pending
    expr: q > 10
    for: 1h
  - alert: Dropped
    expr: q > 10
  - alert: NotForTheSecond
    expr: q > 10
"#;

/// A configuration with two Alertmanagers, one found in a file, and two that are not to be used.
fn config(
    target: &TestTarget,
    first: &Receiver,
    second: &Receiver,
    files: &Files,
    interval: &str,
) -> String {
    files.write("rules.yml", RULES);
    let list = format!("[{{\"targets\": [\"{}\", \"skip:1\"]}}]", second.address);
    files.write("second.json", &list);
    format!(
        "global: {{scrape_interval: {interval}, evaluation_interval: {interval}, external_labels: {{zone: z, team: other}}}}\n\
         rule_files: ['*rules.yml']\n\
         alerting:\n\
         \x20 alert_relabel_configs:\n\
         \x20 - {{source_labels: [alertname], regex: Dropped, action: drop}}\n\
         \x20 - {{source_labels: [severity], target_label: urgency}}\n\
         \x20 alertmanagers:\n\
         \x20 - authorization: {{credentials: token}}\n\
         \x20   path_prefix: /am/\n\
         \x20   timeout: 5s\n\
         \x20   static_configs: [{{targets: ['{}']}}]\n\
         \x20 - file_sd_configs: [{{files: ['*second.json']}}]\n\
         \x20   api_version: v2\n\
         \x20   relabel_configs: [{{source_labels: [__address__], regex: 'skip.*', action: drop}}]\n\
         \x20   alert_relabel_configs: [{{source_labels: [alertname], regex: NotForTheSecond, action: drop}}]\n\
         scrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}']}}]\n  relabel_configs: [{{target_label: instance, replacement: i}}]\n",
        first.address, target.address
    )
}

fn sending(config_file: &Path, resend_ms: u64) -> Settings {
    let mut settings = settings(Some(config_file.to_owned()));
    settings.external_url = "http://here:9090/p".to_owned();
    settings.alerts.resend_ms = resend_ms;
    settings
}

fn time_ms(alert: &Value, name: &str) -> i64 {
    let text = alert[name].as_str().expect("a time");
    parse_rfc3339(text).expect("RFC 3339").ms()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_sent_again_and_when_they_are_over() {
    let target = TestTarget::with_page("q{pool=\"a\"} 12\nq{pool=\"b\"} 1\n").await;
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    first.answer(503);
    let files = Files::new("alerts");
    let text = config(&target, &first, &second, &files, "50ms");
    let config = files.write("config.yml", &text);
    let running = server_with(&text, sending(&config, 300), Default::default()).await;
    let address = running.addresses[0];

    eventually("the second is told", || async {
        !second.taken("QueueIsLong").is_empty()
    })
    .await;
    eventually("the first is tried again", || async {
        first.posted().len() >= 2
    })
    .await;
    assert!(first.taken("QueueIsLong").is_empty());
    first.answer(200);
    eventually(
        "the first is told what it has missed, and again",
        || async { first.taken("QueueIsLong").len() >= 2 },
    )
    .await;
    let alert = first.taken("QueueIsLong")[0].clone();
    assert_eq!(
        alert["labels"],
        json!({
            "alertname": "QueueIsLong", "severity": "page", "urgency": "page", "team": "a",
            "pool": "a", "job": "j", "instance": "i", "zone": "z",
        })
    );
    assert_eq!(alert["annotations"]["summary"], "a holds 12 in z");
    assert_eq!(
        alert["generatorURL"],
        "http://here:9090/p/graph?g0.expr=q%7Bpool%3D%22a%22%7D+%3E+10&g0.tab=1"
    );
    let valid_ms = time_ms(&alert, "endsAt") - time_ms(&alert, "startsAt");
    assert!(valid_ms >= 4 * 300, "{valid_ms}");
    let head = first.posted()[0].head.clone();
    assert!(
        head.starts_with("POST /am/api/v2/alerts HTTP/1.1\r\n"),
        "{head}"
    );
    let lower = head.to_ascii_lowercase();
    assert!(
        lower.contains("content-type: application/json\r\n"),
        "{head}"
    );
    assert!(lower.contains("authorization: bearer token\r\n"), "{head}");

    assert!(!first.taken("NotForTheSecond").is_empty());
    for (receiver, name) in [
        (&first, "Pending"),
        (&first, "Dropped"),
        (&second, "NotForTheSecond"),
    ] {
        assert!(receiver.taken(name).is_empty(), "{name}");
    }
    let shown = data(address, "/api/v1/alertmanagers").await;
    let url = |of: &Receiver, path: &str| json!({"url": format!("http://{}{path}", of.address)});
    let mut active = vec![
        url(&first, "/am/api/v2/alerts"),
        url(&second, "/api/v2/alerts"),
    ];
    active.sort_by_key(Value::to_string);
    let mut have = shown["activeAlertmanagers"]
        .as_array()
        .expect("a list")
        .clone();
    have.sort_by_key(Value::to_string);
    assert_eq!(have, active);
    assert_eq!(
        shown["droppedAlertmanagers"],
        json!([{"url": "http://skip:1/api/v2/alerts"}])
    );

    target.set_page("q{pool=\"a\"} 1\n");
    eventually("both are told that it is over", || async {
        [&first, &second].iter().all(|receiver| {
            let taken = receiver.taken("QueueIsLong");
            let last = taken.last().expect("told before");
            time_ms(last, "endsAt") - time_ms(last, "startsAt") > 0
                && time_ms(last, "endsAt") <= running.app.scraper().shared().clock.wall_now().ms()
        })
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_sent_before_the_end_and_a_silent_alertmanager_keeps_nobody_waiting() {
    let target = TestTarget::with_page("q{pool=\"a\"} 12\n").await;
    let silent = TestTarget::start(crate::common::Act::Hang).await;
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    first.answer(500);
    let files = Files::new("alerts-end");
    let text = config(&target, &first, &second, &files, "50ms").replace(
        "api_version: v2",
        &format!(
            "api_version: v2\n    static_configs: [{{targets: ['{}']}}]",
            silent.address
        ),
    );
    let config = files.write("config.yml", &text);
    let running = server_with(&text, sending(&config, 60_000), Default::default()).await;
    eventually("the second is told, the first in vain", || async {
        !second.taken("QueueIsLong").is_empty()
            && !first.posted().is_empty()
            && silent.requests() > 0
    })
    .await;
    first.answer(200);
    running.stop().await;
    assert!(!first.taken("QueueIsLong").is_empty());
}

/// The times of an alert, and how it stands, as the API shows them.
async fn pending(running: &Running) -> Option<Value> {
    let alerts = data(running.addresses[0], "/api/v1/alerts").await;
    alerts["alerts"].as_array()?.first().cloned()
}

/// The wait of an alert that was pending began anew at every restart, so that one with a long `for` never fired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_alert_goes_on_after_a_restart() {
    let target = TestTarget::with_page("q 12\n").await;
    let files = Files::new("alerts-restart");
    files.write(
        "rules.yml",
        "groups: [{name: g, interval: 50ms, rules: [{alert: Long, expr: q > 10, for: 30m}]}]\n",
    );
    let text = format!(
        "global: {{scrape_interval: 50ms}}\nrule_files: ['*rules.yml']\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let config = files.write("config.yml", &text);
    let mut settings = settings(Some(config.clone()));
    let snapshot = files.write("marker", "").with_extension("snapshots");
    settings.storage_path = Some(snapshot.clone());
    let running = server_with(&text, settings.clone(), Default::default()).await;
    let written = "ALERTS_FOR_STATE{alertname=\"Long\"}";
    eventually("the alert is pending, and written", || async {
        crate::common::value(running.addresses[0], written)
            .await
            .is_some()
    })
    .await;
    let before = pending(&running).await.expect("pending");
    running.stop().await;

    let running = server_with(&text, settings.clone(), Default::default()).await;
    // ALERTS_FOR_STATE holds whole seconds, and the time without a server does not count.
    eventually("it is restored", || async {
        let Some(now) = pending(&running).await else {
            return false;
        };
        let age_ms =
            running.app.scraper().shared().clock.wall_now().ms() - time_ms(&now, "activeAt");
        let moved_ms = time_ms(&now, "activeAt") - time_ms(&before, "activeAt");
        now["state"] == "pending"
            && age_ms > 0
            && moved_ms > -1_000
            && crate::common::value(running.addresses[0], written)
                .await
                .is_some()
    })
    .await;
    let restored = pending(&running).await.expect("pending");
    let began_ms = running.app.scraper().shared().clock.wall_now().ms();
    running.stop().await;

    // Without a snapshot the wait begins anew: later than the restored one.
    std::fs::remove_dir_all(&snapshot).ok();
    let running = server_with(&text, settings, Default::default()).await;
    eventually("it is pending anew", || async {
        pending(&running).await.is_some_and(|now| {
            time_ms(&now, "activeAt") >= began_ms - 1_000
                && time_ms(&now, "activeAt") > time_ms(&restored, "activeAt")
        })
    })
    .await;
    running.stop().await;
    std::fs::remove_dir_all(&snapshot).ok();
}

/// An alert without what differs from run to run: its times, and where the server is.
fn comparable(alert: &Value) -> Value {
    let mut alert = alert.clone();
    let fields = alert.as_object_mut().expect("an object");
    for name in ["startsAt", "endsAt"] {
        let time = fields.remove(name).expect("a time");
        assert!(
            parse_rfc3339(time.as_str().expect("text")).is_some(),
            "{time}"
        );
    }
    alert
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_sends_the_same() {
    let Some(binary) = prometheus_binary() else {
        return;
    };
    let target = TestTarget::with_page("q{pool=\"a\"} 12.5\nq{pool=\"b\"} 1\n").await;
    let files = Files::new("alerts-rival");
    let mut all = Vec::new();
    for ours in [false, true] {
        let (first, second) = (Receiver::start().await, Receiver::start().await);
        let text = config(&target, &first, &second, &files, "1s");
        let path = files.write("config.yml", &text);
        let folder = path.parent().expect("a folder").display();
        let flags = [
            "--web.external-url=http://here:9090/p",
            "--rules.alert.resend-delay=2s",
        ];
        let absolute = text
            .replace("'*rules.yml'", &format!("'{folder}/*rules.yml'"))
            .replace("'*second.json'", &format!("'{folder}/*second.json'"));
        let mut running = None;
        let mut prometheus = None;
        if ours {
            running = Some(server_with(&text, sending(&path, 2_000), Default::default()).await);
        } else {
            prometheus = Some(Prometheus::start(&binary, &absolute, &flags));
        }
        eventually("an alert is sent twice to both", || async {
            [&first, &second]
                .iter()
                .all(|receiver| receiver.taken("QueueIsLong").len() >= 2)
        })
        .await;
        let mut told = Vec::new();
        for receiver in [&first, &second] {
            for name in ["QueueIsLong", "Pending", "Dropped", "NotForTheSecond"] {
                told.push((name, receiver.taken(name).first().map(comparable)));
            }
            let head = receiver.posted()[0].head.clone();
            let line = head.lines().next().unwrap_or_default().to_owned();
            let kind = head
                .lines()
                .find(|line| line.to_ascii_lowercase().starts_with("content-type"))
                .map(str::to_ascii_lowercase);
            told.push(("request", Some(json!([line, kind]))));
        }
        let alert = first.taken("QueueIsLong")[0].clone();
        let valid_ms = time_ms(&alert, "endsAt") - time_ms(&alert, "startsAt");
        assert_eq!(valid_ms, 8_000, "ours: {ours}");
        all.push(told);
        if let Some(running) = running {
            running.stop().await;
        }
        drop(prometheus);
    }
    assert_eq!(all[0], all[1], "theirs and ours");
    assert!(all[0][0].1.is_some(), "something was compared");
}

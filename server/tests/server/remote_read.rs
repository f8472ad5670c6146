//! A real Prometheus that reads from this server by remote read answers queries as this server does.

use crate::common::rival::{Prometheus, ask, path, prometheus_binary};
use crate::common::{TestTarget, eventually, server, value};
use serde_json::Value;
use tokio::sync::Notify;

/// Values that need every way in which chunks write differences, and native histograms through remote write are not
/// needed for: pages with times of their own, so that both sides are asked about the same moments.
fn page(now_ms: i64) -> String {
    let mut page = String::from("# TYPE q gauge\n# TYPE c_total counter\n");
    for (name, of) in [
        ("a", 1.0),
        ("b", -1e300),
        ("c", f64::NAN),
        ("d", 0.1),
        ("e", f64::INFINITY),
    ] {
        let value = if f64::is_nan(of) {
            "NaN".to_owned()
        } else {
            of.to_string().replace("inf", "+Inf")
        };
        page.push_str(&format!("q{{pool=\"{name}\"}} {value}\n"));
    }
    page.push_str(&format!("c_total {}\n", now_ms % 100_000));
    page
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_reads_the_same_from_us() {
    let Some(binary) = prometheus_binary() else {
        return;
    };
    let target = TestTarget::with_page(&page(0)).await;
    let text = format!(
        "global: {{scrape_interval: 20ms, external_labels: {{zone: z}}}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let running = server(&text).await;
    let address = running.addresses[0];
    let clock = || running.app.scraper().shared().clock.wall_now().ms();
    // More samples than one chunk holds, at irregular times, with values that change now and then.
    eventually("some history", || async {
        target.set_page(&page(clock()));
        value(address, "count_over_time(q{pool=\"a\"}[1m])").await >= Some(300.0)
    })
    .await;
    let end_ms = clock() - 500;
    let config = format!(
        "global: {{scrape_interval: 1h}}\nremote_read:\n- url: http://{address}/api/v1/read\n  read_recent: true\n"
    );
    let prometheus = Prometheus::start(&binary, &config, &[]);
    let never = Notify::new();
    eventually("prometheus answers", || async {
        ask(prometheus.address, "/api/v1/status/buildinfo")
            .await
            .is_some()
    })
    .await;
    let (start_s, end_s) = ((end_ms - 5_000) as f64 / 1000.0, end_ms as f64 / 1000.0);
    let mut compared = 0;
    for query in [
        "q",
        "count_over_time(q[10s])",
        "sum_over_time(q{pool=\"d\"}[3s])",
        "rate(c_total[2s])",
        "changes(c_total[3s])",
        "{__name__=~\"q|c_total\", pool!=\"b\"}",
        "up",
        "sum by (job) (count_over_time({__name__=~\"q|c_total\"}[5s]))",
    ] {
        let asked = path(
            "/api/v1/query_range",
            &[
                ("query", query),
                ("start", &start_s.to_string()),
                ("end", &end_s.to_string()),
                ("step", "0.5"),
            ],
        );
        let theirs = prometheus.ask(&never, &asked).await;
        let ours = ask(address, &asked).await.expect("an answer");
        let theirs = without_zone(theirs);
        assert_eq!(theirs["result"], ours["result"], "{query}");
        compared += ours["result"].as_array().map_or(0, Vec::len);
    }
    assert!(compared > 15, "{compared}");
    running.stop().await;
}

/// What is read from afar carries the external labels.
fn without_zone(mut data: Value) -> Value {
    for series in data["result"].as_array_mut().expect("series") {
        let labels = series["metric"].as_object_mut().expect("labels");
        labels.remove("zone");
    }
    data
}

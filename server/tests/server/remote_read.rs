//! A real Prometheus that reads from this server by remote read answers queries as this server does.

use crate::common::rival::{Prometheus, ask, path, prometheus_binary};
use crate::common::{Act, TestTarget, eventually, server, value};
use serde_json::Value;
use stillwell_testing::metrics_proto::{
    Bucket, BucketSpan, Histogram, Metric, MetricFamily, labels, page as protobuf_page,
};
use tokio::sync::Notify;

/// Values that need every way in which chunks write differences.
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
    let histograms = TestTarget::start(Act::Say(histogram_page(0))).await;
    let classic = TestTarget::start(Act::Say(histogram_page(0))).await;
    let text = format!(
        "global: {{scrape_interval: 20ms, external_labels: {{zone: z}}}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}']}}]\n- job_name: native\n  scrape_native_histograms: true\n  static_configs: [{{targets: ['{}']}}]\n- job_name: custom\n  convert_classic_histograms_to_nhcb: true\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address, histograms.address, classic.address
    );
    let running = server(&text).await;
    let address = running.addresses[0];
    let clock = || running.app.scraper().shared().clock.wall_now().ms();
    // More samples than one chunk holds, at irregular times, with values that change now and then.
    eventually("some history", || async {
        target.set_page(&page(clock()));
        for target in [&histograms, &classic] {
            target.set(Act::Say(histogram_page(clock() as u64 % 100_000)));
        }
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
        "h",
        "count_over_time(h[3s])",
        "rate(h[2s])",
        "histogram_quantile(0.9, rate(h[2s]))",
        "histogram_avg(sum by (job, m) (increase(h[3s])))",
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
        if query == "h" {
            let native = ours["result"].to_string().matches("\"histograms\"").count();
            assert_eq!(native, 4, "two of each of the jobs `native` and `custom`");
        }
        compared += ours["result"].as_array().map_or(0, Vec::len);
    }
    assert!(compared > 25, "{compared}");
    running.stop().await;
}

/// Two native histograms, with the buckets of a classic one in the first; counts and the zero bucket move, the second has
/// negative buckets too and a zero threshold that chunks write in full. All counts are far from 0, near which releases of
/// Prometheus extrapolate rates of histograms differently (from 3.6 as those of counters).
fn histogram_page(moving: u64) -> Vec<u8> {
    let now = 1_000_000 + moving;
    let span = |offset, length| BucketSpan {
        offset: Some(offset),
        length: Some(length),
    };
    let bucket = |upper_bound: f64, count| Bucket {
        cumulative_count: Some(count),
        upper_bound: Some(upper_bound),
        ..Bucket::default()
    };
    let first = Histogram {
        sample_count: Some(now * 3 + 2),
        sample_sum: Some(now as f64 * 0.7),
        bucket: vec![bucket(0.25, now), bucket(2.5, now * 2)],
        schema: Some(3),
        zero_threshold: Some(0.0),
        zero_count: Some(0),
        positive_span: vec![span(-4, 2), span(7, 1)],
        positive_delta: vec![now as i64, 0, 2],
        ..Histogram::default()
    };
    let second = Histogram {
        sample_count: Some(now * 4 + 1),
        sample_sum: Some(-(now as f64)),
        schema: Some(-2),
        zero_threshold: Some(1e-9),
        zero_count: Some(now + 1),
        positive_span: vec![span(0, 1)],
        positive_delta: vec![now as i64],
        negative_span: vec![span(1, 1), span(300, 1)],
        negative_delta: vec![now as i64, 0],
        ..Histogram::default()
    };
    let metric = |name: &str, histogram| Metric {
        label: labels(&[("m", name)]),
        histogram: Some(histogram),
        ..Metric::default()
    };
    let family = MetricFamily {
        name: Some("h".to_owned()),
        r#type: Some(4),
        metric: vec![metric("first", first), metric("second", second)],
        ..MetricFamily::default()
    };
    let body = protobuf_page(&[family]);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// What is read from afar carries the external labels.
fn without_zone(mut data: Value) -> Value {
    for series in data["result"].as_array_mut().expect("series") {
        let labels = series["metric"].as_object_mut().expect("labels");
        labels.remove("zone");
    }
    data
}

//! Pages in every format over HTTP: what is asked for, how it is compressed, what it holds; and the same pages to a real
//! Prometheus, which has to take and refuse the same ones and end with the same series.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::common::rival::{Prometheus, ask, path, prometheus_binary};
use crate::common::{data, eventually, read_head, server, value};
use parking_lot::Mutex;
use serde_json::Value;
use stillwell_testing::metrics_proto::{
    Bucket, BucketSpan, Counter, Exemplar, Gauge, Histogram, Metric, MetricFamily, labels, page,
};
use stillwell_testing::outside::OPENMETRICS_CASES;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
const TEXT: &str = "text/plain; version=0.0.4";

/// A page as it is sent.
#[derive(Clone, Debug)]
struct Sent {
    content_type: &'static str,
    encoding: &'static str,
    body: Vec<u8>,
}

impl Sent {
    fn new(content_type: &'static str, body: impl Into<Vec<u8>>) -> Sent {
        Sent {
            content_type,
            encoding: "identity",
            body: body.into(),
        }
    }
}

/// A server of pages by path, which remembers the newest head of each path.
struct Pages {
    address: SocketAddr,
    heads: Arc<Mutex<BTreeMap<String, String>>>,
    read: Arc<Notify>,
}

impl Pages {
    async fn start(pages: BTreeMap<String, Sent>) -> Pages {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let served = Pages {
            address: listener.local_addr().expect("bound"),
            heads: Arc::default(),
            read: Arc::default(),
        };
        let (heads, read) = (Arc::clone(&served.heads), Arc::clone(&served.read));
        let pages = Arc::new(pages);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (pages, heads, read) =
                    (Arc::clone(&pages), Arc::clone(&heads), Arc::clone(&read));
                tokio::spawn(async move {
                    while let Some(head) = read_head(&mut stream).await {
                        let path = head.split(' ').nth(1).unwrap_or("").to_owned();
                        let Some(sent) = pages.get(&path) else {
                            return;
                        };
                        heads.lock().insert(path, head);
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Encoding: {}\r\nContent-Length: {}\r\n\r\n",
                            sent.content_type,
                            sent.encoding,
                            sent.body.len()
                        );
                        let answer = [answer.into_bytes(), sent.body.clone()].concat();
                        if stream.write_all(&answer).await.is_err() {
                            return;
                        }
                        read.notify_waiters();
                    }
                });
            }
        });
        served
    }

    /// A job that scrapes these paths, each as a target with a label `case`.
    fn job(&self, name: &str, keys: &str, paths: &[&String]) -> String {
        let mut text = format!("- job_name: {name}\n{keys}  static_configs:\n");
        for path in paths {
            text.push_str(&format!(
                "  - {{targets: ['{}'], labels: {{__metrics_path__: '{path}', case: '{path}'}}}}\n",
                self.address
            ));
        }
        text
    }
}

fn family(name: &str, kind: i32, metric: Vec<Metric>) -> MetricFamily {
    MetricFamily {
        name: Some(name.to_owned()),
        help: Some(format!("{name} \\ \"help\"\nof two lines")),
        r#type: Some(kind),
        metric,
        ..MetricFamily::default()
    }
}

fn gauge(value: f64, pairs: &[(&str, &str)]) -> Metric {
    Metric {
        label: labels(pairs),
        gauge: Some(Gauge { value: Some(value) }),
        ..Metric::default()
    }
}

fn histogram(schema: Option<i32>) -> Metric {
    let bucket = |upper_bound: f64, count| Bucket {
        cumulative_count: Some(count),
        upper_bound: Some(upper_bound),
        ..Bucket::default()
    };
    let native = schema.map_or(Histogram::default(), |schema| Histogram {
        schema: Some(schema),
        zero_threshold: Some(1e-9),
        zero_count: Some(1),
        positive_span: vec![
            BucketSpan {
                offset: Some(0),
                length: Some(2),
            },
            BucketSpan {
                offset: Some(3),
                length: Some(1),
            },
        ],
        positive_delta: vec![2, -1, 3],
        ..Histogram::default()
    });
    Metric {
        label: labels(&[("m", "x")]),
        histogram: Some(Histogram {
            sample_count: Some(8),
            sample_sum: Some(17.5),
            bucket: vec![bucket(1.0, 3), bucket(2.5, 5)],
            ..native
        }),
        ..Metric::default()
    }
}

fn protobuf_page() -> Vec<u8> {
    let counter = Metric {
        label: labels(&[("a", "\"quoted\" \\ and\nbroken")]),
        counter: Some(Counter {
            value: Some(3.25),
            exemplar: Some(Exemplar {
                label: labels(&[("trace_id", "abc")]),
                value: Some(0.5),
                timestamp: None,
            }),
        }),
        ..Metric::default()
    };
    page(&[
        family("c_total", 0, vec![counter]),
        family(
            "g",
            1,
            vec![gauge(-0.1, &[]), gauge(f64::INFINITY, &[("b", "ü")])],
        ),
        family("with.dots", 1, vec![gauge(1e300, &[("l.d", "v")])]),
        family("native", 4, vec![histogram(Some(1))]),
        family("classic", 4, vec![histogram(None)]),
    ])
}

/// A server that federates another lost its native histograms, which only protobuf can carry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_federated_is_what_the_other_server_has() {
    let sent = Sent::new(PROTOBUF, protobuf_page());
    let pages = Pages::start(BTreeMap::from([("/m".to_owned(), sent)])).await;
    let keys = "  scrape_native_histograms: true\n";
    let job = pages.job("first", keys, &[&"/m".to_owned()]);
    let global = "global: {scrape_interval: 50ms}\nscrape_configs:\n";
    let first = server(&format!("{global}{job}")).await;
    let federate = format!(
        "{global}- job_name: federate\n  scrape_native_histograms: true\n  honor_labels: true\n  metrics_path: /federate\n  \
         params: {{'match[]': ['{{job=\"first\"}}']}}\n  static_configs: [{{targets: ['{}']}}]\n",
        first.addresses[0]
    );
    let second = server(&federate).await;
    for query in [
        "histogram_count(native)",
        "histogram_sum(native)",
        "histogram_quantile(0.9, native)",
        "{\"with.dots\"}",
        "c_total",
    ] {
        eventually(query, || async {
            let here = value(first.addresses[0], query).await;
            here.is_some() && value(second.addresses[0], query).await == here
        })
        .await;
    }
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_page_holds_is_served() {
    let text = "# TYPE a counter\n# UNIT a \n# HELP a h\na_total 1 # {trace_id=\"t\"} 0.5\na_created 1.5\n# EOF\n";
    let zstd = ruzstd::encoding::compress_to_vec(
        &protobuf_page()[..],
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    let zstd = Sent {
        encoding: "zstd",
        ..Sent::new(PROTOBUF, zstd)
    };
    let pages = BTreeMap::from([
        ("/om".to_owned(), Sent::new(OPENMETRICS, text)),
        ("/zstd".to_owned(), zstd),
        ("/untyped".to_owned(), Sent::new("text/html", text)),
    ]);
    let pages = Pages::start(pages).await;
    let native = "  scrape_native_histograms: true\n  extra_scrape_metrics: true\n  enable_compression: true\n";
    let om = "  fallback_scrape_protocol: OpenMetricsText1.0.0\n";
    let config = format!(
        "global: {{scrape_interval: 50ms}}\nscrape_configs:\n{}{}",
        pages.job("native", native, &[&"/zstd".to_owned()]),
        pages.job("om", om, &[&"/om".to_owned(), &"/untyped".to_owned()]),
    );
    let running = server(&config).await;
    let address = running.addresses[0];
    eventually("all are up", || async {
        value(address, "sum(up)").await == Some(3.0)
    })
    .await;
    assert_eq!(value(address, "sum(a_total)").await, Some(2.0));
    assert_eq!(value(address, "min(a_created)").await, Some(1.5));
    assert_eq!(value(address, "histogram_count(native)").await, Some(8.0));
    assert_eq!(value(address, "histogram_sum(native)").await, Some(17.5));
    assert_eq!(value(address, "count({\"with.dots\"})").await, Some(1.0));
    assert_eq!(
        value(address, "classic_bucket{le=\"2.5\"}").await,
        Some(5.0)
    );
    assert_eq!(value(address, "scrape_timeout_seconds").await, Some(0.5));
    assert_eq!(value(address, "scrape_sample_limit").await, Some(0.0));
    let bytes = protobuf_page().len() as f64;
    assert_eq!(value(address, "scrape_body_size_bytes").await, Some(bytes));
    let metadata = data(address, "/api/v1/metadata?metric=c_total").await;
    assert_eq!(metadata["c_total"][0]["type"], "counter", "{metadata}");
    for (query, trace) in [("a_total", "t"), ("rate(c_total[1m]) > 3", "abc")] {
        let asked = path(
            "/api/v1/query_exemplars",
            &[("query", query), ("start", "0"), ("end", "9999999999")],
        );
        let found = data(address, &asked).await;
        let first = &found[0];
        assert_eq!(
            first["exemplars"][0]["labels"]["trace_id"], trace,
            "{found}"
        );
        assert_eq!(first["exemplars"][0]["value"], "0.5", "{found}");
    }
    let heads = pages.heads.lock().clone();
    let has = |path: &str, text: &str| heads[path].to_lowercase().contains(text);
    assert!(
        has("/zstd", "accept: application/vnd.google.protobuf;proto="),
        "{heads:?}"
    );
    assert!(
        has("/om", "accept: application/openmetrics-text;version=1.0.0"),
        "{heads:?}"
    );
    assert!(has("/zstd", "accept-encoding: zstd, gzip"), "{heads:?}");
    assert!(has("/om", "accept-encoding: identity"), "{heads:?}");
    running.stop().await;
}

/// Pages with native histograms that nobody asked for: Prometheus 3.5 drops them, from 3.8 on it reads their classic
/// buckets, as this server does.
const NATIVE_NOT_ASKED_FOR: [&str; 3] =
    ["/proto/page", "/proto/bad_count", "/proto/gauge_histogram"];

/// The pages: the OpenMetrics project's as OpenMetrics and as text, and ours in protobuf.
fn corpus() -> BTreeMap<String, Sent> {
    let mut pages = BTreeMap::new();
    let cases = OPENMETRICS_CASES.find().into_iter();
    for entry in cases.flat_map(|folder| std::fs::read_dir(folder).expect("readable")) {
        let case = entry.expect("readable").path();
        let name = case
            .file_name()
            .map_or("", |name| name.to_str().unwrap_or(""));
        let body = std::fs::read(case.join("metrics")).expect("a case has a page");
        pages.insert(format!("/om/{name}"), Sent::new(OPENMETRICS, body.clone()));
        pages.insert(format!("/text/{name}"), Sent::new(TEXT, body));
    }
    pages.insert(
        "/proto/page".to_owned(),
        Sent::new(PROTOBUF, protobuf_page()),
    );
    let mut cut = protobuf_page();
    cut.truncate(cut.len() - 3);
    pages.insert("/proto/cut".to_owned(), Sent::new(PROTOBUF, cut));
    let of_type = |name: &str, kind, metric: Metric| page(&[family(name, kind, vec![metric])]);
    let bad_count = {
        let mut bad = histogram(Some(1));
        bad.histogram = bad.histogram.map(|h| Histogram {
            sample_count: Some(9),
            ..h
        });
        of_type("bad", 4, bad)
    };
    for (name, body) in [
        ("bad_count", bad_count),
        ("no_name", of_type("", 1, gauge(1.0, &[]))),
        (
            "twice",
            of_type("t", 1, gauge(1.0, &[("a", "1"), ("a", "2")])),
        ),
        ("type", of_type("t", 7, gauge(1.0, &[]))),
        ("empty", Vec::new()),
        ("gauge_histogram", of_type("gh", 5, histogram(Some(3)))),
    ] {
        pages.insert(format!("/proto/{name}"), Sent::new(PROTOBUF, body));
    }
    pages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_judged_and_stored_as_in_prometheus() {
    let Some(binary) = prometheus_binary() else {
        return;
    };
    let corpus = corpus();
    let paths: Vec<&String> = corpus.keys().collect();
    let pages = Pages::start(corpus.clone()).await;
    for (keys, flags, ours) in [
        ("", &[][..], ""),
        (
            "  always_scrape_classic_histograms: true\n",
            &["--enable-feature=native-histograms"],
            "  scrape_native_histograms: true\n",
        ),
        (
            "  convert_classic_histograms_to_nhcb: true\n",
            &["--enable-feature=native-histograms"],
            "  scrape_native_histograms: true\n",
        ),
    ] {
        let config = |keys: &str| {
            let job = pages.job("j", keys, &paths);
            format!(
                "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n{job}"
            )
        };
        let running = server(&config(&format!("{keys}{ours}"))).await;
        let prometheus = Prometheus::start(&binary, &config(keys), flags);
        let scraped = path(
            "/api/v1/query",
            &[(
                "query",
                "count(count_over_time(scrape_samples_scraped[1h]) >= 3)",
            )],
        );
        let all = paths.len().to_string();
        let is_whole = |answer: &Value| answer["result"][0]["value"][1] == all.as_str();
        eventually("both have scraped everything", || async {
            let theirs = prometheus.ask(&pages.read, &scraped).await;
            let ours = ask(running.addresses[0], &scraped)
                .await
                .expect("an answer");
            is_whole(&theirs) && is_whole(&ours)
        })
        .await;
        let query = "{case!=\"\",__name__!~\"scrape_.*\"}";
        let asked = path("/api/v1/query", &[("query", query)]);
        let (mut different, mut ours) = (Vec::new(), BTreeMap::new());
        // A busy machine makes scrapes time out, at either: then they are asked again.
        for _ in 0..40 {
            let theirs = by_case(&prometheus.ask(&pages.read, &asked).await);
            ours = by_case(&ask(running.addresses[0], &asked).await.expect("an answer"));
            different.clear();
            for path in &paths {
                let (theirs, ours) = (theirs.get(*path), ours.get(*path));
                let unasked = flags.is_empty() && NATIVE_NOT_ASKED_FOR.contains(&path.as_str());
                if theirs != ours && !unasked {
                    different.push(format!("{path}\n theirs {theirs:?}\n ours   {ours:?}"));
                }
            }
            if different.is_empty() {
                break;
            }
            pages.read.notified().await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let errors: BTreeSet<String> = running
            .app
            .scraper()
            .states()
            .iter()
            .map(|state| state.last_error())
            .collect();
        assert!(
            different.is_empty(),
            "{keys}\n{}\n{errors:?}",
            different.join("\n")
        );
        let up = ours.values().filter(|series| {
            series
                .iter()
                .any(|s| s.contains("\"up\"") && s.ends_with("\"1\""))
        });
        assert!(up.count() > 20, "most pages are good ones");
        running.stop().await;
    }
}

/// The series of each case, with their values.
fn by_case(answer: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut cases: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in answer["result"].as_array().expect("a vector") {
        let case = sample["metric"]["case"].as_str().unwrap_or("").to_owned();
        let value = match sample.get("histogram") {
            Some(histogram) => &histogram[1],
            None => &sample["value"][1],
        };
        let shown = format!("{} {value}", sample["metric"]);
        cases.entry(case).or_default().insert(shown);
    }
    cases
}

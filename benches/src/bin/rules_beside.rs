//! The same rule files on the same samples, in Stillwell and in a Prometheus: what they record, and their alerts.
//!
//! `cargo run --release -p stillwell-benches --bin rules_beside -- STILLWELL PROMETHEUS [SECONDS] [RULES]`
//!
//! Each second both take the same remote write request: twenty gateways with queues, counters that reset, histograms, and
//! some that fall silent for a while. Groups look 4 s back (`query_offset`), so that neither evaluates what the other does
//! not have yet, and groups that read what others record look back 2 s more: which of two groups is evaluated first is not
//! defined in either server. Both evaluate a group at the same times, which follow from its file and name. Every minute all samples of
//! recorded series and of `ALERTS` are read from both and compared: labels, times, values to the last digit. Fails where
//! any sample differs or is only in one of them, or where nothing was compared. RULES: a file instead of the one inside; its groups need a
//! `query_offset` of 4 s.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a command that works for an hour and prints its results"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost::Message as _;
use serde_json::Value;
use stillwell_adapters::remote_write::messages::WriteRequest;
use stillwell_benches::contender::{Client, Contender, Kind, Usage};
use stillwell_benches::load::pause;
use stillwell_benches::remote_write::{HEADERS, series};
use stillwell_engine::labels::Labels;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const GATEWAYS: usize = 20;
/// Of each histogram, in seconds.
const BOUNDS: [&str; 7] = ["0.05", "0.1", "0.5", "1", "2.5", "10", "+Inf"];
/// Behind the present, at which both have evaluated everything.
const SETTLED_S: i64 = 20;
/// Everything that rules write.
const RECORDED: &str = r#"{__name__=~".+:.+|ALERTS|ALERTS_FOR_STATE"}"#;
/// What Prometheus marks the end of a series with (model/value/value.go, `StaleNaN`).
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seconds = arguments.get(2).map_or(Ok(3_600), |text| text.parse());
    let (Some(stillwell), Some(prometheus), Ok(seconds)) =
        (arguments.first(), arguments.get(1), seconds)
    else {
        eprintln!("rules_beside STILLWELL PROMETHEUS [SECONDS] [RULES]");
        return ExitCode::FAILURE;
    };
    let rules = arguments.get(3).map(Path::new);
    match run(Path::new(stillwell), Path::new(prometheus), seconds, rules) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rules_beside: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    stillwell: &Path,
    prometheus: &Path,
    seconds: i64,
    rules: Option<&Path>,
) -> Result<bool, Failure> {
    let folder = std::env::temp_dir().join(format!("rules-beside-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("rules.yml");
    match rules {
        Some(rules) => std::fs::copy(rules, &file).map(|_| ())?,
        None => std::fs::write(&file, RULES)?,
    }
    let config = format!(
        "global: {{evaluation_interval: 5s}}\nrule_files: ['{}']\n",
        file.display()
    );
    let flags = ["--web.enable-remote-write-receiver"];
    let mut pair = Vec::new();
    for (kind, binary) in [(Kind::Stillwell, stillwell), (Kind::Prometheus, prometheus)] {
        pair.push(Contender::with_config(kind, binary, &config, &flags)?);
    }
    let mut clients = Vec::new();
    for one in &pair {
        clients.push(one.ready_client()?);
    }
    let before = usage(&pair)?;
    let mut gateways: Vec<Gateway> = (0..GATEWAYS).map(Gateway::new).collect();
    let mut result = Compared::default();
    let (start, start_s) = (Instant::now(), now_s());
    for second in 0..seconds {
        let due = Duration::from_secs(second as u64);
        pause((start + due).saturating_duration_since(Instant::now()));
        let request = page(&mut gateways, start_s + second, second)?;
        for client in &mut clients {
            let (status, body) = client.post("/api/v1/write", &HEADERS, &request)?;
            if status >= 300 {
                return Err(format!("remote write was answered {status}: {body}").into());
            }
        }
        // Evaluations before the first second are only in the one that started first.
        if second % 60 == 59 && second >= 120 {
            result.compare(&mut clients, start_s + second - SETTLED_S)?;
        }
    }
    let after = usage(&pair)?;
    std::fs::remove_dir_all(&folder)?;
    result.say(seconds);
    for (at, one) in ["stillwell", "prometheus"].iter().enumerate() {
        let cpu_s = after[at].cpu_s - before[at].cpu_s;
        let memory = after[at].rss_bytes as f64 / 1e6;
        println!(
            "{one}: {:.2}% of a core, {memory:.1} MB",
            cpu_s / seconds as f64 * 100.0
        );
    }
    Ok(!result.equal.is_empty() && result.differing.is_empty())
}

fn usage(pair: &[Contender]) -> std::io::Result<Vec<Usage>> {
    pair.iter().map(Contender::usage).collect()
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

/// What one gateway says: its counters go up, its gauges walk at random.
struct Gateway {
    number: usize,
    random: u64,
    queued: f64,
    running: f64,
    requests: f64,
    buckets: [f64; BOUNDS.len()],
    sum: f64,
}

impl Gateway {
    fn new(number: usize) -> Gateway {
        Gateway {
            number,
            random: number as u64 + 1,
            queued: 0.0,
            running: 0.0,
            requests: 0.0,
            buckets: [0.0; BOUNDS.len()],
            sum: 0.0,
        }
    }

    /// A number below `below` (splitmix64).
    fn below(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }

    fn step(&mut self, second: i64) {
        // One restarts every 400 s: its counters begin at 0 again.
        if self.number % 7 == 5 && second % 400 == 399 {
            let (number, random) = (self.number, self.random);
            *self = Gateway {
                random,
                ..Gateway::new(number)
            };
        }
        self.queued = (self.queued + self.below(21) as f64 - 10.0).clamp(0.0, 300.0);
        self.running = (self.running + self.below(9) as f64 - 4.0).clamp(0.0, 64.0);
        let requests = self.below(40);
        self.requests += requests as f64;
        for _ in 0..requests {
            let first = self.below(BOUNDS.len() as u64) as usize;
            for bucket in &mut self.buckets[first..] {
                *bucket += 1.0;
            }
            self.sum += self.below(10_000) as f64 / 999.0;
        }
    }

    /// Whether it is silent: some fall silent for a minute every five, each at a time of its own.
    fn is_silent(&self, second: i64) -> bool {
        self.number % 4 == 3 && (second + self.number as i64 * 17) % 300 < 60
    }

    fn samples(&self) -> Vec<(Labels, f64)> {
        let pod = format!("epp-{}", self.number);
        let pool = format!("pool-{}", self.number % 3);
        let one = |name: &str, value: f64| {
            let pairs = [
                ("__name__", name),
                ("inference_pool", pool.as_str()),
                ("instance", pod.as_str()),
                ("job", "epp"),
            ];
            (Labels::from_pairs(pairs), value)
        };
        let histogram = "llm_d_epp_request_ttft_seconds";
        let mut samples = vec![
            one("llm_d_epp_flow_control_queue_size", self.queued),
            one("llm_d_epp_request_running", self.running),
            one("llm_d_epp_request_total", self.requests),
            one(
                "llm_d_epp_flow_control_pool_saturation",
                self.running / 64.0,
            ),
            one(
                &format!("{histogram}_count"),
                self.buckets[BOUNDS.len() - 1],
            ),
            one(&format!("{histogram}_sum"), self.sum),
        ];
        for (bound, value) in BOUNDS.iter().zip(self.buckets) {
            let (labels, value) = one(&format!("{histogram}_bucket"), value);
            samples.push((labels.to_builder().set("le", bound).build(), value));
        }
        samples
    }
}

/// One request with what all gateways say in this second, as both receive it.
fn page(gateways: &mut [Gateway], at_s: i64, second: i64) -> Result<Vec<u8>, Failure> {
    let mut request = WriteRequest::default();
    for gateway in gateways {
        gateway.step(second);
        let (was, is) = (gateway.is_silent(second - 1), gateway.is_silent(second));
        if was && is {
            continue;
        }
        for (labels, value) in gateway.samples() {
            let value = if is { STALE } else { value };
            request
                .timeseries
                .push(series(&labels, std::iter::once((at_s * 1000, value))));
        }
    }
    Ok(snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?)
}

/// Samples by labels and time, as printed.
type Samples = BTreeMap<(String, String), String>;

#[derive(Default)]
struct Compared {
    /// Equal samples of each series, by its labels.
    equal: BTreeMap<String, usize>,
    /// Labels and time, ours, theirs.
    differing: Vec<(String, String, String)>,
}

impl Compared {
    /// The minute until `until_s`.
    fn compare(&mut self, clients: &mut [Client], until_s: i64) -> Result<(), Failure> {
        let query = format!("{RECORDED}[60s]");
        let mut read = Vec::new();
        for client in clients {
            read.push(samples(&client.query_at(&query, until_s * 1000)?)?);
        }
        let [ours, theirs] = <[Samples; 2]>::try_from(read).map_err(|_| "two are asked")?;
        let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for key in keys {
            let (ours, theirs) = (ours.get(key), theirs.get(key));
            if ours == theirs {
                *self.equal.entry(key.0.clone()).or_default() += 1;
                continue;
            }
            let text = |one: Option<&String>| one.map_or("missing".to_owned(), String::clone);
            let place = format!("{} at {}", key.0, key.1);
            self.differing.push((place, text(ours), text(theirs)));
        }
        Ok(())
    }

    fn say(&self, seconds: i64) {
        println!(
            "{seconds} s: {} recorded series, {} samples equal, {} not",
            self.equal.len(),
            self.equal.values().sum::<usize>(),
            self.differing.len()
        );
        for state in ["pending", "firing"] {
            let of_state = format!(r#""alertstate":"{state}""#);
            let alerts = self
                .equal
                .iter()
                .filter(|(labels, _)| labels.contains(&of_state));
            let (series, samples) = alerts.fold((0, 0), |all, one| (all.0 + 1, all.1 + one.1));
            println!("  of them alerts that are {state}: {series} series, {samples} samples");
        }
        for (place, ours, theirs) in self.differing.iter().take(20) {
            println!("  {place}: stillwell {ours}, prometheus {theirs}");
        }
    }
}

fn samples(body: &str) -> Result<Samples, Failure> {
    let body: Value = serde_json::from_str(body)?;
    let found = body["data"]["result"]
        .as_array()
        .ok_or_else(|| format!("no matrix: {body}"))?;
    let mut samples = Samples::new();
    for one in found {
        let labels: BTreeMap<&String, &Value> =
            one["metric"].as_object().into_iter().flatten().collect();
        let labels = serde_json::to_string(&labels)?;
        for sample in one["values"].as_array().into_iter().flatten() {
            let value = sample[1].as_str().unwrap_or_default().to_owned();
            samples.insert((labels.clone(), sample[0].to_string()), value);
        }
    }
    Ok(samples)
}

/// Chains as the guides for saturation and latency objectives have them, aggregations, joins, and alerts.
const RULES: &str = r#"
groups:
- name: demand
  interval: 1s
  query_offset: 4s
  rules:
  - record: pool:queue_size:sum
    expr: sum by (inference_pool) (llm_d_epp_flow_control_queue_size)
  - record: pool:running:sum
    expr: sum by (inference_pool) (llm_d_epp_request_running)
  - record: pool:demand:sum
    expr: pool:queue_size:sum + pool:running:sum
  - record: pool:demand:max1m
    expr: max_over_time(pool:demand:sum[1m])
    labels: {source: rules}
  - record: gateway:request_rate:rate30s
    expr: rate(llm_d_epp_request_total[30s])
- name: latency
  query_offset: 4s
  rules:
  - record: pool:ttft_bucket:rate1m
    expr: sum by (inference_pool, le) (rate(llm_d_epp_request_ttft_seconds_bucket[1m]))
  - record: pool:ttft:p90
    expr: histogram_quantile(0.9, pool:ttft_bucket:rate1m)
  - record: pool:ttft:avg
    expr: sum by (inference_pool) (increase(llm_d_epp_request_ttft_seconds_sum[1m])) / sum by (inference_pool) (increase(llm_d_epp_request_ttft_seconds_count[1m]))
  - record: pool:ttft_excess:ratio
    expr: clamp_min(pool:ttft:p90 / 2 - 1, 0)
- name: saturation
  interval: 2500ms
  query_offset: 6s
  rules:
  - record: pool:saturation:avg
    expr: avg by (inference_pool) (llm_d_epp_flow_control_pool_saturation)
  - record: pool:saturation:stddev
    expr: stddev by (inference_pool) (llm_d_epp_flow_control_pool_saturation)
  - record: gateway:share:ratio
    expr: llm_d_epp_request_running / on (inference_pool) group_left () pool:running:sum
  - record: pool:saturation:trend
    expr: deriv(pool:saturation:avg[1m]) * 60 + predict_linear(pool:saturation:avg[1m], 30)
  - record: pool:busiest:topk
    expr: topk by (inference_pool) (2, llm_d_epp_request_running)
  - record: pool:minute:sin
    expr: minute() + hour() * 60 + timestamp(pool:saturation:avg) % 60
- name: alerts
  interval: 3s
  query_offset: 8s
  rules:
  - alert: Queued
    expr: pool:queue_size:sum > 800
    for: 20s
    keep_firing_for: 15s
    labels: {severity: page}
    annotations: {summary: '{{ $value }} wait in {{ $labels.inference_pool }}'}
  - alert: Silent
    expr: absent_over_time(llm_d_epp_request_running{instance="epp-3"}[30s])
  - alert: Busy
    expr: pool:saturation:avg > 0.4
    for: 6s
"#;

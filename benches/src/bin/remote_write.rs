//! Remote write to real receivers that fail, and what it costs beside Prometheus' own.
//!
//! `cargo run --release -p stillwell-benches --bin remote_write -- --stillwell target/release/stillwell
//!  --prometheus PATH [--victoria-metrics PATH] [--minutes 10] [--targets 20] [--samples 2024] [--record FILE]`
//!
//! First, cost: Stillwell and Prometheus scrape the same pages once a second, each once with and once without a receiver that
//! takes everything. The difference in CPU time, divided by the samples sent, is what a sent sample costs. Then, loss: each
//! receiver gets the samples of two targets for the given time; in the middle it answers 500, 429, nothing for two seconds, and
//! is killed and started again. At the end every sample that both have of the same time is compared.

#![expect(clippy::print_stdout, reason = "a command that prints its results")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use stillwell_benches::contender::{Client, Contender, Kind};
use stillwell_benches::load::{Load, pause};
use stillwell_benches::write_proxy::{Mode, WriteProxy};

type Error = Box<dyn std::error::Error>;

/// Before anything is measured.
const WARM_UP: Duration = Duration::from_secs(15);
/// Samples of the targets of the second part, so that all of them can be compared.
const SAMPLES_COMPARED: usize = 400;

struct Options {
    stillwell: PathBuf,
    prometheus: PathBuf,
    victoria_metrics: Option<PathBuf>,
    minutes: f64,
    targets: usize,
    samples: usize,
    record: Option<PathBuf>,
}

fn options() -> Result<Options, String> {
    let mut paths = [None, None, None, None];
    let mut numbers = [10.0, 20.0, 2024.0];
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("{flag} needs a value"))?;
        let number = || {
            value
                .parse()
                .map_err(|_| format!("{flag}: {value:?} is no number"))
        };
        match flag.as_str() {
            "--stillwell" => paths[0] = Some(PathBuf::from(value)),
            "--prometheus" => paths[1] = Some(PathBuf::from(value)),
            "--victoria-metrics" => paths[2] = Some(PathBuf::from(value)),
            "--record" => paths[3] = Some(PathBuf::from(value)),
            "--minutes" => numbers[0] = number()?,
            "--targets" => numbers[1] = number()?,
            "--samples" => numbers[2] = number()?,
            _ => return Err(format!("{flag} is not known")),
        }
    }
    let [Some(stillwell), Some(prometheus), victoria_metrics, record] = paths else {
        return Err("--stillwell PATH and --prometheus PATH are needed".to_owned());
    };
    Ok(Options {
        stillwell,
        prometheus,
        victoria_metrics,
        minutes: numbers[0],
        targets: numbers[1] as usize,
        samples: numbers[2] as usize,
        record,
    })
}

fn main() -> Result<(), Error> {
    let options = options()?;
    let mut report = String::new();
    costs(&options, &mut report)?;
    losses(&options, &mut report)?;
    print!("{report}");
    if let Some(path) = &options.record {
        std::fs::write(path, &report)?;
    }
    Ok(())
}

fn scrapes(ports: &[u16]) -> String {
    let targets: Vec<String> = ports
        .iter()
        .map(|port| format!("'127.0.0.1:{port}'"))
        .collect();
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: load\n  static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    )
}

fn writes(proxy: &WriteProxy, path: &str) -> String {
    let port = proxy.port;
    format!("remote_write:\n- url: 'http://127.0.0.1:{port}{path}'\n  name: bench\n")
}

/// One server with and without a receiver.
struct Pair {
    kind: Kind,
    proxy: WriteProxy,
    without: Contender,
    with: Contender,
}

/// What a pair has done so far.
#[derive(Clone, Copy)]
struct Done {
    samples: f64,
    requests: u64,
    bytes: u64,
    cpu_without_s: f64,
    cpu_with_s: f64,
}

impl Pair {
    fn start(kind: Kind, binary: &std::path::Path, scrapes: &str) -> Result<Pair, Error> {
        let proxy = WriteProxy::start(Mode::Swallow)?;
        let sending = scrapes.to_owned() + &writes(&proxy, "/api/v1/write");
        Ok(Pair {
            kind,
            without: Contender::with_config(kind, binary, scrapes, &[])?,
            with: Contender::with_config(kind, binary, &sending, &[])?,
            proxy,
        })
    }

    fn done(&self) -> Result<Done, Error> {
        let metrics = self.with.ready_client()?.get("/metrics")?;
        let name = match self.kind {
            Kind::Stillwell => "stillwell_remote_write_samples_total{",
            Kind::Prometheus | Kind::VictoriaMetrics => "prometheus_remote_storage_samples_total{",
        };
        let line = metrics
            .lines()
            .find(|line| line.starts_with(name))
            .ok_or("no such metric")?;
        let (requests, bytes) = self.proxy.counts();
        Ok(Done {
            samples: line.rsplit(' ').next().unwrap_or("").parse()?,
            requests,
            bytes,
            cpu_without_s: self.without.usage()?.cpu_s,
            cpu_with_s: self.with.usage()?.cpu_s,
        })
    }
}

/// What a sent sample costs.
fn costs(options: &Options, report: &mut String) -> Result<(), Error> {
    let load = Load::start(options.targets, options.samples, 20)?;
    let scrapes = scrapes(&load.ports);
    let pairs = [
        Pair::start(Kind::Stillwell, &options.stillwell, &scrapes)?,
        Pair::start(Kind::Prometheus, &options.prometheus, &scrapes)?,
    ];
    pause(WARM_UP);
    let before = [pairs[0].done()?, pairs[1].done()?];
    let seconds = (options.minutes * 60.0).clamp(20.0, 120.0);
    pause(Duration::from_secs_f64(seconds));
    let (samples, targets) = (load.samples, options.targets);
    writeln!(
        report,
        "## What a sent sample costs\n\n{samples} samples a second on {targets} targets, {seconds:.0} s.\n\n\
         | server | samples sent | requests | bytes per sample | CPU without | CPU with | CPU per sent sample |\n\
         |---|---|---|---|---|---|---|"
    )?;
    let mut per_sample = Vec::new();
    for (pair, before) in pairs.iter().zip(before) {
        let after = pair.done()?;
        let count = after.samples - before.samples;
        let without = after.cpu_without_s - before.cpu_without_s;
        let with = after.cpu_with_s - before.cpu_with_s;
        let ns = (with - without) / count * 1e9;
        per_sample.push(ns);
        writeln!(
            report,
            "| {} | {count:.0} | {} | {:.1} | {without:.2} s | {with:.2} s | {ns:.0} ns |",
            pair.kind.name(),
            after.requests - before.requests,
            (after.bytes - before.bytes) as f64 / count,
        )?;
    }
    writeln!(report, "\nRatio: {:.2}\n", per_sample[0] / per_sample[1])?;
    Ok(())
}

/// What is missing after receivers have failed.
fn losses(options: &Options, report: &mut String) -> Result<(), Error> {
    writeln!(report, "## What is missing after a receiver has failed\n")?;
    writeln!(
        report,
        "{} minutes; in the middle 500, 429, slow, killed and started again.\n",
        options.minutes
    )?;
    writeln!(
        report,
        "| receiver | message | series | samples compared | missing | more than once or not stored here | different | scrapes missed | memory at 1/4 and at the end |"
    )?;
    writeln!(report, "|---|---|---|---|---|---|---|---|---|")?;
    let v1 = "prometheus.WriteRequest";
    let v2 = "io.prometheus.write.v2.Request";
    let mut runs = vec![
        (Kind::Prometheus, &options.prometheus, v1),
        (Kind::Prometheus, &options.prometheus, v2),
    ];
    if let Some(binary) = &options.victoria_metrics {
        runs.push((Kind::VictoriaMetrics, binary, v1));
    }
    let mut results: Vec<Result<String, String>> = Vec::new();
    std::thread::scope(|scope| {
        let running: Vec<_> = runs
            .iter()
            .map(|(kind, binary, message)| {
                scope.spawn(move || {
                    let row = loss(*kind, binary, message, options);
                    row.map_err(|error| format!("{}: {error}", kind.name()))
                })
            })
            .collect();
        for one in running {
            results.push(one.join().unwrap_or_else(|_| Err("it panicked".to_owned())));
        }
    });
    for row in results {
        writeln!(report, "{}", row?)?;
    }
    Ok(())
}

fn loss(
    kind: Kind,
    binary: &std::path::Path,
    message: &str,
    options: &Options,
) -> Result<String, Error> {
    let load = Load::start(2, SAMPLES_COMPARED, 50)?;
    let mut receiver = Contender::receiver(kind, binary)?;
    receiver.connect(Duration::from_secs(30))?;
    let proxy = WriteProxy::start(Mode::Pass(receiver.port))?;
    let config = scrapes(&load.ports)
        + &writes(&proxy, "/api/v1/write")
        + &format!("  protobuf_message: {message}\n  remote_timeout: 5s\n");
    let sender = Contender::stillwell(&options.stillwell, &config, &[])?;
    let began = Instant::now();
    let all = Duration::from_secs_f64(options.minutes * 60.0);
    let until = |part: f64| {
        pause(all.mul_f64(part).saturating_sub(began.elapsed()));
    };
    let pass = Mode::Pass(receiver.port);
    until(0.15);
    proxy.set(Mode::Refuse(500));
    until(0.25);
    proxy.set(pass);
    let rss_early = sender.usage()?.rss_bytes;
    until(0.35);
    proxy.set(Mode::Refuse(429));
    until(0.45);
    proxy.set(Mode::Slow(receiver.port, Duration::from_secs(2)));
    until(0.55);
    proxy.set(pass);
    until(0.6);
    // VictoriaMetrics loses what it has taken in its last seconds when it is killed; it is asked to end.
    receiver.end(kind == Kind::Prometheus)?;
    until(0.7);
    receiver.restart()?;
    until(1.0);
    let mut ours = sender.ready_client()?;
    let mut theirs = receiver.connect(Duration::from_secs(30))?;
    wait_for_the_rest(&mut ours)?;
    let rss_end = sender.usage()?.rss_bytes;
    let row = compare(&mut ours, &mut theirs, began.elapsed())?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    Ok(format!(
        "| {} | {message} | {row} | {:.0} MB, {:.0} MB |",
        kind.name(),
        mb(rss_early),
        mb(rss_end)
    ))
}

/// Waits until as good as nothing is left to be sent.
fn wait_for_the_rest(ours: &mut Client) -> Result<(), Error> {
    for _ in 0..120 {
        let metrics = ours.get("/metrics")?;
        let name = "stillwell_remote_write_pending_scrapes{";
        let line = metrics
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or("");
        let pending: f64 = line
            .rsplit(' ')
            .next()
            .unwrap_or("")
            .parse()
            .unwrap_or(f64::MAX);
        if pending <= 40.0 {
            return Ok(());
        }
        pause(Duration::from_secs(1));
    }
    Err("samples are left that are not sent".into())
}

/// Compares all samples of all series up to some seconds ago.
fn compare(ours: &mut Client, theirs: &mut Client, all: Duration) -> Result<String, Error> {
    let newest = ours.query("max(timestamp(up))")?;
    let newest: Value = serde_json::from_str(&newest)?;
    let newest = newest["data"]["result"][0]["value"][1]
        .as_str()
        .ok_or("no scrapes")?;
    // What is newer may be under way.
    let at_ms = (newest.parse::<f64>()? * 1000.0) as i64 - 12_000;
    let names: Value = serde_json::from_str(&ours.get("/api/v1/label/__name__/values")?)?;
    let names = names["data"].as_array().cloned().unwrap_or_default();
    let (mut series, mut samples, mut missing, mut more, mut different) = (0, 0, 0, 0, 0);
    for name in names.iter().filter_map(Value::as_str) {
        let query = format!("{{__name__=\"{name}\"}}[{}s]", all.as_secs());
        let mine = points(&ours.query_at(&query, at_ms)?)?;
        let mut other = points(&theirs.query_at(&query, at_ms)?)?;
        for (labels, list) in mine {
            series += 1;
            samples += list.len();
            let have = other.remove(&labels).unwrap_or_default();
            let (mut left, mut right) = (list.iter().peekable(), have.iter().peekable());
            loop {
                match (left.peek(), right.peek()) {
                    (Some((a, x)), Some((b, y))) if a == b => {
                        different += usize::from(x != y);
                        left.next();
                        right.next();
                    }
                    (Some((a, _)), Some((b, _))) if a < b => {
                        missing += 1;
                        left.next();
                    }
                    (Some(_), None) => {
                        missing += 1;
                        left.next();
                    }
                    (_, Some(_)) => {
                        more += 1;
                        right.next();
                    }
                    (None, None) => break,
                }
            }
        }
    }
    let missed = format!(
        "sum(count_over_time(up[{0}s])) - sum(sum_over_time(up[{0}s]))",
        all.as_secs()
    );
    let missed: Value = serde_json::from_str(&ours.query(&missed)?)?;
    let missed = missed["data"]["result"][0]["value"][1]
        .as_str()
        .unwrap_or("?")
        .to_owned();
    Ok(format!(
        "{series} | {samples} | {missing} | {more} | {different} | {missed}"
    ))
}

type Points = std::collections::BTreeMap<String, Vec<(i64, String)>>;

fn points(answer: &str) -> Result<Points, Error> {
    let answer: Value = serde_json::from_str(answer)?;
    let mut points = Points::new();
    for one in answer["data"]["result"].as_array().into_iter().flatten() {
        let list = one["values"].as_array().into_iter().flatten();
        let list = list.map(|pair| {
            let ms = (pair[0].as_f64().unwrap_or(0.0) * 1000.0).round() as i64;
            // Bit for bit: each server writes the shortest text, but in ways of its own.
            let value: f64 = pair[1]
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or(f64::NAN);
            (ms, format!("{:x}", value.to_bits()))
        });
        points.insert(one["metric"].to_string(), list.collect());
    }
    Ok(points)
}

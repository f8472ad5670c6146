//! What a scaler's read costs beside a health check, while gateways are scraped at 100 ms.
//!
//! `cargo run --release -p stillwell-benches --bin scaler_reads -- STILLWELL [SECONDS] [SIGNALS]`
//!
//! One kept connection asks for the paths in turn, so that what else the machine does falls on all of them alike. Then some
//! connections ask as fast as they are answered, each path for so many seconds: how many reads one core of the server answers,
//! its scraping subtracted. Fails where an external metric takes more than 1.5 times the health check (p50), or a core answers
//! fewer than 20,000 of them a second.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a command that measures time and prints its results"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stillwell_benches::contender::{Client, Contender};
use stillwell_benches::load::{Load, pause};

/// The budgets.
const RATIO_MAX: f64 = 1.5;
const PER_CORE_MIN: f64 = 20_000.0;
/// Kept connections of the second part.
const CONNECTIONS: usize = 4;

/// What is asked for, the health check first and the external metric second.
const PATHS: [(&str, &str, &str); 5] = [
    ("health check", "/-/healthy", ""),
    (
        "external metric",
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue",
        "\"value\":\"",
    ),
    (
        "the same, selected",
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/by_pool?labelSelector=inference_pool%3Dpool-000-llama-3-1-8b-instruct",
        "\"value\":\"",
    ),
    (
        "custom metric of an object",
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/services/pool-000-llama-3-1-8b-instruct/by_service",
        "\"value\":\"",
    ),
    (
        "/guarded",
        "/guarded/api/v1/query?query=sum(llm_d_epp_flow_control_queue_size)",
        "\"success\"",
    ),
];

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, standard: u64| match arguments.get(at) {
        Some(text) => text.parse(),
        None => Ok(standard),
    };
    let (Some(binary), Ok(seconds), Ok(signals)) = (arguments.first(), number(1, 5), number(2, 20))
    else {
        eprintln!("scaler_reads STILLWELL [SECONDS] [SIGNALS]");
        return ExitCode::FAILURE;
    };
    match run(Path::new(binary), seconds.max(1), signals) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scaler_reads: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(binary: &Path, seconds: u64, signals: u64) -> Result<bool, Failure> {
    let load = Load::start(20, 2_024, 20)?;
    let server = Contender::stillwell(binary, &config(&load, signals), &[])?;
    let mut client = server.ready_client()?;
    for (name, path, expected) in PATHS {
        wait_for(&mut client, name, path, expected)?;
    }
    let from = server.usage()?;
    pause(Duration::from_secs(seconds));
    let idle_cores = (server.usage()?.cpu_s - from.cpu_s) / seconds as f64;
    println!(
        "{} samples scraped at 100 ms, {} signals: {:.0}% of a core without reads",
        load.samples,
        signals + 3,
        idle_cores * 100.0
    );
    let medians = in_turn(&mut client, seconds)?;
    let mut good = true;
    for (index, (name, path, _)) in PATHS.into_iter().enumerate() {
        let (per_second, per_core) = throughput(&server, path, seconds, idle_cores)?;
        let (median, ratio) = (
            medians[index],
            medians[index].as_secs_f64() / medians[0].as_secs_f64(),
        );
        println!(
            "{name:28} p50 {median:>9.1?}, {ratio:4.2} of the health check's; {per_second:6.0} a second, {per_core:6.0} on a core"
        );
        if index == 1 {
            good = ratio <= RATIO_MAX && per_core >= PER_CORE_MIN;
        }
    }
    Ok(good)
}

fn config(load: &Load, signals: u64) -> String {
    let targets: Vec<String> = load
        .ports
        .iter()
        .map(|port| format!("'127.0.0.1:{port}'"))
        .collect();
    let queue = "llm_d_epp_flow_control_queue_size";
    let mut text = format!(
        "global: {{scrape_interval: 100ms}}\nexternal_metrics: {{insecure: true}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: [{}]}}]\nsignals:\n\
         - {{name: queue, expr: sum({queue})}}\n- {{name: by_pool, expr: sum by (inference_pool) ({queue})}}\n\
         - {{name: by_service, expr: 'label_replace(sum by (inference_pool) ({queue}), \"service\", \"$1\", \"inference_pool\", \
         \"(.*)\")'}}\n",
        targets.join(", "),
    );
    for signal in 0..signals {
        // A String takes every write.
        let _ = writeln!(
            text,
            "- {{name: other_{signal}, expr: sum({queue}) + {signal}}}"
        );
    }
    text
}

fn wait_for(client: &mut Client, name: &str, path: &str, expected: &str) -> Result<(), Failure> {
    let mut answer = String::new();
    for _ in 0..100 {
        answer = client.get(path)?;
        if answer.contains(expected) {
            return Ok(());
        }
        pause(Duration::from_millis(100));
    }
    Err(format!("{name}: {path}: {answer}").into())
}

/// How long each path takes at the median when one connection asks for them in turn.
fn in_turn(client: &mut Client, seconds: u64) -> Result<Vec<Duration>, Failure> {
    let mut times = vec![Vec::new(); PATHS.len()];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3 * seconds) {
        for ((_, path, expected), times) in PATHS.into_iter().zip(&mut times) {
            let from = Instant::now();
            let answer = client.get(path)?;
            times.push(from.elapsed());
            if !answer.contains(expected) {
                return Err(format!("{path}: {answer}").into());
            }
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    Ok(times.into_iter().map(median).collect())
}

/// Reads a second, and reads for each second of the server's CPU, its scraping subtracted.
fn throughput(
    server: &Contender,
    path: &str,
    seconds: u64,
    idle_cores: f64,
) -> Result<(f64, f64), Failure> {
    let (from, start) = (server.usage()?, Instant::now());
    let worker = || -> Result<usize, Failure> {
        let mut client = server.connect(Duration::from_secs(5))?;
        let mut count = 0;
        while start.elapsed() < Duration::from_secs(seconds) {
            client.get(path)?;
            count += 1;
        }
        Ok(count)
    };
    let count = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(worker)).collect();
        let ended = workers.into_iter().map(|worker| {
            let ended = worker.join();
            ended.unwrap_or_else(|_| Err("a worker panicked".into()))
        });
        ended.sum::<Result<usize, Failure>>()
    })?;
    let elapsed_s = start.elapsed().as_secs_f64();
    let cpu_s = server.usage()?.cpu_s - from.cpu_s - idle_cores * elapsed_s;
    Ok((count as f64 / elapsed_s, count as f64 / cpu_s))
}

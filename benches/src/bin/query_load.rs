//! The same queries again and again, as dashboards and KEDA send them, while gateways are scraped: how long each answer
//! takes, what it costs, and whether the server grows.
//!
//! `cargo run --release -p stillwell-benches --bin query_load -- STILLWELL [PROMETHEUS] [SECONDS] [PER_SECOND]`
//!
//! 20 gateways with 2,024 samples each are scraped once a second. A request is timed from when it was due, so that a slow
//! answer is charged to those who wait behind it. Fails where Stillwell's p99 is above 2 ms or its memory grows by more than
//! a tenth after the first fifth of the time.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a command that measures time and prints its results"
)]

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stillwell_benches::contender::{Client, Contender, Kind};
use stillwell_benches::load::{Load, pause};

/// Kept connections.
const WORKERS: usize = 8;
/// The budget.
const P99_MAX: Duration = Duration::from_millis(2);
/// What a scaler and a dashboard of a gateway ask for.
const QUERIES: [&str; 8] = [
    "sum(fast_queue)",
    "sum(llm_d_epp_flow_control_queue_size)",
    "sum by (inference_pool) (llm_d_epp_flow_control_queue_size)",
    "max(llm_d_epp_flow_control_queue_size)",
    "sum(rate(llm_d_epp_request_phase_0001_duration_seconds_count[1m]))",
    "avg_over_time(fast_queue[30s])",
    "up",
    "sum(llm_d_epp_flow_control_queue_size) / count(up == 1)",
];

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_number = |text: &&String| text.parse::<u64>().is_ok();
    let mut numbers = arguments.iter().filter(is_number);
    let mut number = |standard: u64| match numbers.next() {
        Some(text) => text.parse().unwrap_or(standard),
        None => standard,
    };
    let (seconds, per_second) = (number(60), number(1_000));
    let mut binaries = arguments.iter().filter(|text| !is_number(text));
    let Some(stillwell) = binaries.next() else {
        eprintln!("query_load STILLWELL [PROMETHEUS] [SECONDS] [PER_SECOND]");
        return ExitCode::FAILURE;
    };
    let rate = (seconds.max(5), per_second.max(1));
    let mut good = true;
    let contenders = [
        (Kind::Stillwell, Some(stillwell)),
        (Kind::Prometheus, binaries.next()),
    ];
    for (kind, binary) in contenders {
        let Some(binary) = binary else { continue };
        match run(kind, Path::new(binary), rate) {
            Ok(in_budget) => good &= in_budget || kind != Kind::Stillwell,
            Err(error) => {
                eprintln!("query_load: {}: {error}", kind.name());
                return ExitCode::FAILURE;
            }
        }
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(kind: Kind, binary: &Path, (seconds, per_second): (u64, u64)) -> Result<bool, Failure> {
    let load = Load::start(20, 2_024, 20)?;
    let server = Contender::start(kind, binary, &load, true)?;
    let mut client = server.ready_client()?;
    for query in QUERIES {
        wait_for(&mut client, query)?;
    }
    let idle_from = server.usage()?;
    pause(Duration::from_secs(5));
    let idle = server.usage()?;
    let idle_cores = (idle.cpu_s - idle_from.cpu_s) / 5.0;
    let first = ask(&server, seconds / 5, per_second)?;
    let warm = server.usage()?;
    let mut times = ask(&server, seconds - seconds / 5, per_second)?;
    let end = server.usage()?;
    let loaded_s = (seconds - seconds / 5) as f64;
    let per_request_us =
        ((end.cpu_s - warm.cpu_s) - idle_cores * loaded_s) / times.len() as f64 * 1e6;
    let (before, after) = (warm.rss_bytes as f64 / 1e6, end.rss_bytes as f64 / 1e6);
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{}: {} requests in {seconds} s beside {} samples a second: p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}",
        kind.name(),
        first.len() + times.len(),
        load.samples,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    println!(
        "    CPU {per_request_us:.0} us a request ({:.0}% of a core without any); memory {before:.1} MB, then {after:.1} MB",
        idle_cores * 100.0
    );
    Ok(at(0.99) <= P99_MAX && after <= before * 1.1)
}

/// Waits until a query has a result.
fn wait_for(client: &mut Client, query: &str) -> Result<(), Failure> {
    const TRIES: usize = 300;
    let mut answer = String::new();
    for _ in 0..TRIES {
        answer = client.query(query)?;
        if answer.contains("\"status\":\"success\"") && !answer.contains("\"result\":[]") {
            return Ok(());
        }
        pause(Duration::from_millis(100));
    }
    Err(format!("{query}: {answer}").into())
}

/// Sends so many requests a second over kept connections; answers how long each took since it was due.
fn ask(server: &Contender, seconds: u64, per_second: u64) -> Result<Vec<Duration>, Failure> {
    let count = (seconds * per_second) as usize;
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    let worker = || -> Result<Vec<Duration>, Failure> {
        let mut client = server.connect(Duration::from_secs(5))?;
        let mut times = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return Ok(times);
            }
            let due = start + Duration::from_secs(1) * at as u32 / per_second as u32;
            pause(due.saturating_duration_since(Instant::now()));
            let answer = client.query(QUERIES[at % QUERIES.len()])?;
            times.push(due.elapsed());
            if !answer.starts_with("{\"status\":\"success\"") {
                return Err(answer.into());
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        let mut all = Vec::new();
        for worker in workers {
            let ended = worker.join();
            all.extend(ended.unwrap_or_else(|_| Err("a worker panicked".into()))?);
        }
        Ok(all)
    })
}

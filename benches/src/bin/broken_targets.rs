//! 500 targets at 1 s, a fifth of which fail in every way in which a socket can fail: whether a healthy one misses a scrape,
//! whether memory grows, and what the failures cost.
//!
//! `cargo run --release -p stillwell-benches --bin broken_targets -- STILLWELL [SECONDS] [TARGETS] [KIND]`
//!
//! First all targets are healthy, for a tenth of the time, to compare with. Fails where a healthy target has a failed scrape or
//! fewer scrapes than seconds, a failing one has a good one, or memory grows by more than a tenth from the first third to the
//! last.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a command that measures time and prints its results"
)]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stillwell_benches::broken::{Failing, Targets};
use stillwell_benches::contender::{Client, Contender};
use stillwell_benches::load::pause;

/// Until every target was scraped and names were looked up.
const SETTLING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(5);
/// A window's edges.
const EDGES: f64 = 1.0;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, standard: u64| match arguments.get(at) {
        Some(text) => text.parse(),
        None => Ok(standard),
    };
    let (Some(binary), Ok(seconds), Ok(targets)) =
        (arguments.first(), number(1, 600), number(2, 500))
    else {
        eprintln!("broken_targets STILLWELL [SECONDS] [TARGETS] [KIND]");
        return ExitCode::FAILURE;
    };
    let kind = arguments.get(3).map_or("", String::as_str);
    match run(
        Path::new(binary),
        seconds.max(30),
        targets.max(20) as usize,
        kind,
    ) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("broken_targets: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(binary: &Path, seconds: u64, targets: usize, kind: &str) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let served = runtime.block_on(Targets::start())?;
    let failing = targets / 5;
    println!(
        "{targets} targets at 1 s, {} ways to fail",
        Failing::ALL.len()
    );
    let good = measure(
        binary,
        &served.configuration(targets, 0, "1s"),
        (targets, 0),
        seconds / 10,
    )?;
    let text = served.configuration_of(kind, targets - failing, failing, "1s");
    let bad = measure(binary, &text, (targets - failing, failing), seconds)?;
    println!(
        "a failing target costs {:.2} of a healthy one",
        (bad.core - good.core * (targets - failing) as f64 / targets as f64)
            / (failing as f64 * good.core / targets as f64)
    );
    Ok(good.is_good && bad.is_good)
}

struct Measured {
    is_good: bool,
    /// Of one core.
    core: f64,
}

fn measure(
    binary: &Path,
    config: &str,
    (healthy, failing): (usize, usize),
    seconds: u64,
) -> Result<Measured, Failure> {
    let flags = ["--storage.retention.time=30m"];
    let server = Contender::stillwell(binary, config, &flags)?;
    let mut client = server.ready_client()?;
    pause(SETTLING);
    let (began, first) = (Instant::now(), server.usage()?);
    let mut resident = Vec::new();
    while began.elapsed() < Duration::from_secs(seconds) {
        pause(LOOK);
        resident.push(server.usage()?.rss_bytes as f64 / 1e6);
    }
    let window_s = began.elapsed().as_secs_f64();
    let core = (server.usage()?.cpu_s - first.cpu_s) / window_s;
    let window = window_s as u64;
    let of_healthy = format!("up{{job=\"healthy\"}}[{window}s]");
    let least = number(&mut client, &format!("min(count_over_time({of_healthy}))"))?;
    let failed = number(
        &mut client,
        &format!("sum(count_over_time({of_healthy})) - sum(sum_over_time({of_healthy}))"),
    )?;
    let longest = number(
        &mut client,
        &format!("max(max_over_time(scrape_duration_seconds{{job=\"healthy\"}}[{window}s]))"),
    )?;
    let of_failing = format!("up{{job=\"failing\"}}[{window}s]");
    let good = match failing {
        0 => 0.0,
        _ => number(&mut client, &format!("sum(sum_over_time({of_failing}))"))?,
    };
    let third = (resident.len() / 3).max(1);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    let (early, late) = (
        mean(&resident[..third]),
        mean(&resident[resident.len() - third..]),
    );
    println!(
        "{healthy} healthy, {failing} failing, {window} s: at least {least} scrapes of each healthy one, {failed} of them failed, the longest took \
         {longest:.3} s; {good} good scrapes of failing ones; memory {early:.1} MB in the first third, {late:.1} MB in the last; \
         {:.1}% of a core",
        core * 100.0
    );
    if good > 0.0 {
        println!(
            "good ones: {}",
            client.query(&format!("sum by (how) (sum_over_time({of_failing})) > 0"))?
        );
    }
    let enough = least >= window_s - EDGES - 1.0;
    Ok(Measured {
        is_good: enough && failed == 0.0 && good == 0.0 && late <= early * 1.1,
        core,
    })
}

/// The one number of a query.
fn number(client: &mut Client, promql: &str) -> Result<f64, Failure> {
    let body = client.query(promql)?;
    let answer: serde_json::Value = serde_json::from_str(&body)?;
    let text = answer["data"]["result"][0]["value"][1].as_str();
    let text = text.ok_or_else(|| format!("{promql}: {body}"))?;
    Ok(text.parse()?)
}

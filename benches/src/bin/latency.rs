//! How long a change on a gateway's page takes to the number that an HPA reads, by how many gateways are scraped and how often.
//!
//! `cargo run --release -p stillwell-benches --bin latency -- STILLWELL [CHANGES]`
//!
//! Each cell: so many gateways of 100 samples at an interval, and ten more whose queues change at one moment; a client reads
//! their external metrics in a loop. Each change is as many delays as there are such gateways, for each is scraped at a moment
//! of its own. What a change waits for is the next scrape, at most an interval; what is beyond is the server and the loop of
//! the client (1 ms). Cells whose scrapes would be more than 20,000 a second are left out: two cores that also serve the pages
//! do not make them.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a command that measures time and prints its results"
)]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stillwell_benches::contender::{Client, Contender};
use stillwell_benches::fleet::{Fleet, Gateways};
use stillwell_benches::load::pause;

const TARGETS: [usize; 4] = [1, 20, 200, 1_000];
const INTERVALS_MS: [u64; 3] = [10, 100, 1_000];
const SCRAPES_MAX: u64 = 20_000;
/// Gateways whose queues change, each with a signal of its own.
const PROBES: usize = 10;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let changes = arguments.get(1).map_or(Ok(100), |text| text.parse());
    let (Some(binary), Ok(changes)) = (arguments.first(), changes) else {
        eprintln!("latency STILLWELL [CHANGES]");
        return ExitCode::FAILURE;
    };
    println!(
        "| targets | interval | scrapes a second | p50 | p99 | p99.9 | worst | server, cores | a read meanwhile, p50 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for targets in TARGETS {
        let fleet = Fleet {
            gateways: targets,
            samples: 100,
            pools: 4.min(targets),
        };
        for interval_ms in INTERVALS_MS {
            if targets as u64 * 1_000 / interval_ms > SCRAPES_MAX {
                continue;
            }
            if let Err(error) = cell(Path::new(binary), fleet, interval_ms, changes) {
                eprintln!("latency: {targets} targets at {interval_ms} ms: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn cell(binary: &Path, fleet: Fleet, interval_ms: u64, changes: usize) -> Result<(), Failure> {
    let gateways = Gateways::start(fleet)?;
    let listed = |addresses: &mut dyn Iterator<Item = String>| {
        let quoted: Vec<String> = addresses.map(|address| format!("'{address}'")).collect();
        quoted.join(", ")
    };
    let probes: Vec<String> = gateways.probes(PROBES).collect();
    let mut config = format!(
        "global: {{scrape_interval: {interval_ms}ms}}\nexternal_metrics: {{insecure: true}}\nscrape_configs:\n- job_name: epp\n  \
         static_configs: [{{targets: [{}]}}]\n- job_name: probe\n  static_configs: [{{targets: [{}]}}]\nsignals:\n\
         - {{name: queue, expr: sum(llm_d_epp_flow_control_queue_size)}}\n",
        listed(&mut gateways.addresses()),
        listed(&mut probes.iter().cloned())
    );
    for (probe, address) in probes.iter().enumerate() {
        config += &format!(
            "- {{name: probe-{probe}, expr: 'sum(probe_queue{{instance=\"{address}\"}})'}}\n"
        );
    }
    let server = Contender::stillwell(binary, &config, &[])?;
    let mut client = server.ready_client()?;
    gateways.show(0);
    wait_for(&mut client, 0)?;
    pause(Duration::from_secs(2));
    let (before, start) = (server.usage()?, Instant::now());
    let (mut delays, mut reads) = (Vec::new(), Vec::new());
    for change in 1..=changes as u64 {
        // At another time of the interval each time.
        pause(Duration::from_millis(
            interval_ms / 2 + change * 37 % interval_ms.max(40),
        ));
        let value = change % 9 + 1;
        gateways.show(value);
        let (of_change, of_reads) = wait_for(&mut client, value)?;
        delays.extend(of_change);
        reads.extend(of_reads);
    }
    let cores = (server.usage()?.cpu_s - before.cpu_s) / start.elapsed().as_secs_f64();
    delays.sort_unstable();
    reads.sort_unstable();
    let ms = |of: &[Duration], share: f64| {
        of[((of.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
    };
    println!(
        "| {} | {interval_ms} ms | {} | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} ms | {cores:.2} | {:.3} ms |",
        fleet.gateways,
        (fleet.gateways + PROBES) as u64 * 1_000 / interval_ms,
        ms(&delays, 0.5),
        ms(&delays, 0.99),
        ms(&delays, 0.999),
        ms(&delays, 1.0),
        ms(&reads, 0.5)
    );
    Ok(())
}

/// Reads all signals until each tells the number. Answers how long each took to, and how long the reads took.
fn wait_for(client: &mut Client, value: u64) -> Result<(Vec<Duration>, Vec<Duration>), Failure> {
    let (since, wanted) = (Instant::now(), format!("\"value\":\"{value}\""));
    let (mut delays, mut reads) = (Vec::new(), Vec::new());
    let mut waiting: Vec<usize> = (0..PROBES).collect();
    while !waiting.is_empty() {
        let (mut left, mut last) = (Vec::new(), String::new());
        for probe in waiting {
            let asked = Instant::now();
            last = client.get(&format!(
                "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/probe-{probe}"
            ))?;
            reads.push(asked.elapsed());
            if last.contains(&wanted) {
                delays.push(since.elapsed());
            } else {
                left.push(probe);
            }
        }
        if since.elapsed() > Duration::from_secs(30) {
            return Err(format!("{value} is not told: {last}").into());
        }
        waiting = left;
        pause(Duration::from_micros(500));
    }
    Ok((delays, reads))
}

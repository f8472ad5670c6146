//! Remote write to real receivers that fail, and what it costs beside Prometheus' own.
//!
//! `cargo run --release -p stillwell-benches --bin remote_write -- --stillwell target/release/stillwell
//!  --prometheus PATH [--victoria-metrics PATH] [--thanos PATH] [--minutes 10] [--targets 20] [--samples 2024]
//!  [--part costs|losses] [--record FILE]`
//!
//! First, cost: Stillwell and Prometheus scrape the same pages once a second, each once with and once without a receiver that
//! takes everything. The difference in CPU time, divided by the samples sent, is what a sent sample costs. Then, loss: each
//! receiver gets the samples of two targets for the given time and fails in all ways of `FAILURES`. At the end every sample that
//! both have of the same time is compared. Where a receiver's disk is full, its files may not grow, or it takes its disk for full;
//! Thanos Receive answers no queries, so that a Prometheus reads its files after it has ended.

#![expect(clippy::print_stdout, reason = "a command that prints its results")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use stillwell_benches::contender::{Contender, Kind};
use stillwell_benches::load::{Load, pause};
use stillwell_benches::write_losses::{Common, Run, losses, scrapes, writes};
use stillwell_benches::write_proxy::{Mode, WriteProxy};

type Error = Box<dyn std::error::Error>;

/// Before anything is measured.
const WARM_UP: Duration = Duration::from_secs(15);

struct Options {
    stillwell: PathBuf,
    prometheus: PathBuf,
    victoria_metrics: Option<PathBuf>,
    thanos: Option<PathBuf>,
    minutes: f64,
    targets: usize,
    samples: usize,
    part: String,
    record: Option<PathBuf>,
}

fn options() -> Result<Options, String> {
    let mut paths = [None, None, None, None, None];
    let mut numbers = [10.0, 20.0, 2024.0];
    let mut part = "all".to_owned();
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
            "--thanos" => paths[3] = Some(PathBuf::from(value)),
            "--record" => paths[4] = Some(PathBuf::from(value)),
            "--minutes" => numbers[0] = number()?,
            "--targets" => numbers[1] = number()?,
            "--samples" => numbers[2] = number()?,
            "--part" if ["costs", "losses"].contains(&value.as_str()) => part = value,
            _ => return Err(format!("{flag} {value} is not known")),
        }
    }
    let [
        Some(stillwell),
        Some(prometheus),
        victoria_metrics,
        thanos,
        record,
    ] = paths
    else {
        return Err("--stillwell PATH and --prometheus PATH are needed".to_owned());
    };
    Ok(Options {
        stillwell,
        prometheus,
        victoria_metrics,
        thanos,
        minutes: numbers[0],
        targets: numbers[1] as usize,
        samples: numbers[2] as usize,
        part,
        record,
    })
}

fn main() -> Result<(), Error> {
    let options = options()?;
    let mut report = String::new();
    if options.part != "losses" {
        costs(&options, &mut report)?;
    }
    let mut lost = Ok(());
    if options.part != "costs" {
        let common = Common {
            stillwell: options.stillwell.clone(),
            prometheus: options.prometheus.clone(),
            minutes: options.minutes,
        };
        lost = losses(&runs(&options), &common, &mut report);
    }
    print!("{report}");
    if let Some(path) = &options.record {
        std::fs::write(path, &report)?;
    }
    lost
}

/// Each receiver with each message that it is known for, and one with a message that it does not know.
fn runs(options: &Options) -> Vec<Run> {
    let (v1, v2) = ("prometheus.WriteRequest", "io.prometheus.write.v2.Request");
    let mut runs = Vec::new();
    let mut add = |kind, binary: &PathBuf, message| {
        runs.push(Run {
            kind,
            binary: binary.clone(),
            message,
        });
    };
    add(Kind::Prometheus, &options.prometheus, v1);
    add(Kind::Prometheus, &options.prometheus, v2);
    if let Some(binary) = &options.victoria_metrics {
        add(Kind::VictoriaMetrics, binary, v1);
    }
    if let Some(binary) = &options.thanos {
        add(Kind::Thanos, binary, v1);
        add(Kind::Thanos, binary, v2);
    }
    runs
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
            _ => "prometheus_remote_storage_samples_total{",
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

//! What is written to disk for surviving a restart: Stillwell's snapshots beside a Prometheus' WAL, scraping the same pages.
//!
//! `cargo run --release -p stillwell-benches --bin disk_written -- STILLWELL PROMETHEUS [MINUTES] [TARGETS] [INTERVAL_MS [RETENTION]]`
//!
//! With a retention of some minutes it shows what is written from the second one on. Pages of 2,024 samples, a fifth of which move every second. Counted are the bytes that either process has the kernel write
//! (`write_bytes`), after the first half minute, so the folder of temporary files must be on a disk. Fails where Stillwell
//! writes more than a tenth.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that prints its results"
)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use stillwell_benches::contender::Contender;
use stillwell_benches::load::{Load, pause};

const SAMPLES: usize = 2_024;
/// First pages and first files.
const SETTLING: Duration = Duration::from_secs(35);
/// The aim.
const SHARE_MAX: f64 = 0.1;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, standard: u64| match arguments.get(at) {
        Some(text) => text.parse(),
        None => Ok(standard),
    };
    let ([stillwell, prometheus, ..], Ok(minutes), Ok(targets), Ok(interval_ms)) = (
        arguments.as_slice(),
        number(2, 10),
        number(3, 20),
        number(4, 1_000),
    ) else {
        eprintln!(
            "disk_written STILLWELL PROMETHEUS [MINUTES] [TARGETS] [INTERVAL_MS [RETENTION]]"
        );
        return ExitCode::FAILURE;
    };
    let binaries = (Path::new(stillwell), Path::new(prometheus));
    let retention = arguments.get(5).map_or("1h", String::as_str);
    match run(
        binaries,
        minutes.max(1),
        targets as usize,
        (interval_ms, retention),
    ) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("disk_written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    (stillwell, prometheus): (&Path, &Path),
    minutes: u64,
    targets: usize,
    (interval_ms, retention): (u64, &str),
) -> Result<bool, Failure> {
    let load = Load::start(targets, SAMPLES, 20)?;
    let addresses: Vec<String> = load
        .ports
        .iter()
        .map(|port| format!("'127.0.0.1:{port}'"))
        .collect();
    let config = format!(
        "global: {{scrape_interval: {interval_ms}ms, scrape_timeout: {interval_ms}ms}}\nscrape_configs:\n- job_name: epp\n  \
         static_configs: [{{targets: [{}]}}]\n",
        addresses.join(", ")
    );
    let folder = std::env::temp_dir().join(format!("disk-written-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let flag = format!("--storage.path={}", folder.display());
    let retention = format!("--storage.retention.time={retention}");
    let ours = Contender::stillwell(stillwell, &config, &[&flag, &retention])?;
    let theirs = Contender::prometheus(prometheus, &config)?;
    ours.ready_client()?;
    theirs.ready_client()?;
    pause(SETTLING);
    let before = (ours.disk_written()?, theirs.disk_written()?);
    let mut after = before;
    let mut held_max = 0;
    for minute in 1..=minutes {
        pause(Duration::from_secs(60));
        let now = (ours.disk_written()?, theirs.disk_written()?);
        let held = bytes_in(&folder)?;
        held_max = held_max.max(held);
        println!(
            "minute {minute}: Stillwell {:.2} MB, Prometheus {:.2} MB; snapshots have {:.2} MB",
            (now.0 - after.0) as f64 / 1e6,
            (now.1 - after.1) as f64 / 1e6,
            held as f64 / 1e6
        );
        after = now;
    }
    let an_hour = |bytes: u64| bytes as f64 * 60.0 / minutes as f64;
    let (own, wal) = (an_hour(after.0 - before.0), an_hour(after.1 - before.1));
    drop(ours);
    std::fs::remove_dir_all(&folder)?;
    println!(
        "{} samples every {interval_ms} ms, {minutes} minutes: Stillwell writes {:.1} MB an hour, Prometheus {:.1} MB ({:.1}%); \
         snapshots had at most {:.1} MB",
        load.samples,
        own / 1e6,
        wal / 1e6,
        own / wal * 100.0,
        held_max as f64 / 1e6
    );
    match own > 0.0 && wal > 0.0 {
        true => Ok(own <= SHARE_MAX * wal),
        false => Err("nothing is written: is the folder of temporary files in memory?".into()),
    }
}

fn bytes_in(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        // One that is removed meanwhile has none.
        bytes += entry?.metadata().map_or(0, |data| data.len());
    }
    Ok(bytes)
}

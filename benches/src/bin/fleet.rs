//! 10,000 gateways with 50 million series, shared by so many processes: one of them real, at its share, and the process that
//! adds up what all of them say, with the others played.
//!
//! `ulimit -n 50000; cargo run --release -p stillwell-benches --bin fleet -- STILLWELL [SHARDS[,SHARDS...]] [INTERVAL_MS]
//! [GATEWAYS] [SAMPLES]`
//!
//! For each number of shards a row: what the real one and the aggregator take, what goes over the network, how long a change
//! on a page takes to the answer of a scaler, and what the scaler is told when the real shard's process is killed. Fails where
//! a scaler was told less than the truth. The gateways are served by this process, which takes as much CPU as the shard does.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that prints its results"
)]

use std::path::Path;
use std::process::ExitCode;

use stillwell_benches::fleet::{Fleet, Gateways, Measured, Trial, run};

const POOLS: usize = 100;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match try_main(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fleet: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_main(arguments: &[String]) -> Result<bool, Failure> {
    let Some(binary) = arguments.first() else {
        return Err(
            "fleet STILLWELL [SHARDS[,SHARDS...]] [INTERVAL_MS] [GATEWAYS] [SAMPLES]".into(),
        );
    };
    let number =
        |at: usize, standard: usize| arguments.get(at).map_or(Ok(standard), |text| text.parse());
    let shards = arguments.get(1).map_or("100,50", String::as_str);
    let shards: Result<Vec<usize>, _> = shards.split(',').map(str::parse).collect();
    let fleet = Fleet {
        gateways: number(3, 10_000)?,
        samples: number(4, 5_000)?,
        pools: POOLS,
    };
    let interval_ms = number(2, 1_000)? as u64;
    let gateways = Gateways::start(fleet)?;
    println!(
        "{} gateways of {} samples, {} pools, scraped every {interval_ms} ms; a shard sends its signals every 500 ms",
        fleet.gateways, fleet.samples, fleet.pools
    );
    println!(
        "| shards | gateways | series | a shard: cores, MB | in, out (MB/s) | aggregator: cores, MB | change to scaler: p50, p99 (ms) \
         | killed: refused after | back after | told too little | late rounds |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut good = true;
    for shards in shards? {
        let trial = Trial {
            fleet,
            shards,
            interval_ms,
            seconds: 30,
            changes: 40,
        };
        let measured = run(Path::new(binary), &gateways, trial)?;
        print(shards, &measured);
        good &= measured.too_small == 0;
    }
    Ok(good)
}

fn print(shards: usize, measured: &Measured) {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let at = |share: f64| {
        let delays = &measured.delays;
        delays[((delays.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
    };
    println!(
        "| {shards} | {} | {} | {:.2}, {:.0} | {:.1}, {:.3} | {:.3}, {:.0} | {:.0}, {:.0} | {:.1} s | {:.1} s | {} | {} |",
        measured.gateways,
        measured.series,
        measured.shard.0,
        mb(measured.shard.1),
        measured.network.0 / 1e6,
        measured.network.1 / 1e6,
        measured.aggregator.0,
        mb(measured.aggregator.1),
        at(0.5),
        at(0.99),
        measured.lost.0.as_secs_f64(),
        measured.back.as_secs_f64(),
        measured.too_small,
        measured.late
    );
    eprintln!(
        "fleet: with the shard killed the scaler was told: {}",
        measured.lost.1.trim()
    );
}

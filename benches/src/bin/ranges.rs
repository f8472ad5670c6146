//! Range queries of Stillwell beside a real Prometheus, over the same data, one after the other.
//!
//! `cargo run --release -p stillwell-benches --bin ranges -- --stillwell target/release/stillwell --prometheus PATH
//!  [--series 4000] [--samples 3600] [--step-ms 15000] [--rounds 5]`
//!
//! Half of the series are buckets of histograms, half are queue gauges, a sample a second, ending now; both servers
//! take them by remote write. Each query asks over the whole time; times are medians by HTTP, less the same server's
//! median for its health check. Answers must be equal before times count.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that prints its results"
)]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it measures time, and data ends now"
)]

use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use stillwell_adapters::remote_write::messages::TimeSeries;
use stillwell_benches::answers::{Verdict, compare};
use stillwell_benches::contender::{Client, Contender, Kind};
use stillwell_benches::remote_write;
use stillwell_engine::labels;
use stillwell_testing::differential::Dice;

const QUERIES: [&str; 6] = [
    "sum by (model_name) (rate(wait_bucket[1m]))",
    "histogram_quantile(0.9, sum by (le) (rate(wait_bucket[1m])))",
    "sum by (inference_pool) (queue)",
    "max_over_time(queue[5m])",
    "avg_over_time(queue[5m])",
    "sum by (inference_pool) (max_over_time(queue[5m]))",
];
const BOUNDS: [&str; 10] = [
    "0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "10", "60", "+Inf",
];
/// Series written together: their samples fill some requests.
const SERIES_PER_WRITE: usize = 100;
/// Sums in another order may differ so far.
const NEAR: f64 = 1e-12;

struct Options {
    stillwell: PathBuf,
    prometheus: PathBuf,
    series: usize,
    samples: i64,
    step_ms: i64,
    rounds: usize,
}

fn options() -> Result<Options, String> {
    let (mut stillwell, mut prometheus) = (None, None);
    let (mut series, mut samples, mut step_ms, mut rounds) = (4_000, 3_600, 15_000, 5);
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("{flag} needs a value"))?;
        let number = || {
            let number = value.parse::<u32>().ok().filter(|number| *number > 0);
            number.ok_or(format!("{flag}: {value:?} is no number above 0"))
        };
        match flag.as_str() {
            "--stillwell" => stillwell = Some(value.into()),
            "--prometheus" => prometheus = Some(value.into()),
            "--series" => series = number()? as usize,
            "--samples" => samples = i64::from(number()?),
            "--step-ms" => step_ms = i64::from(number()?),
            "--rounds" => rounds = number()? as usize,
            _ => return Err(format!("{flag} is not known")),
        }
    }
    Ok(Options {
        stillwell: stillwell.ok_or("--stillwell PATH is needed")?,
        prometheus: prometheus.ok_or("--prometheus PATH is needed")?,
        series,
        samples,
        step_ms,
        rounds,
    })
}

fn main() {
    let result = options().and_then(|options| run(&options).map_err(|error| error.to_string()));
    if let Err(why) = result {
        eprintln!("ranges: {why}");
        std::process::exit(2);
    }
}

fn run(options: &Options) -> std::io::Result<()> {
    let ours = Contender::receiver(Kind::Stillwell, &options.stillwell)?;
    let theirs = Contender::receiver(Kind::Prometheus, &options.prometheus)?;
    let mut clients = [ours.ready_client()?, theirs.ready_client()?];
    let (start_ms, end_ms) = load(options, &mut clients)?;
    let range = (start_ms, end_ms, options.step_ms);
    let health = [
        median_ms(&mut clients[0], options.rounds * 5, |client| {
            client.get("/-/healthy")
        })?,
        median_ms(&mut clients[1], options.rounds * 5, |client| {
            client.get("/-/healthy")
        })?,
    ];
    println!(
        "{} series x {} samples at 1 s, step {} ms, median of {}\n",
        options.series, options.samples, options.step_ms, options.rounds
    );
    println!("| query | Stillwell | Prometheus | ratio |\n|---|---|---|---|");
    for query in QUERIES {
        let bodies = [
            clients[0].query_range(query, range)?,
            clients[1].query_range(query, range)?,
        ];
        match compare(&bodies[0], &bodies[1]) {
            Verdict::Same => {}
            Verdict::Near(apart) if apart < NEAR => {}
            other => return Err(std::io::Error::other(format!("{query}: {other:?}"))),
        }
        let mut times = [0.0; 2];
        for ((time, client), health) in times.iter_mut().zip(&mut clients).zip(health) {
            let whole = median_ms(client, options.rounds, |client| {
                client.query_range(query, range)
            })?;
            *time = (whole - health).max(0.001);
        }
        let [ours, theirs] = times;
        println!(
            "| `{query}` | {ours:.1} ms | {theirs:.1} ms | {:.1}x |",
            theirs / ours
        );
    }
    Ok(())
}

fn median_ms(
    client: &mut Client,
    rounds: usize,
    mut ask: impl FnMut(&mut Client) -> std::io::Result<String>,
) -> std::io::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        ask(client)?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Writes the data to all; answers when it begins and ends.
fn load(options: &Options, clients: &mut [Client]) -> std::io::Result<(i64, i64)> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(std::io::Error::other)?;
    let end_ms = now.as_millis() as i64 / 1_000 * 1_000;
    let start_ms = end_ms - (options.samples - 1) * 1_000;
    let mut dice = Dice::new(1);
    for from in (0..options.series).step_by(SERIES_PER_WRITE) {
        let until = (from + SERIES_PER_WRITE).min(options.series);
        let batch: Vec<TimeSeries> = (from..until)
            .map(|index| series(&mut dice, index, start_ms, options.samples))
            .collect();
        for client in &mut *clients {
            remote_write::send(client, batch.clone())?;
        }
        if (from / SERIES_PER_WRITE).is_multiple_of(10) {
            eprintln!("{until} of {} series written", options.series);
        }
    }
    Ok((start_ms, end_ms))
}

/// Even ones are buckets, odd ones gauges.
fn series(dice: &mut Dice, index: usize, start_ms: i64, samples: i64) -> TimeSeries {
    let one = index / 2;
    let (pod, instance) = (
        format!("pod-{}", one / 10),
        format!("10.0.{}.{}:9090", one / 250, one % 250),
    );
    let labels = if index.is_multiple_of(2) {
        labels! {
            "__name__" => "wait_bucket", "instance" => &instance, "job" => "epp", "le" => BOUNDS[one % BOUNDS.len()],
            "model_name" => &format!("model-{}", one / 200), "namespace" => "inference", "pod" => &pod,
        }
    } else {
        labels! {
            "__name__" => "queue", "inference_pool" => &format!("pool-{}", one % 16), "instance" => &instance,
            "job" => "epp", "namespace" => "inference", "pod" => &format!("pod-{one}"),
        }
    };
    let mut counter = 0.0;
    let bucket = 1 + one % BOUNDS.len();
    let mut next = || {
        if index.is_multiple_of(2) {
            counter += (dice.below(4) * bucket) as f64;
            counter
        } else {
            dice.below(100) as f64
        }
    };
    remote_write::series(
        &labels,
        (0..samples).map(|at| (start_ms + at * 1_000, next())),
    )
}

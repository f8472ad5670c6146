//! Range queries of Stillwell beside a real Prometheus and VictoriaMetrics, over the same data, one after the other.
//!
//! `cargo run --release -p stillwell-benches --bin ranges -- --stillwell target/release/stillwell --prometheus PATH
//!  [--victoria-metrics PATH] [--series 4000] [--samples 3600] [--step-ms 15000] [--rounds 5] [--query TEXT]`
//!
//! Half of the series are buckets of histograms, a quarter are queues (whole numbers) and a quarter shares of caches
//! (fractions), a sample a second, ending now; all servers take them by remote write. Each query asks over the whole
//! time. Every server is asked once for warmth, then all in turns; times are medians by HTTP, less the same server's
//! median for its health check.
//!
//! Our answers must equal Prometheus' before times count. VictoriaMetrics' language differs (`rate` does not
//! extrapolate), so only the number of its series is compared. Its cache of answers is off (`-search.disableCache`, and
//! `nocache=1` in each request), so that it computes as the others do; what it was sent is made visible before.

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

const QUERIES: [&str; 16] = [
    "sum by (model_name) (rate(wait_bucket[1m]))",
    "sum by (model_name) (increase(wait_bucket[5m]))",
    "histogram_quantile(0.9, sum by (le) (rate(wait_bucket[1m])))",
    "histogram_quantile(0.9, sum by (le, model_name) (rate(wait_bucket[1m])))",
    "sum by (inference_pool) (queue)",
    "avg by (inference_pool) (usage)",
    "queue",
    "max_over_time(queue[5m])",
    "avg_over_time(queue[5m])",
    "avg_over_time(usage[5m])",
    "quantile_over_time(0.9, usage[1m])",
    "sum by (inference_pool) (max_over_time(queue[5m]))",
    "max_over_time(sum by (inference_pool) (queue)[5m:15s])",
    "max_over_time(rate(wait_bucket[1m])[5m:15s])",
    "topk(5, rate(wait_bucket[1m]))",
    "sum by (inference_pool) (rate(wait_bucket[1m]) * on (instance) group_left (inference_pool) queue)",
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
    victoria_metrics: Option<PathBuf>,
    series: usize,
    samples: i64,
    step_ms: i64,
    rounds: usize,
    /// Only this one, instead of all.
    query: Option<String>,
}

fn options() -> Result<Options, String> {
    let (mut stillwell, mut prometheus, mut victoria_metrics, mut query) = (None, None, None, None);
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
            "--victoria-metrics" => victoria_metrics = Some(value.into()),
            "--series" => series = number()? as usize,
            "--samples" => samples = i64::from(number()?),
            "--step-ms" => step_ms = i64::from(number()?),
            "--rounds" => rounds = number()? as usize,
            "--query" => query = Some(value),
            _ => return Err(format!("{flag} is not known")),
        }
    }
    Ok(Options {
        stillwell: stillwell.ok_or("--stillwell PATH is needed")?,
        prometheus: prometheus.ok_or("--prometheus PATH is needed")?,
        victoria_metrics,
        series,
        samples,
        step_ms,
        rounds,
        query,
    })
}

fn main() {
    let result = options().and_then(|options| run(&options).map_err(|error| error.to_string()));
    if let Err(why) = result {
        eprintln!("ranges: {why}");
        std::process::exit(2);
    }
}

/// A server, its connection, and its median for a health check.
struct Server {
    contender: Contender,
    client: Client,
    health_ms: f64,
}

fn run(options: &Options) -> std::io::Result<()> {
    let mut servers = Vec::new();
    servers.push(Contender::receiver(Kind::Stillwell, &options.stillwell)?);
    servers.push(Contender::receiver(Kind::Prometheus, &options.prometheus)?);
    if let Some(binary) = &options.victoria_metrics {
        servers.push(Contender::receiver(Kind::VictoriaMetrics, binary)?);
    }
    let servers = servers.into_iter().map(|contender| {
        let client = match contender.kind {
            Kind::VictoriaMetrics => contender.healthy_client()?,
            Kind::Stillwell | Kind::Prometheus | Kind::Thanos => contender.ready_client()?,
        };
        Ok(Server {
            contender,
            client,
            health_ms: 0.0,
        })
    });
    let mut servers = servers.collect::<std::io::Result<Vec<Server>>>()?;
    let (start_ms, end_ms) = load(options, &mut servers)?;
    for server in &mut servers {
        let path = server.contender.health_path();
        server.health_ms = median_ms(options.rounds * 5, || server.client.get(path))?;
    }
    measure(options, &mut servers, (start_ms, end_ms, options.step_ms))
}

fn measure(
    options: &Options,
    servers: &mut [Server],
    range: (i64, i64, i64),
) -> std::io::Result<()> {
    println!(
        "{} series x {} samples at 1 s, step {} ms, median of {}\n",
        options.series, options.samples, options.step_ms, options.rounds
    );
    let rivals: Vec<&str> = servers[1..]
        .iter()
        .map(|server| server.contender.kind.name())
        .collect();
    let columns: String = rivals
        .iter()
        .map(|name| format!(" {name} | ratio |"))
        .collect();
    println!("| query | Stillwell |{columns}");
    println!("|---|---|{}", "---|---|".repeat(rivals.len()));
    let mut logarithms = vec![0.0; rivals.len()];
    let mut least = vec![f64::INFINITY; rivals.len()];
    let queries: Vec<&str> = match &options.query {
        Some(query) => vec![query],
        None => QUERIES.to_vec(),
    };
    for query in &queries {
        check(query, servers, range)?;
        let times = times_ms(options, query, servers, range)?;
        let mut row = format!("| `{query}` | {:.1} ms |", times[0]);
        for (at, theirs) in times[1..].iter().enumerate() {
            let ratio = theirs / times[0];
            row += &format!(" {theirs:.1} ms | {ratio:.1}x |");
            logarithms[at] += ratio.ln();
            least[at] = least[at].min(ratio);
        }
        println!("{row}");
    }
    println!();
    for (at, name) in rivals.iter().enumerate() {
        let mean = (logarithms[at] / queries.len() as f64).exp();
        println!(
            "{name}: {mean:.1}x in the geometric mean, {:.1}x at least",
            least[at]
        );
    }
    for server in &*servers {
        let (name, usage) = (server.contender.kind.name(), server.contender.usage()?);
        println!(
            "{name}: {} MB of process, {:.0} s of CPU with loading",
            usage.rss_bytes >> 20,
            usage.cpu_s
        );
    }
    Ok(())
}

/// Asks everybody once: equal answers, and as many series.
fn check(query: &str, servers: &mut [Server], range: (i64, i64, i64)) -> std::io::Result<()> {
    let mut bodies = Vec::new();
    for server in servers {
        bodies.push(server.ask(query, range)?);
    }
    match compare(&bodies[0], &bodies[1]) {
        Verdict::Same => {}
        Verdict::Near(apart) if apart < NEAR => {}
        other => return Err(std::io::Error::other(format!("{query}: {other:?}"))),
    }
    let series = |body: &str| body.matches("\"metric\":").count();
    for body in &bodies[2..] {
        // Ties of topk may be broken another way at some step.
        if series(body) != series(&bodies[0]) && !query.starts_with("topk") {
            let (ours, theirs) = (series(&bodies[0]), series(body));
            let text = format!("{query}: {theirs} series instead of {ours}");
            return Err(std::io::Error::other(text));
        }
    }
    Ok(())
}

/// The median of each server for a query, all asked in turns.
fn times_ms(
    options: &Options,
    query: &str,
    servers: &mut [Server],
    range: (i64, i64, i64),
) -> std::io::Result<Vec<f64>> {
    let mut times = vec![Vec::new(); servers.len()];
    for _ in 0..options.rounds {
        for (times, server) in times.iter_mut().zip(&mut *servers) {
            let began = Instant::now();
            server.ask(query, range)?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    let medians = times.into_iter().zip(servers);
    Ok(medians
        .map(|(times, server)| (median(times) - server.health_ms).max(0.001))
        .collect())
}

impl Server {
    fn ask(
        &mut self,
        query: &str,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
    ) -> std::io::Result<String> {
        let more = match self.contender.kind {
            Kind::VictoriaMetrics => "&nocache=1",
            Kind::Stillwell | Kind::Prometheus | Kind::Thanos => "",
        };
        self.client
            .query_range_with(query, (start_ms, end_ms, step_ms), more)
    }
}

fn median_ms(
    rounds: usize,
    mut ask: impl FnMut() -> std::io::Result<String>,
) -> std::io::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        ask()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(times))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Writes the data to all; answers when it begins and ends.
fn load(options: &Options, servers: &mut [Server]) -> std::io::Result<(i64, i64)> {
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
        for server in &mut *servers {
            remote_write::send(&mut server.client, batch.clone())?;
        }
        if (from / SERIES_PER_WRITE).is_multiple_of(10) {
            eprintln!("{until} of {} series written", options.series);
        }
    }
    for server in servers {
        if server.contender.kind == Kind::VictoriaMetrics {
            server.client.get("/internal/force_flush")?;
            server.client.get("/internal/force_merge")?;
        }
    }
    Ok((start_ms, end_ms))
}

/// Even ones are buckets, odd ones queues and shares.
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
        let name = if index % 4 == 1 { "queue" } else { "usage" };
        labels! {
            "__name__" => name, "inference_pool" => &format!("pool-{}", one / 2 % 16), "instance" => &instance,
            "job" => "epp", "namespace" => "inference", "pod" => &format!("pod-{one}"),
        }
    };
    let mut counter = 0.0;
    let bucket = 1 + one % BOUNDS.len();
    let mut next = || match index % 4 {
        0 | 2 => {
            counter += (dice.below(4) * bucket) as f64;
            counter
        }
        1 => dice.below(100) as f64,
        _ => dice.below(10_000) as f64 / 10_000.0,
    };
    remote_write::series(
        &labels,
        (0..samples).map(|at| (start_ms + at * 1_000, next())),
    )
}

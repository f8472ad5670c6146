//! Stillwell and its rivals on the same pages at the same time, as one table of ratios.
//!
//! `cargo run --release -p stillwell-benches --bin rivals -- --stillwell target/release/stillwell
//!  --prometheus PATH [--victoria-metrics PATH] [--targets 20] [--samples 2024] [--moving 20] [--seconds 60]
//!  [--slope] [--record FILE]`
//!
//! CPU and memory are the kernel's figures for the whole process. Latencies of queries are medians, less the same
//! server's median for its health check. `--slope` runs a second load of ten times the samples for memory alone.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that prints its results"
)]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stillwell_benches::contender::{Client, Contender, Kind, Usage};
use stillwell_benches::load::{Load, pause};

const QUERIES: [(&str, &str); 3] = [
    (
        "sum by (pool), 1,600 series",
        "sum by (inference_pool) (llm_d_epp_request_phase_0000_duration_seconds_bucket{le!=\"\"})",
    ),
    (
        "sum of one pool",
        "sum(llm_d_epp_request_phase_0000_duration_seconds_count{inference_pool=\"pool-001-llama-3-1-8b-instruct\"})",
    ),
    (
        "sum by (rate())",
        "sum by (inference_pool) (rate(llm_d_epp_request_phase_0000_duration_seconds_count[10s]))",
    ),
];
const LATENCY_ROUNDS: usize = 200;
const CHANGE_ROUNDS: usize = 60;

struct Options {
    binaries: Vec<(Kind, PathBuf)>,
    targets: usize,
    samples: usize,
    moving: usize,
    seconds: u64,
    slope: bool,
    record: Option<PathBuf>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        binaries: Vec::new(),
        targets: 20,
        samples: 2024,
        moving: 20,
        seconds: 60,
        slope: false,
        record: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        if flag == "--slope" {
            options.slope = true;
            continue;
        }
        let value = args.next().ok_or(format!("{flag} needs a value"))?;
        let number = || {
            value
                .parse()
                .map_err(|_| format!("{flag}: {value:?} is no number"))
        };
        match flag.as_str() {
            "--stillwell" => options.binaries.push((Kind::Stillwell, value.into())),
            "--prometheus" => options.binaries.push((Kind::Prometheus, value.into())),
            "--victoria-metrics" => options.binaries.push((Kind::VictoriaMetrics, value.into())),
            "--targets" => options.targets = number()?,
            "--samples" => options.samples = number()?,
            "--moving" => options.moving = number()?,
            "--seconds" => options.seconds = number()? as u64,
            "--record" => options.record = Some(value.into()),
            _ => return Err(format!("{flag} is not known")),
        }
    }
    match options.binaries.first() {
        Some((Kind::Stillwell, _)) => Ok(options),
        _ => Err("--stillwell PATH comes first".to_owned()),
    }
}

/// What was measured of one server.
#[derive(Clone, Default)]
struct Figures {
    cpu_ns_per_sample: f64,
    bytes_per_series: f64,
    slope_bytes: Option<f64>,
    first_answer_ms: f64,
    change_p50_ms: f64,
    change_p99_ms: f64,
    query_us: Vec<f64>,
}

fn main() {
    let options = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("rivals: {why}");
            std::process::exit(2);
        }
    };
    match run(&options) {
        Ok(table) => {
            println!("{table}");
            if let Some(file) = &options.record
                && let Err(error) = std::fs::write(file, &table)
            {
                eprintln!("rivals: {}: {error}", file.display());
            }
        }
        Err(error) => {
            eprintln!("rivals: {error}");
            std::process::exit(1);
        }
    }
}

fn run(options: &Options) -> std::io::Result<String> {
    let load = Load::start(options.targets, options.samples, options.moving)?;
    eprintln!(
        "{} targets, {} samples in all",
        options.targets, load.samples
    );
    let mut contenders = Vec::new();
    let mut figures = vec![Figures::default(); options.binaries.len()];
    for ((kind, binary), figures) in options.binaries.iter().zip(&mut figures) {
        let contender = Contender::start(*kind, binary, &load, true)?;
        figures.first_answer_ms = first_answer(&contender)?;
        eprintln!(
            "{}: first answer after {:.0} ms",
            kind.name(),
            figures.first_answer_ms
        );
        contenders.push(contender);
    }
    pause(Duration::from_secs(5));
    let before: Vec<Usage> = contenders
        .iter()
        .map(Contender::usage)
        .collect::<Result<_, _>>()?;
    let began = Instant::now();
    for left in (0..options.seconds).rev() {
        pause(Duration::from_secs(1));
        if left % 10 == 0 {
            eprintln!("{left} s of scraping left");
        }
    }
    let scraped = load.samples as f64 * began.elapsed().as_secs_f64();
    for ((contender, before), figures) in contenders.iter().zip(&before).zip(&mut figures) {
        let after = contender.usage()?;
        figures.cpu_ns_per_sample = (after.cpu_s - before.cpu_s) * 1e9 / scraped;
        figures.bytes_per_series = after.rss_bytes as f64 / load.samples as f64;
    }
    for (contender, figures) in contenders.iter().zip(&mut figures) {
        eprintln!("{}: latencies", contender.kind.name());
        changes(contender, &load, figures)?;
        figures.query_us = latencies(contender)?;
    }
    drop(contenders);
    if options.slope {
        slope(options, &load, &mut figures)?;
    }
    Ok(table(options, &load, &figures))
}

fn first_answer(contender: &Contender) -> std::io::Result<f64> {
    let mut client = contender.connect(Duration::from_secs(30))?;
    loop {
        let body = client.query("sum(up)").unwrap_or_default();
        if body.contains("\"value\":[") {
            return Ok(contender.started.elapsed().as_secs_f64() * 1e3);
        }
        if contender.started.elapsed() > Duration::from_secs(90) {
            return Err(std::io::Error::other(format!(
                "{} gave no answer in 90 s",
                contender.kind.name()
            )));
        }
        if body.is_empty() {
            client = contender.connect(Duration::from_secs(30))?;
        }
        pause(Duration::from_millis(2));
    }
}

/// Moves the queue at odd moments, and asks until the answer shows it.
fn changes(contender: &Contender, load: &Load, figures: &mut Figures) -> std::io::Result<()> {
    let mut client = contender.connect(Duration::from_secs(5))?;
    let mut times = Vec::new();
    for round in 0..CHANGE_ROUNDS {
        pause(Duration::from_millis(150 + (round as u64 * 37) % 100));
        let value = load.queue.load(Ordering::Acquire) + 1;
        let began = Instant::now();
        load.queue.store(value, Ordering::Release);
        let wanted = format!("\"{value}\"]");
        while !client.query("fast_queue")?.contains(&wanted) {
            if began.elapsed() > Duration::from_secs(60) {
                return Err(std::io::Error::other(format!(
                    "{} never showed a change",
                    contender.kind.name()
                )));
            }
            pause(Duration::from_micros(500));
        }
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    figures.change_p50_ms = times[times.len() / 2];
    figures.change_p99_ms = times[times.len() * 99 / 100];
    Ok(())
}

fn median_us(
    client: &mut Client,
    mut ask: impl FnMut(&mut Client) -> std::io::Result<String>,
) -> std::io::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..LATENCY_ROUNDS {
        let began = Instant::now();
        let body = ask(client)?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
        assert!(
            !body.contains("\"result\":[]"),
            "an empty answer is fast for the wrong reason: {body}"
        );
        pause(Duration::from_millis(3));
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn latencies(contender: &Contender) -> std::io::Result<Vec<f64>> {
    let mut client = contender.connect(Duration::from_secs(5))?;
    let health = median_us(&mut client, |client| client.get(contender.health_path()))?;
    let mut medians = Vec::new();
    for (_, query) in QUERIES {
        let whole = median_us(&mut client, |client| client.query(query))?;
        medians.push((whole - health).max(1.0));
    }
    Ok(medians)
}

/// Memory of ten times the series, less that of the first load.
fn slope(options: &Options, small: &Load, figures: &mut [Figures]) -> std::io::Result<()> {
    let large = Load::start(options.targets, options.samples * 10, options.moving)?;
    for ((kind, binary), figures) in options.binaries.iter().zip(figures) {
        eprintln!(
            "{}: {} samples for {} s",
            kind.name(),
            large.samples,
            options.seconds
        );
        let contender = Contender::start(*kind, binary, &large, false)?;
        pause(Duration::from_secs(options.seconds + 5));
        let more_bytes =
            contender.usage()?.rss_bytes as f64 - figures.bytes_per_series * small.samples as f64;
        figures.slope_bytes = Some(more_bytes / (large.samples - small.samples) as f64);
    }
    Ok(())
}

fn table(options: &Options, load: &Load, figures: &[Figures]) -> String {
    let mut out = String::new();
    // Where a binary lay on this machine says nothing to a reader elsewhere.
    let name = |argument: String| argument.rsplit('/').next().unwrap_or_default().to_owned();
    let arguments: Vec<String> = std::env::args().skip(1).map(name).collect();
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("")
        .trim_start_matches(['\t', ' ', ':']);
    let _ = writeln!(
        out,
        "`rivals {}`, {cores} cores, {model}\n",
        arguments.join(" ")
    ); // a String takes everything
    let _ = writeln!(
        out,
        "{} targets x {} samples at 1 s, {}% moving, {} s; one target at 100 ms\n",
        options.targets,
        load.samples / options.targets,
        options.moving,
        options.seconds
    );
    let mut head = "| |".to_owned();
    for (at, (kind, _)) in options.binaries.iter().enumerate() {
        let _ = write!(head, " {} |", kind.name());
        if at > 0 {
            let _ = write!(head, " ratio |");
        }
    }
    let columns = head.matches('|').count() - 1;
    let _ = writeln!(out, "{head}\n|{}", "---|".repeat(columns));
    let mut row = |name: &str, unit: &str, value: &dyn Fn(&Figures) -> Option<f64>| {
        let ours = figures.first().and_then(value);
        let mut line = format!("| {name} |");
        for (at, one) in figures.iter().enumerate() {
            let text = value(one).map_or("-".to_owned(), |value| format!("{value:.1} {unit}"));
            let _ = write!(line, " {text} |");
            if at > 0 {
                let ratio = ours
                    .zip(value(one))
                    .map_or("-".to_owned(), |(ours, theirs)| {
                        format!("{:.1}x", theirs / ours)
                    });
                let _ = write!(line, " {ratio} |");
            }
        }
        let _ = writeln!(out, "{line}");
    };
    row("CPU per sample", "ns", &|figures| {
        Some(figures.cpu_ns_per_sample)
    });
    row("memory per series", "B", &|figures| {
        Some(figures.bytes_per_series)
    });
    row("memory per series, slope to ten times", "B", &|figures| {
        figures.slope_bytes
    });
    row("start to first answer", "ms", &|figures| {
        Some(figures.first_answer_ms)
    });
    row("change to changed answer, p50", "ms", &|figures| {
        Some(figures.change_p50_ms)
    });
    row("change to changed answer, p99", "ms", &|figures| {
        Some(figures.change_p99_ms)
    });
    for (at, (name, _)) in QUERIES.iter().enumerate() {
        row(&format!("query: {name}"), "us", &|figures| {
            figures.query_us.get(at).copied()
        });
    }
    out
}

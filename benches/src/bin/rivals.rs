//! Stillwell and its rivals on the same pages at the same time, as one table of ratios.
//!
//! `cargo run --release -p stillwell-benches --bin rivals -- --stillwell target/release/stillwell
//!  --prometheus PATH [--victoria-metrics PATH] [--targets 20] [--samples 2024] [--moving 20] [--seconds 60]
//!  [--slope] [--sizes] [--record FILE]`
//!
//! CPU and memory are the kernel's figures for the whole process; CPU is the median of windows of ten seconds, in which
//! all contenders scrape the same pages. Latencies of queries are medians of interleaved rounds, less the same server's
//! median for its health check, under scrape load. `--slope` runs a second load of ten times the samples for memory
//! alone, `--sizes` two more for CPU: small pages, and one page as large as a busy gateway's.

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
/// Contenders take turns this often, so that a busy moment of the machine meets all of them.
const LATENCY_TURNS: usize = 5;
const CHANGE_ROUNDS: usize = 60;
const WINDOW_S: u64 = 10;
/// Before anything is measured: first pages are dear, and Prometheus takes its time to start.
const WARM_UP_S: u64 = 8;
/// Targets and samples of the loads of `--sizes`.
const SIZES: [(usize, usize); 2] = [(20, 500), (1, 223_000)];

struct Options {
    binaries: Vec<(Kind, PathBuf)>,
    targets: usize,
    samples: usize,
    moving: usize,
    seconds: u64,
    slope: bool,
    sizes: bool,
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
        sizes: false,
        record: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let switch = match flag.as_str() {
            "--slope" => Some(&mut options.slope),
            "--sizes" => Some(&mut options.sizes),
            _ => None,
        };
        if let Some(switch) = switch {
            *switch = true;
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
    /// By entry of `SIZES`.
    cpu_ns_by_size: Vec<f64>,
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
    let samples = load.samples;
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
    pause(Duration::from_secs(WARM_UP_S));
    let cpu = cpu_ns_per_sample(&contenders, load.samples, options.seconds)?;
    for ((contender, cpu), figures) in contenders.iter().zip(cpu).zip(&mut figures) {
        figures.cpu_ns_per_sample = cpu;
        figures.bytes_per_series = contender.usage()?.rss_bytes as f64 / load.samples as f64;
    }
    eprintln!("latencies");
    for (contender, figures) in contenders.iter().zip(&mut figures) {
        changes(contender, &load, figures)?;
    }
    for (query_us, figures) in latencies(&contenders)?.into_iter().zip(&mut figures) {
        figures.query_us = query_us;
    }
    drop(contenders);
    if options.slope {
        slope(options, &load, &mut figures)?;
    }
    if options.sizes {
        sizes(options, &mut figures)?;
    }
    Ok(table(options, samples, &figures))
}

/// CPU time per sample of each contender: the median of windows that they share.
fn cpu_ns_per_sample(
    contenders: &[Contender],
    samples: usize,
    seconds: u64,
) -> std::io::Result<Vec<f64>> {
    let mut windows = vec![Vec::new(); contenders.len()];
    let usages =
        || -> std::io::Result<Vec<Usage>> { contenders.iter().map(Contender::usage).collect() };
    for left in (0..(seconds / WINDOW_S).max(1)).rev() {
        let (before, began) = (usages()?, Instant::now());
        pause(Duration::from_secs(WINDOW_S.min(seconds)));
        let scraped = samples as f64 * began.elapsed().as_secs_f64();
        for ((window, before), after) in windows.iter_mut().zip(before).zip(usages()?) {
            window.push((after.cpu_s - before.cpu_s) * 1e9 / scraped);
        }
        eprintln!("{} s of scraping left", left * WINDOW_S);
    }
    Ok(windows.into_iter().map(median).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU at other page sizes.
fn sizes(options: &Options, figures: &mut [Figures]) -> std::io::Result<()> {
    for (targets, samples) in SIZES {
        let load = Load::start(targets, samples, options.moving)?;
        eprintln!("{targets} targets of {samples} samples");
        let contenders = options.binaries.iter();
        let contenders: Vec<Contender> = contenders
            .map(|(kind, binary)| Contender::start(*kind, binary, &load, false))
            .collect::<Result<_, _>>()?;
        pause(Duration::from_secs(2 * WARM_UP_S));
        let cpu = cpu_ns_per_sample(&contenders, load.samples, options.seconds)?;
        for (cpu, figures) in cpu.into_iter().zip(&mut *figures) {
            figures.cpu_ns_by_size.push(cpu);
        }
    }
    Ok(())
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

/// Times of one request, again and again.
fn times_us(
    client: &mut Client,
    mut ask: impl FnMut(&mut Client) -> std::io::Result<String>,
) -> std::io::Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..LATENCY_ROUNDS / LATENCY_TURNS {
        let began = Instant::now();
        let body = ask(client)?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
        assert!(
            !body.contains("\"result\":[]"),
            "an empty answer is fast for the wrong reason: {body}"
        );
        pause(Duration::from_millis(3));
    }
    Ok(times)
}

/// By contender and query: the median latency, less that of the health check.
fn latencies(contenders: &[Contender]) -> std::io::Result<Vec<Vec<f64>>> {
    let mut health = vec![Vec::new(); contenders.len()];
    let mut queries = vec![vec![Vec::new(); QUERIES.len()]; contenders.len()];
    for _ in 0..LATENCY_TURNS {
        for (at, contender) in contenders.iter().enumerate() {
            let mut client = contender.connect(Duration::from_secs(5))?;
            let path = contender.health_path();
            health[at].extend(times_us(&mut client, |client| client.get(path))?);
            for ((_, query), times) in QUERIES.iter().zip(&mut queries[at]) {
                times.extend(times_us(&mut client, |client| client.query(query))?);
            }
        }
    }
    let medians = health.into_iter().zip(queries).map(|(health, queries)| {
        let health = median(health);
        let above = |times| (median(times) - health).max(1.0);
        queries.into_iter().map(above).collect()
    });
    Ok(medians.collect())
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

/// The command line, the machine and the day.
fn machine() -> String {
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
    let today = std::process::Command::new("date").arg("+%F").output();
    let today = today.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    });
    format!(
        "`rivals {}`, {cores} cores, {model}, {today}",
        arguments.join(" ")
    )
}

fn table(options: &Options, samples: usize, figures: &[Figures]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}\n", machine()); // a String takes everything
    let _ = writeln!(
        out,
        "{} targets x {} samples at 1 s, {}% moving, {} s; one target at 100 ms\n",
        options.targets,
        samples / options.targets,
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
    for (at, (targets, samples)) in SIZES.iter().enumerate() {
        let name = format!("CPU per sample, {targets} x {samples} samples");
        row(&name, "ns", &|figures| {
            figures.cpu_ns_by_size.get(at).copied()
        });
    }
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

//! What the console costs at 1,000 signals over 500 targets at 1 s: the first paint in a real browser, and the server's CPU
//! with no page, one page and 100 pages open.
//!
//! `cargo run --release -p stillwell-benches --bin console -- STILLWELL [NODE_MODULES CHROMIUM]`
//!
//! A page is what the browser asks for: `/signals?brief=true` every two seconds and the 15 plots that are in sight every
//! ten. The first paint is of the list with every row, by `paint.mjs`; without NODE_MODULES it is said as not run. Fails
//! where a page costs 1% of a core or more, the rows stand later than 1 s, or a scrape is missing with 100 pages open.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a command that measures time and prints its results"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use stillwell_benches::contender::Contender;
use stillwell_benches::load::{Load, pause};

const TARGETS: usize = 500;
const SIGNALS: usize = 1_000;
const POOLS: usize = 10;
const PAGES: usize = 100;
/// Rows of the list that a window of 800 pixels shows.
const IN_SIGHT: usize = 15;
const MEASURED: Duration = Duration::from_secs(30);
/// A target that has fewer of its last 20 scrapes than this has missed one: the newest may be under way.
const SCRAPES_MIN: f64 = 19.0;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(binary) = arguments.first() else {
        eprintln!("console STILLWELL [NODE_MODULES CHROMIUM]");
        return ExitCode::FAILURE;
    };
    match run(Path::new(binary), &arguments[1..]) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("console: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(binary: &Path, browser: &[String]) -> Result<bool, Failure> {
    let load = Load::scripted(|| Some(page()))?;
    let server = Contender::stillwell(binary, &config(load.ports[0]), &[])?;
    server.ready_client()?;
    pause(Duration::from_secs(10)); // every target has been scraped, every plot has something to show
    println!(
        "{SIGNALS} signals, {TARGETS} targets at 1 s; CPU in percent of a core over {MEASURED:?}"
    );
    let none = with_pages(&server, 0)?;
    println!("no page open      {:6.2} %", none.percent);
    let one = with_pages(&server, 1)?;
    println!(
        "one page          {:6.2} %, {:.2} more",
        one.percent,
        one.percent - none.percent
    );
    let many = with_pages(&server, PAGES)?;
    println!(
        "{PAGES} pages         {:6.2} %, {:.2} more for each; fewest of a target's last 20 scrapes: {}",
        many.percent,
        (many.percent - none.percent) / PAGES as f64,
        many.scrapes_min
    );
    let is_quick = painted(&server, browser)?;
    Ok(one.percent - none.percent < 1.0 && many.scrapes_min >= SCRAPES_MIN && is_quick)
}

fn page() -> String {
    let mut page = String::from("process_start_time_seconds 1700000000\n");
    for pool in 0..POOLS {
        let _ = writeln!(
            page,
            "llm_d_epp_flow_control_queue_size{{inference_pool=\"p{pool}\"}} {pool}\n\
             llm_d_epp_flow_control_pool_saturation{{inference_pool=\"p{pool}\"}} 0.5"
        );
    }
    page
}

fn config(port: u16) -> String {
    let mut text = String::from(
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: epp\n  static_configs:\n",
    );
    for target in 0..TARGETS {
        let _ = writeln!(
            text,
            "  - {{targets: ['127.0.0.1:{port}'], labels: {{__metrics_path__: /{target}, pod: gateway-{target}}}}}"
        );
    }
    text += "signals:\n";
    for signal in 0..SIGNALS {
        let (pod, pool) = (signal % TARGETS, signal % POOLS);
        let _ = writeln!(
            text,
            "- {{name: queue-{signal}, expr: 'sum(llm_d_epp_flow_control_queue_size{{pod=\"gateway-{pod}\",inference_pool=\"p{pool}\"}})'}}"
        );
    }
    text
}

struct Measured {
    percent: f64,
    scrapes_min: f64,
}

/// The server's CPU while so many pages are open.
fn with_pages(server: &Contender, pages: usize) -> Result<Measured, Failure> {
    let ends = Arc::new(AtomicBool::new(false));
    let mut open = Vec::new();
    for at in 0..pages {
        let mut client = server.ready_client()?;
        let ends = Arc::clone(&ends);
        open.push(std::thread::spawn(move || -> std::io::Result<()> {
            // Not all of them at once.
            pause(Duration::from_millis((at * 2_000 / pages) as u64));
            let mut round = 0;
            while !ends.load(Ordering::Acquire) {
                client.get("/signals?brief=true")?;
                if round % 5 == 0 {
                    for row in 0..IN_SIGHT {
                        client.get(&format!("/console/plot.svg?small=1&signal=queue-{row}"))?;
                    }
                }
                round += 1;
                pause(Duration::from_secs(2));
            }
            Ok(())
        }));
    }
    pause(Duration::from_secs(3));
    let (before, began) = (server.usage()?, Instant::now());
    pause(MEASURED);
    let used_s = server.usage()?.cpu_s - before.cpu_s;
    let percent = used_s / began.elapsed().as_secs_f64() * 100.0;
    let answer = server
        .ready_client()?
        .get("/api/v1/query?query=min(count_over_time(up[20s]))")?;
    let answer: Value = serde_json::from_str(&answer)?;
    let fewest = answer["data"]["result"][0]["value"][1].as_str();
    let scrapes_min = fewest.ok_or("no target was scraped")?.parse()?;
    ends.store(true, Ordering::Release);
    for one in open {
        one.join().map_err(|_| "a page panicked")??;
    }
    Ok(Measured {
        percent,
        scrapes_min,
    })
}

/// Whether every row stands within a second, in a real browser.
fn painted(server: &Contender, browser: &[String]) -> Result<bool, Failure> {
    let [modules, chromium] = browser else {
        println!("first paint       not run: give NODE_MODULES and CHROMIUM");
        return Ok(true);
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/paint.mjs");
    let run = Command::new("node")
        .arg(script)
        .arg(format!("http://127.0.0.1:{}", server.port))
        .args([modules, chromium])
        .arg(SIGNALS.to_string())
        .output()?;
    let said: Value = serde_json::from_slice(&run.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&run.stderr)))?;
    let (paint_ms, rows_ms) = (said["paintMs"].as_f64(), said["rowsMs"].as_f64());
    let (Some(paint_ms), Some(rows_ms)) = (paint_ms, rows_ms) else {
        return Err("the browser said no times".into());
    };
    println!("first paint       {paint_ms:.0} ms; every row stands after {rows_ms:.0} ms");
    Ok(rows_ms <= 1_000.0)
}

//! From the first queued request until KEDA knows it: pushed by Stillwell, and polled from Prometheus as KEDA polls.
//!
//! `cargo run --release -p stillwell-benches --bin wake -- STILLWELL PROMETHEUS [WAKES]` (200)
//!
//! Each wake raises the gateway's queue from 0 to 1 at a random moment and ends when `true` arrives at a stream
//! client. Prometheus scrapes the same gateway every 100 ms; 40 pollers query it like 40 KEDA operators with
//! different phases, every 30 s (KEDA's default), with `time` in whole seconds: five wakes give 200 times.

#![expect(clippy::print_stdout, reason = "a command that prints its results")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "it measures time"
)]

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stillwell_benches::keda::{Gateway, Process, QUERY, quantile, scaled_object};
use stillwell_keda_client::connect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const POLLERS: u32 = 40;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(stillwell), Some(prometheus)) = (arguments.next(), arguments.next()) else {
        return Err("usage: wake STILLWELL PROMETHEUS [WAKES]".into());
    };
    let wakes: usize = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let (stillwell, prometheus) = (PathBuf::from(stillwell), PathBuf::from(prometheus));
    println!("| queue 0 -> 1 until KEDA knows | times | p50 | p99 | worst |");
    println!("|---|---|---|---|---|");
    for interval in ["100ms", "10ms"] {
        let times = pushed(&stillwell, interval, wakes).await?;
        row(
            &format!("Stillwell, scraped every {interval}, pushed"),
            times,
        );
    }
    for interval_s in [30, 15] {
        let times = polled(&prometheus, wakes, interval_s).await?;
        row(
            &format!("Prometheus, scraped every 100ms, polled every {interval_s} s"),
            times,
        );
    }
    Ok(())
}

fn row(name: &str, mut times_ms: Vec<f64>) {
    times_ms.sort_by(f64::total_cmp);
    let [p50, p99, worst] = [0.5, 0.99, 1.0].map(|share| quantile(&times_ms, share));
    println!(
        "| {name} | {} | {p50:.1} ms | {p99:.1} ms | {worst:.1} ms |",
        times_ms.len()
    );
}

fn configuration(gateway: &Gateway, interval: &str) -> String {
    format!(
        "global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\nscrape_configs:\n- job_name: epp\n  \
         static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        gateway.port
    )
}

async fn pushed(binary: &Path, interval: &str, wakes: usize) -> Outcome<Vec<f64>> {
    let gateway = Gateway::start()?;
    let server = Process::start(binary, &configuration(&gateway, interval), true)?;
    let mut client = connect(server.keda).await?;
    let trigger = scaled_object(
        "wake",
        &[("query", QUERY), ("threshold", "1"), ("latch", "0")],
    );
    while !matches!(client.is_active(trigger.clone()).await, Ok(false)) {
        sleep(Duration::from_millis(20)).await;
    }
    let mut stream = client.stream_is_active(trigger.clone()).await?;
    stream.message().await?;
    let mut times_ms = Vec::new();
    for wake in 0..wakes {
        // Anywhere in the interval: the steps are of no ratio to it.
        sleep(Duration::from_micros(
            20_000 + (wake as u64 * 61_803) % 100_000,
        ))
        .await;
        let began = Instant::now();
        gateway.queue.store(1, Ordering::Release);
        let message = stream.message().await?.ok_or("the stream ended")?;
        times_ms.push(began.elapsed().as_secs_f64() * 1000.0);
        assert!(message.result, "an edge is true");
        gateway.queue.store(0, Ordering::Release);
        while client.is_active(trigger.clone()).await? {
            sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(times_ms)
}

async fn polled(binary: &Path, wakes: usize, interval_s: u64) -> Outcome<Vec<f64>> {
    let gateway = Gateway::start()?;
    let server = Process::start(binary, &configuration(&gateway, "100ms"), false)?;
    sleep(Duration::from_secs(3)).await;
    let mut times_ms = Vec::new();
    while times_ms.len() < wakes {
        gateway.queue.store(0, Ordering::Release);
        sleep(Duration::from_millis(
            2_500 + (times_ms.len() as u64 * 618) % 1_000,
        ))
        .await;
        let began = Instant::now();
        gateway.queue.store(1, Ordering::Release);
        let pollers: Vec<_> = (0..POLLERS)
            .map(|poller| {
                let after = Duration::from_secs(interval_s) * poller / POLLERS;
                tokio::spawn(poll(server.web, began, after, interval_s))
            })
            .collect();
        for poller in pollers {
            times_ms.push(poller.await??);
        }
    }
    times_ms.truncate(wakes);
    Ok(times_ms)
}

/// Asks first after `after`, then every interval, until the answer is above 0.
async fn poll(
    address: SocketAddr,
    began: Instant,
    after: Duration,
    interval_s: u64,
) -> Outcome<f64> {
    sleep(after).await;
    loop {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let query = QUERY
            .replace('"', "%22")
            .replace('{', "%7B")
            .replace('}', "%7D");
        let request = format!(
            "GET /api/v1/query?query={query}&time={now_s} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        if !answer.starts_with("HTTP/1.1 200") {
            return Err(answer.into());
        }
        if answer.contains(",\"1\"]") {
            return Ok(began.elapsed().as_secs_f64() * 1000.0);
        }
        sleep(Duration::from_secs(interval_s)).await;
    }
}

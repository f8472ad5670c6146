//! What open streams cost: bytes and descriptors of the server, sharing one connection as KEDA's do, and with a
//! connection each.
//!
//! `cargo run --release -p stillwell-benches --bin streams -- STILLWELL [STREAMS]` (10,000)
//!
//! Both sides need a descriptor per connection: `ulimit -n` of the streams and some hundred more.

#![expect(clippy::print_stdout, reason = "a command that prints its results")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stillwell_benches::keda::{Gateway, Process, QUERY, quantile, scaled_object};
use stillwell_keda_client::connect;
use tokio::time::{sleep, timeout};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// No stream takes longer to hear of an edge, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let stillwell = PathBuf::from(
        arguments
            .next()
            .ok_or("usage: streams STILLWELL [STREAMS]")?,
    );
    let streams: usize = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    println!(
        "| streams | connections | server before | server with them | a stream | descriptors | to tell all of an edge, p50 | p99 | after they closed |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for per_connection in [streams, 1] {
        row(&stillwell, streams, per_connection).await?;
    }
    Ok(())
}

async fn row(binary: &std::path::Path, streams: usize, per_connection: usize) -> Outcome<()> {
    let gateway = Gateway::start()?;
    let configuration = format!(
        "global: {{scrape_interval: 100ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: \
         ['127.0.0.1:{}']}}]\nsignals:\n- name: queue\n  expr: {QUERY}\n",
        gateway.port
    );
    let server = Process::start(binary, &configuration, true)?;
    sleep(Duration::from_secs(2)).await;
    let (before, _) = server.usage();
    let mut opened = Vec::new();
    for connection in 0..streams / per_connection {
        let mut client = connect(server.keda).await?;
        for stream in 0..per_connection {
            let name = format!("object-{connection}-{stream}");
            let pairs = [("signal", "queue"), ("threshold", "1"), ("latch", "0")];
            let mut stream = client
                .stream_is_active(scaled_object(&name, &pairs))
                .await?;
            let first = stream.message().await?.ok_or("the stream ended")?;
            assert!(!first.result, "the queue is empty");
            opened.push((stream, client.clone()));
        }
    }
    sleep(Duration::from_secs(2)).await;
    let (with, descriptors) = server.usage();
    let began = Instant::now();
    gateway.queue.store(1, Ordering::Release);
    let told: Vec<_> = opened
        .into_iter()
        .map(|(mut stream, client)| {
            tokio::spawn(async move {
                let message = timeout(PATIENCE, stream.message()).await??;
                let took_ms = began.elapsed().as_secs_f64() * 1000.0;
                assert!(
                    message.is_some_and(|message| message.result),
                    "an edge is true"
                );
                Outcome::Ok((took_ms, stream, client))
            })
        })
        .collect();
    let mut times_ms = Vec::new();
    let mut open = Vec::new();
    for one in told {
        let (took_ms, stream, client) = one.await??;
        times_ms.push(took_ms);
        open.push((stream, client));
    }
    times_ms.sort_by(f64::total_cmp);
    drop(open);
    sleep(Duration::from_secs(5)).await;
    let (after, left) = server.usage();
    println!(
        "| {streams} | {} | {:.1} MB | {:.1} MB | {:.1} kB | {descriptors} | {:.0} ms | {:.0} ms | {:.1} MB, {left} descriptors |",
        streams / per_connection,
        before as f64 / 1e6,
        with as f64 / 1e6,
        (with - before) as f64 / streams as f64 / 1e3,
        quantile(&times_ms, 0.5),
        quantile(&times_ms, 0.99),
        after as f64 / 1e6,
    );
    Ok(())
}

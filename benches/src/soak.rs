//! A server under churn: streams open and die, gateways restart, the configuration is reloaded. After every round all
//! clients leave, and tasks, descriptors and memory must be back where they were.

#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stillwell::clock::Clock;
use stillwell::serve::{
    AlertSettings, ApiOptions, KedaOptions, OtlpReceiver, Running, Settings, app, start,
};
use stillwell_adapters::host::QuerySettings;
use stillwell_adapters::keda::{GetMetricsRequest, ScaledObjectRef};
use stillwell_engine::Limits;
use stillwell_engine::promql::Features;
use stillwell_keda_client::connect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::keda::usage;

/// What may go wrong on the way.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const GATEWAYS: usize = 3;
const CLIENTS: u64 = 40;
/// The second round is held against the first, however slow the machine.
const ROUNDS_MIN: usize = 2;
/// Leaving takes a connection's close and a few wake-ups.
const QUIET: Duration = Duration::from_secs(30);

/// What was left after a round.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Streams that were opened in it.
    pub streams: u64,
    /// Calls that were answered, refusals included.
    pub calls: u64,
    /// Reloads that were taken.
    pub reloads: u64,
    /// Restarts of gateways.
    pub restarts: u64,
    /// Tasks of the runtime that serves.
    pub tasks: usize,
    /// Open descriptors of the process.
    pub descriptors: usize,
    /// Resident bytes.
    pub rss_bytes: u64,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} streams, {} calls, {} reloads, {} restarts; left: {} tasks, {} descriptors, {:.1} MB",
            self.streams,
            self.calls,
            self.reloads,
            self.restarts,
            self.tasks,
            self.descriptors,
            self.rss_bytes as f64 / 1e6
        )
    }
}

/// A gateway that restarts.
struct Gateway {
    address: SocketAddr,
    down: AtomicBool,
    started: AtomicU64,
    queue: AtomicU64,
}

impl Gateway {
    async fn start() -> Outcome<Arc<Gateway>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let gateway = Arc::new(Gateway {
            address: listener.local_addr()?,
            down: AtomicBool::new(false),
            started: AtomicU64::new(1),
            queue: AtomicU64::new(0),
        });
        let served = Arc::clone(&gateway);
        tokio::spawn(async move {
            // One connection at a time: the scraper keeps one.
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                while let Ok(1..) = stream.read(&mut request).await {
                    if served.down.load(Ordering::Relaxed) {
                        break;
                    }
                    let page = served.page();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{page}",
                        page.len()
                    );
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            }
        });
        Ok(gateway)
    }

    fn page(&self) -> String {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        format!(
            "process_start_time_seconds {}\ninference_pool_ready_pods{{name=\"p\"}} 0\n\
             inference_extension_flow_control_queue_size{{inference_pool=\"p\",model_name=\"m\"}} {}\n",
            load(&self.started),
            load(&self.queue)
        )
    }
}

/// Plays rounds of this length until `length` has passed, two at least; `tell` hears of each. An error says what leaked.
pub async fn run(
    length: Duration,
    round: Duration,
    mut tell: impl FnMut(&Round),
) -> Outcome<Vec<Round>> {
    let mut gateways = Vec::new();
    for _ in 0..GATEWAYS {
        gateways.push(Gateway::start().await?);
    }
    let folder = std::env::temp_dir().join(format!("stillwell-soak-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("stillwell.yml");
    std::fs::write(&file, configuration(&gateways, 0))?;
    let running = serve(&file).await?;
    let keda = running.keda_address.ok_or("it listens")?;
    let mut rounds: Vec<Round> = Vec::new();
    let began = Instant::now();
    let mut quiet: Option<(usize, usize)> = None;
    while began.elapsed() < length || rounds.len() < ROUNDS_MIN {
        let mut done = play(&gateways, &file, &running, keda, round, rounds.len() as u64).await?;
        settle(&gateways, &file, &running).await?;
        let (tasks, descriptors) = left(quiet).await;
        done.tasks = tasks;
        done.descriptors = descriptors;
        done.rss_bytes = usage("self").0;
        tell(&done);
        match quiet {
            None => quiet = Some((tasks, descriptors)), // the first round opens what stays open
            Some(before) if before != (tasks, descriptors) => {
                return Err(format!(
                    "(tasks, descriptors) were {before:?}, and are {:?}",
                    (tasks, descriptors)
                )
                .into());
            }
            Some(_) => {}
        }
        rounds.push(done);
    }
    running.stop().await;
    std::fs::remove_dir_all(&folder)?;
    Ok(rounds)
}

/// A process like that of the binary, without a snapshot.
fn settings(file: Option<PathBuf>) -> Settings {
    Settings {
        storage_path: None,
        snapshot_interval: stillwell::serve::snapshots::INTERVAL,
        query_bytes_max: 256 << 20,
        page_bytes_max: 128 << 20,
        config_file: file,
        query: QuerySettings {
            timeout_ms: 30_000,
            lookback_ms: 300_000,
            samples_max: 50_000_000,
            subquery_step_ms: 60_000,
            features: Features::default(),
        },
        query_concurrency_max: 4,
        retention: "1m".to_owned(),
        remote_write: false,
        otlp: OtlpReceiver::default(),
        shard: None,
        external_url: String::new(),
        alerts: AlertSettings::default(),
        notification_streams_max: 16,
        flags: Vec::new(),
    }
}

/// Starts a server in this process. `listen` are addresses of the plain listener; KEDA's external scaler has a free port.
/// Error: the configuration is wrong, or an address is taken.
pub async fn serve_text(
    text: String,
    file: Option<PathBuf>,
    listen: &[&str],
    limits: Limits,
) -> Outcome<Running> {
    let settings = settings(file);
    let config = app::load(&text, Path::new(""), &settings.query.features)
        .map_err(|problems| app::show(&problems))?;
    let apis = ApiOptions {
        listen: listen.iter().map(|&address| address.to_owned()).collect(),
        keda: Some(KedaOptions {
            address: "127.0.0.1:0".to_owned(),
            ..KedaOptions::default()
        }),
        ..ApiOptions::default()
    };
    let clock = Arc::new(Clock::start());
    Ok(start(settings, config, text, apis, limits, clock).await?)
}

async fn serve(file: &Path) -> Outcome<Running> {
    let text = std::fs::read_to_string(file)?;
    let limits = Limits {
        retention_ms: 60_000, // so that history is no growth
        ..Limits::default()
    };
    serve_text(text, Some(PathBuf::from(file)), &[], limits).await
}

/// What is configured differs from step to step: signals and targets come and go.
fn configuration(gateways: &[Arc<Gateway>], step: u64) -> String {
    let targets: Vec<String> = gateways
        .iter()
        .take(gateways.len() - (step % 2) as usize)
        .map(|gateway| format!("'{}'", gateway.address))
        .collect();
    let second = [
        "",
        "- {name: running, expr: sum(inference_objective_running_requests)}\n",
    ][(step / 2 % 2) as usize];
    format!(
        "global: {{scrape_interval: 50ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: [{}]}}]\nsignals:\n\
         - name: queue\n  hold: {}s\n  expr: sum(inference_extension_flow_control_queue_size{{inference_pool=\"p\"}})\n{second}",
        targets.join(", "),
        2 + step % 3
    )
}

async fn play(
    gateways: &[Arc<Gateway>],
    file: &Path,
    running: &Running,
    keda: SocketAddr,
    length: Duration,
    round: u64,
) -> Outcome<Round> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(churn(keda, length, round * CLIENTS + client));
    }
    let mut random = Random(round + 1);
    let (mut reloads, mut restarts) = (0, 0);
    let began = Instant::now();
    while began.elapsed() < length {
        sleep(Duration::from_millis(20 + random.below(100))).await;
        let gateway = &gateways[random.below(gateways.len() as u64) as usize];
        match random.below(5) {
            0 => {
                std::fs::write(file, configuration(gateways, random.below(12)))?;
                running.app.reload().await?;
                reloads += 1;
            }
            1 => {
                gateway.down.store(true, Ordering::Relaxed);
                sleep(Duration::from_millis(random.below(300))).await;
                gateway.started.fetch_add(1, Ordering::Relaxed);
                gateway.down.store(false, Ordering::Relaxed);
                restarts += 1;
            }
            _ => gateway
                .queue
                .store(random.below(2) * random.below(10), Ordering::Relaxed),
        }
    }
    let mut done = Round {
        streams: 0,
        calls: 0,
        reloads,
        restarts,
        tasks: 0,
        descriptors: 0,
        rss_bytes: 0,
    };
    while let Some(counted) = clients.join_next().await {
        let (streams, calls) = counted??;
        done.streams += streams;
        done.calls += calls;
    }
    Ok(done)
}

/// One client: connects, opens streams, asks, reads some, and goes without a word.
async fn churn(keda: SocketAddr, length: Duration, seed: u64) -> Outcome<(u64, u64)> {
    let mut random = Random(seed + 1);
    let (mut streams, mut calls) = (0, 0);
    let began = Instant::now();
    while began.elapsed() < length {
        let mut client = connect(keda).await?;
        let mut open = Vec::new();
        for _ in 0..random.below(20) {
            let reference = trigger(&mut random);
            match random.below(4) {
                0 => drop(client.is_active(reference).await), // an error is an answer
                1 => drop(client.get_metric_spec(reference).await),
                2 => {
                    let request = GetMetricsRequest {
                        scaled_object_ref: Some(reference),
                        metric_name: "queue".to_owned(),
                    };
                    drop(client.get_metrics(request).await);
                }
                _ => {
                    streams += 1;
                    open.extend(client.stream_is_active(reference).await);
                }
            }
            calls += 1;
        }
        for stream in &mut open {
            let patience = Duration::from_millis(random.below(50));
            drop(timeout(patience, stream.message()).await); // whatever comes, or nothing
        }
    }
    Ok((streams, calls))
}

/// A trigger of a bounded number of ScaledObjects: good ones, bad ones, named ones and queries.
fn trigger(random: &mut Random) -> ScaledObjectRef {
    let query = format!(
        "sum(inference_extension_flow_control_queue_size{{inference_pool=\"p\"}}) + {}",
        random.below(20)
    );
    let source = match random.below(4) {
        0 => ("query", query),
        1 => ("signal", "running".to_owned()), // not always there
        2 => ("query", "sum(".to_owned()),
        _ => ("signal", "queue".to_owned()),
    };
    let latch = ["0", "1s", "300s"][random.below(3) as usize];
    let pairs = [
        source,
        ("threshold", "1".to_owned()),
        ("latch", latch.to_owned()),
        ("hold", format!("{}s", random.below(2))),
    ];
    ScaledObjectRef {
        name: format!("object-{}", random.below(20)),
        namespace: format!("namespace-{}", random.below(3)),
        scaler_metadata: pairs.map(|(key, value)| (key.to_owned(), value)).into(),
    }
}

/// Everything up, and the first configuration in force.
async fn settle(gateways: &[Arc<Gateway>], file: &Path, running: &Running) -> Outcome<()> {
    for gateway in gateways {
        gateway.down.store(false, Ordering::Relaxed);
    }
    std::fs::write(file, configuration(gateways, 0))?;
    running.app.reload().await?;
    let began = Instant::now();
    loop {
        let active = stillwell_adapters::host::Host::targets(&*running.app).active;
        let up = |target: &stillwell_adapters::host::ActiveTarget| {
            target.health == stillwell_adapters::host::Health::Up
        };
        if active.len() == gateways.len() && active.iter().all(up) {
            return Ok(());
        }
        if began.elapsed() > QUIET {
            return Err("a gateway that is up was never scraped again".into());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Tasks and descriptors, once they are what they were; or what they are when patience ends.
async fn left(before: Option<(usize, usize)>) -> (usize, usize) {
    let began = Instant::now();
    let mut last = (0, 0);
    let mut still = 0;
    loop {
        let metrics = tokio::runtime::Handle::current().metrics();
        let found = (metrics.num_alive_tasks(), usage("self").1);
        still = if found == last { still + 1 } else { 0 };
        last = found;
        let enough = match before {
            Some(before) => before == found,
            None => still >= 50, // a second without change
        };
        if enough || began.elapsed() > QUIET {
            return found;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Knuth's linear congruential generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The soak, small: nothing is left of clients that have gone.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn streams_that_die_leave_no_task_and_no_descriptor() {
        let rounds = run(Duration::from_secs(6), Duration::from_secs(2), |_| {}).await;
        let rounds = rounds.expect("nothing leaks");
        assert!(
            rounds.len() >= 2,
            "the second round is held against the first"
        );
        for round in &rounds {
            assert!(
                round.streams > 0 && round.calls > 0 && round.reloads + round.restarts > 0,
                "{round}"
            );
        }
    }
}

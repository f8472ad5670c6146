//! kill -9 at random moments while everybody reads: what a snapshot held is there after the next start, and no reader is told
//! a number that nobody measured. And reloads under load: no scrape is lost, no number goes.
//!
//! `STILLWELL_KILLS=200 cargo test -p stillwell --test server kill` takes a quarter of an hour; without it the process is killed a few times.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::common::certificates::Files;
use crate::common::process::Process;
use crate::common::{TestTarget, eventually, get, http, say};
use serde_json::Value;

/// The queue never is shorter than this: a smaller number is a wrong one.
const QUEUE_MIN: u64 = 1_001;
/// How far a number may lie behind: what is held, and what the slowest scrape of a busy machine adds.
const BEHIND_MAX: u64 = 2_000;

fn times(variable: &str, standard: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(standard)
}

/// A queue that grows by one at a time, and how far it has come.
struct Queue {
    target: TestTarget,
    now: Arc<AtomicU64>,
}

impl Queue {
    async fn start() -> Queue {
        let page = |number: u64| {
            format!(
                "process_start_time_seconds 1700000000\n# TYPE llm_d_epp_flow_control_queue_size gauge\nllm_d_epp_flow_control_queue_size{{inference_pool=\"p\"}} {number}\n"
            )
        };
        let target = TestTarget::with_page(&page(QUEUE_MIN)).await;
        let now = Arc::new(AtomicU64::new(QUEUE_MIN));
        let (shown, counted) = (target.clone(), Arc::clone(&now));
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                // Counted first: whoever is told the number finds it counted.
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                shown.set_page(&page(number));
            }
        });
        Queue { target, now }
    }

    fn config(&self) -> String {
        format!(
            "global: {{scrape_interval: 50ms, evaluation_interval: 100ms}}\nrule_files: ['*rules.yml']\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['{}']}}]\n\
             signals:\n- {{name: depth, expr: 'sum(llm_d_epp_flow_control_queue_size)'}}\nexternal_metrics: {{insecure: true}}\n",
            self.target.address
        )
    }
}

/// Started so that it writes a snapshot every second.
fn start(config: &Path, storage: &Path) -> (Process, SocketAddr) {
    let flags = ["--storage.snapshot-interval=1s", "--web.enable-lifecycle"];
    Process::start(config, storage, &flags)
}

/// The answer of a GET; `None` where the process is gone, half-way perhaps.
async fn asked(address: SocketAddr, path: &str) -> Option<(u16, Value)> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.to_ascii_lowercase();
    let length = length
        .split("content-length: ")
        .nth(1)?
        .split("\r\n")
        .next()?
        .parse::<usize>()
        .ok()?;
    (body.len() == length).then(|| (status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// Where numbers are told, and where they stand in the answer.
const READS: [(&str, &str); 4] = [
    (
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/depth",
        "/items/0/value",
    ),
    (
        "/guarded/api/v1/query?query=sum(llm_d_epp_flow_control_queue_size)",
        "/data/result/0/value/1",
    ),
    (
        "/api/v1/query?query=sum(llm_d_epp_flow_control_queue_size)",
        "/data/result/0/value/1",
    ),
    ("/api/v1/query?query=recorded", "/data/result/0/value/1"),
];

/// A number of the APIs, a Kubernetes quantity perhaps.
fn number(text: &str) -> Option<u64> {
    match text.strip_suffix('k') {
        Some(thousands) => Some(thousands.parse::<u64>().ok()? * 1000),
        None => text.parse().ok(),
    }
}

/// Reads everything again and again until told to stop; counts the numbers that were told.
async fn read(address: SocketAddr, queue: Arc<AtomicU64>, quit: Arc<AtomicBool>) -> u64 {
    let mut told = 0;
    while !quit.load(Ordering::Relaxed) {
        for (path, place) in READS {
            let before = queue.load(Ordering::SeqCst);
            let Some((status, answer)) = asked(address, path).await else {
                continue;
            };
            let after = queue.load(Ordering::SeqCst);
            let Some(text) = answer
                .pointer(place)
                .and_then(Value::as_str)
                .filter(|_| status == 200)
            else {
                continue; // an error, or nothing: no number
            };
            let number = number(text).unwrap_or_else(|| panic!("{path}: {text}"));
            let guarded = !path.starts_with("/api/v1/");
            // Plain PromQL looks back; what scalers are told is fresh.
            let least = if guarded {
                before.saturating_sub(BEHIND_MAX).max(QUEUE_MIN)
            } else {
                QUEUE_MIN
            };
            assert!(
                (least..=after).contains(&number),
                "{path}: {number}, not from {least} to {after}"
            );
            told += 1;
        }
    }
    told
}

/// When the newest snapshot in the file was taken, in milliseconds; 0 where this process has written none.
async fn snapshot_ms(address: SocketAddr) -> u64 {
    let (_, _, page) = get(address, "/metrics").await;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("stillwell_snapshot_last_success_timestamp_seconds "));
    (line
        .and_then(|text| text.parse::<f64>().ok())
        .unwrap_or(0.0)
        * 1000.0) as u64
}

/// Samples in the second before a time.
async fn samples_before(address: SocketAddr, at_ms: u64) -> Option<u64> {
    let (seconds, rest) = (at_ms / 1000, at_ms % 1000);
    let path = format!(
        "/api/v1/query?query=count_over_time(llm_d_epp_flow_control_queue_size%5B1s%5D)&time={seconds}.{rest:03}"
    );
    let (_, answer) = asked(address, &path).await?;
    answer
        .pointer("/data/result/0/value/1")?
        .as_str()?
        .parse()
        .ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_snapshot_holds_survives_kill_and_no_wrong_number_is_told() {
    let kills = times("STILLWELL_KILLS", 3);
    let queue = Queue::start().await;
    let files = Files::new("kill");
    files.write("rules.yml", "groups: [{name: g, rules: [{record: recorded, expr: sum(llm_d_epp_flow_control_queue_size)}]}]\n");
    let config = files.write("config.yml", &queue.config());
    let storage = files.write("marker", "").with_extension("data");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(std::process::id());
    let (mut kept, mut told, mut lost_ms_max): (Vec<u64>, u64, u64) = (Vec::new(), 0, 0);
    for round in 0..kills {
        let (mut process, address) = start(&config, &storage);
        eventually("ready", || async {
            asked(address, "/-/ready")
                .await
                .is_some_and(|(status, _)| status == 200)
        })
        .await;
        // The newest ones, and some of all the others.
        let old = kept
            .iter()
            .rev()
            .enumerate()
            .filter(|(at, _)| *at < 5 || at % 20 == 0);
        for (_, at_ms) in old {
            let count = samples_before(address, *at_ms).await;
            assert!(
                count >= Some(1),
                "round {round}: the second before {at_ms} is lost"
            );
        }
        let quit = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..2)
            .map(|_| tokio::spawn(read(address, Arc::clone(&queue.now), Arc::clone(&quit))))
            .collect();
        eventually("a snapshot", || async { snapshot_ms(address).await > 0 }).await;
        eventually("a second of samples", || async {
            samples_before(address, snapshot_ms(address).await).await >= Some(3)
        })
        .await;
        // Anywhere between two snapshots, or within one.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        tokio::time::sleep(Duration::from_millis(random % 1_500)).await;
        let held_ms = snapshot_ms(address).await;
        let clock_ms = || {
            std::time::UNIX_EPOCH
                .elapsed()
                .map_or(0, |since| since.as_millis() as u64)
        };
        process.kill();
        lost_ms_max = lost_ms_max.max(clock_ms().saturating_sub(held_ms));
        quit.store(true, Ordering::Relaxed);
        for reader in readers {
            told += reader.await.expect("no wrong number");
        }
        kept.push(held_ms);
    }
    assert!(told > 20 * kills, "{told} numbers were told");
    say(&format!(
        "killed {kills} times: {told} numbers told, none wrong; at most {lost_ms_max} ms lost"
    ));
    std::fs::remove_dir_all(storage).ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_lose_no_scrape_and_no_number() {
    let reloads = times("STILLWELL_RELOADS", 30);
    let queue = Queue::start().await;
    let files = Files::new("reloads");
    files.write("rules.yml", "groups: [{name: g, rules: [{record: recorded, expr: sum(llm_d_epp_flow_control_queue_size)}]}]\n");
    let text = queue.config();
    let config = files.write("config.yml", &text);
    let storage = files.write("marker", "").with_extension("data");
    let (_process, address) = start(&config, &storage);
    let own = async |name: &str| {
        let (_, _, page) = get(address, "/metrics").await;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.and_then(|text| text.parse::<f64>().ok())
            .unwrap_or_else(|| panic!("no {name}"))
    };
    eventually("a number", || async {
        asked(address, READS[0].0)
            .await
            .is_some_and(|(status, _)| status == 200)
    })
    .await;
    let quit = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| tokio::spawn(read(address, Arc::clone(&queue.now), Arc::clone(&quit))))
        .collect();
    let mut warm_bytes = 0.0;
    for reload in 0..reloads {
        // Another signal comes and goes, and so does a job without an answer.
        let more = match reload % 3 {
            0 => String::new(),
            1 => "- {name: other, expr: 'sum(recorded)'}\n".to_owned(),
            _ => format!("- {{name: other{reload}, expr: 'max(recorded)'}}\n"),
        };
        files.write(
            "config.yml",
            &text.replace("external_metrics:", &format!("{more}external_metrics:")),
        );
        let post =
            "POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let (status, _, why) = http(address, post).await;
        assert_eq!(status, 200, "{why}");
        // The number is there at once.
        let (status, _) = asked(address, READS[0].0).await.expect("an answer");
        assert_eq!(status, 200, "reload {reload}");
        if reload == reloads / 4 {
            warm_bytes = own("process_resident_memory_bytes").await;
        }
    }
    quit.store(true, Ordering::Relaxed);
    let mut told = 0;
    for reader in readers {
        told += reader.await.expect("no wrong number");
    }
    let (failures, bytes) = (
        own("stillwell_scrape_failures_total").await,
        own("process_resident_memory_bytes").await,
    );
    assert_eq!(failures, 0.0, "a scrape was lost");
    assert!(
        bytes < warm_bytes * 1.2 + 4e6,
        "{warm_bytes} bytes, then {bytes}"
    );
    assert!(told > reloads / 10, "{told}");
    say(&format!(
        "reloaded {reloads} times: {told} numbers told, no scrape lost; {:.1} MB, then {:.1} MB",
        warm_bytes / 1e6,
        bytes / 1e6
    ));
    std::fs::remove_dir_all(storage).ok();
}

/// After the first snapshot no other was written: the task that writes them had ended in a panic.
#[tokio::test]
async fn snapshots_follow_one_another() {
    let files = Files::new("snapshots-follow");
    let queue = Queue::start().await;
    let mut settings = crate::common::settings(None);
    settings.storage_path = Some(files.write("marker", "").with_extension("data"));
    settings.snapshot_interval = Duration::from_millis(20);
    let running = crate::common::server_with(&queue.config(), settings, Default::default()).await;
    let seen = Arc::new(parking_lot::Mutex::new(std::collections::BTreeSet::new()));
    eventually("four snapshots", || {
        let (seen, address) = (Arc::clone(&seen), running.addresses[0]);
        async move {
            let (_, _, page) = get(address, "/metrics").await;
            let mut lines = page.lines();
            let newest = lines.find(|line| line.starts_with("stillwell_snapshot_last_success"));
            seen.lock().extend(newest.map(str::to_owned));
            seen.lock().len() >= 4
        }
    })
    .await;
    running.stop().await;
}

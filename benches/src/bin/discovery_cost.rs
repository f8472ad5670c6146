//! What discovery costs where a cluster of many pods stands still: CPU and memory of a server that follows them.
//!
//! `cargo run --release -p stillwell-benches --bin discovery_cost -- STILLWELL [PODS] [SECONDS]`
//!
//! An API server of this command lists 5,000 pods in pages, and sends a bookmark a minute on the watch, as a real one does.
//! Three jobs follow them: one keeps every pod as a target that is scraped once an hour, one drops all, and one asks by a
//! selector. Fails where CPU is above 2% of a core once the first lists are read.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a command that measures time and prints its results"
)]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stillwell_benches::contender::Contender;
use stillwell_benches::load::pause;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The budget, of a core.
const CORE_MAX: f64 = 0.02;
/// After the targets are there.
const SETTLING: Duration = Duration::from_secs(10);
const BOOKMARK: Duration = Duration::from_secs(60);

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, standard: u64| match arguments.get(at) {
        Some(text) => text.parse(),
        None => Ok(standard),
    };
    let (Some(binary), Ok(pods), Ok(seconds)) =
        (arguments.first(), number(1, 5_000), number(2, 180))
    else {
        eprintln!("discovery_cost STILLWELL [PODS] [SECONDS]");
        return ExitCode::FAILURE;
    };
    match run(Path::new(binary), pods as usize, seconds.max(10)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("discovery_cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(binary: &Path, pods: usize, seconds: u64) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let cluster = Arc::new(Cluster {
        pods: (0..pods).map(pod).collect(),
        watches: AtomicUsize::new(0),
    });
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let served = Arc::clone(&cluster);
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let cluster = Arc::clone(&served);
            tokio::spawn(async move { cluster.serve(stream).await.ok() }); // clients come and go
        }
    });
    let began = Instant::now();
    let server = Contender::stillwell(binary, &config(&address.to_string()), &[])?;
    let mut client = server.connect(Duration::from_secs(30))?;
    loop {
        let body = client.get("/api/v1/targets?state=active&scrapePool=kept")?;
        if body.matches("\"scrapePool\"").count() >= pods {
            break;
        }
        if began.elapsed() > Duration::from_secs(120) {
            return Err("the targets are not there after 120 s".into());
        }
        pause(Duration::from_millis(200));
    }
    let found = began.elapsed();
    pause(SETTLING);
    let (since, first) = (Instant::now(), server.usage()?);
    pause(Duration::from_secs(seconds));
    let last = server.usage()?;
    let core = (last.cpu_s - first.cpu_s) / since.elapsed().as_secs_f64();
    println!(
        "{pods} pods, three jobs: targets there after {:.1} s; then {:.2}% of a core over {seconds} s, {:.1} MB, {} watches",
        found.as_secs_f64(),
        core * 100.0,
        last.rss_bytes as f64 / 1e6,
        cluster.watches.load(Ordering::Relaxed)
    );
    Ok(core <= CORE_MAX)
}

fn config(api_server: &str) -> String {
    let job = |name: &str, more: &str, action: &str| {
        format!(
            "- job_name: {name}\n  scrape_interval: 1h\n  kubernetes_sd_configs: [{{role: pod, api_server: 'http://{api_server}'{more}}}]\n  \
             relabel_configs: [{{source_labels: [__meta_kubernetes_pod_label_app], regex: vllm, action: {action}}}, {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}]\n"
        )
    };
    let selected = ", selectors: [{role: pod, label: 'app=vllm'}]";
    format!(
        "scrape_configs:\n{}{}{}",
        job("kept", "", "keep"),
        job("dropped", "", "drop"),
        job("selected", selected, "drop")
    )
}

fn pod(at: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("vllm-{at}"), "namespace": "models", "uid": format!("uid-{at}"), "resourceVersion": "7",
            "labels": {"app": "vllm", "pod-template-hash": format!("{:x}", at / 50), "role": "decode"},
            "annotations": {"prometheus.io/scrape": "true"},
        },
        "spec": {"nodeName": format!("node-{}", at / 8), "containers": [{"name": "vllm", "ports": [{"name": "http", "containerPort": 9}]}]},
        "status": {"podIP": "127.0.0.1", "hostIP": "127.0.0.1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// A cluster that stands still.
struct Cluster {
    pods: Vec<Value>,
    watches: AtomicUsize,
}

impl Cluster {
    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let target = head.split(' ').nth(1).unwrap_or("");
            if target.contains("watch=") {
                self.watches.fetch_add(1, Ordering::Relaxed);
                let ended = watch(&mut stream).await;
                self.watches.fetch_sub(1, Ordering::Relaxed);
                return ended;
            }
            let (code, body) = match target.split('?').next() {
                Some("/api/v1/pods") => (200, self.list(target)),
                _ => (
                    404,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}),
                ),
            };
            let body = body.to_string();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {code} Any\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await?;
        }
    }

    fn list(&self, target: &str) -> Value {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name)?.1.parse::<usize>().ok()
        };
        let from = parameter("continue").unwrap_or(0).min(self.pods.len());
        let limit = parameter("limit").unwrap_or(usize::MAX);
        let end = from.saturating_add(limit).min(self.pods.len());
        let more = match end < self.pods.len() {
            true => end.to_string(),
            false => String::new(),
        };
        json!({
            "kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": more},
            "items": &self.pods[from..end],
        })
    }
}

/// Bookmarks and nothing else.
async fn watch(stream: &mut TcpStream) -> std::io::Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mark = json!({"type": "BOOKMARK", "object": {
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"resourceVersion": "7", "creationTimestamp": null}, "spec": {"containers": null}, "status": {},
    }});
    let line = format!("{mark}\n");
    loop {
        tokio::time::sleep(BOOKMARK).await;
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        stream.write_all(chunk.as_bytes()).await?;
    }
}

//! A real prometheus-adapter over a real Prometheus, and this server, with the same rules file and the same pages: the same
//! lists of metrics and the same answers.
//!
//! Needs a Prometheus (`STILLWELL_RIVALS_DIR`) and a prometheus-adapter (`STILLWELL_ADAPTER=PATH`; built from its Go
//! module: `go build ./cmd/adapter`). Without them the test says so and passes.
//!
//! What differs on purpose: where the adapter's answer is one of several numbers, whichever comes last, this server refuses
//! and says how to group; where there is no number it gives the reason instead of an empty list; the core group's
//! `apiVersion` is `v1`, where the adapter writes `/v1`; a sample has its own time, where the adapter writes that of the
//! answer; and a metric of an object is found though the query leaves out the label that names it, where every selector
//! pins it.

mod forms;
mod lists;
mod resources;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::common::api_server::ApiServer;
use crate::common::certificates::{Authority, Files, SERVICE, get_tls};
use crate::common::{TestTarget, eventually, get, server_of, settings, state, until};
use serde_json::Value;
use stillwell::serve::ApiOptions;
use stillwell_adapters::host::Health;
use stillwell_testing::outside::{ADAPTER, RIVALS};

struct Processes(Vec<Child>);

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn binaries() -> Option<(PathBuf, PathBuf)> {
    RIVALS.find_inside("usr/bin/prometheus").zip(ADAPTER.find())
}

fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    free.local_addr().expect("bound").port()
}

/// Both servers over the same pages and cluster.
struct Pair {
    ours: SocketAddr,
    theirs: SocketAddr,
    authority: Authority,
    running: stillwell::serve::Running,
    api: ApiServer,
    _processes: Processes,
    _files: Files,
}

/// What both are given.
struct Given<'g> {
    /// Of a folder of its own.
    name: &'g str,
    rules: &'g str,
    /// Each with the labels of its target.
    targets: Vec<(TestTarget, String)>,
    /// Path of the list, name and labels.
    objects: Vec<(&'g str, &'g str, Value)>,
}

async fn pair(prometheus: &PathBuf, adapter: &PathBuf, given: &Given<'_>) -> Pair {
    let files = Files::new(given.name);
    let rules = files.write("rules.yaml", given.rules);
    let mut scraped =
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: all\n  static_configs:\n"
            .to_owned();
    for (target, labels) in &given.targets {
        scraped.push_str(&format!(
            "  - {{targets: ['{}'], labels: {labels}}}\n",
            target.address
        ));
    }
    let api = ApiServer::start().await;
    api.state.lock().allowed.push("system:anonymous".to_owned());
    for (list, name, labels) in &given.objects {
        api.put_object(list, name, Some(labels.clone()));
    }
    let kubeconfig = api.kubeconfig(&files);
    let config = format!(
        "{scraped}external_metrics: {{insecure: true, rules_files: ['{}']}}\n",
        rules.display()
    );
    let apis = ApiOptions {
        kubeconfig: Some(kubeconfig.clone()),
        ..ApiOptions::default()
    };
    let running = server_of(&config, settings(None), apis).await;
    let authority = Authority::new("adapter");
    let (certificate, key) = files.serve(&authority.server(SERVICE));
    let (prometheus_port, adapter_port) = (free_port(), free_port());
    let data = files.write("data", "").with_file_name("tsdb");
    // With STILLWELL_ADAPTER_LOG the adapter's own words are shown.
    let shown = std::env::var_os("STILLWELL_ADAPTER_LOG").is_some();
    let quiet = |command: &mut Command| {
        let errors = if shown {
            Stdio::inherit()
        } else {
            Stdio::null()
        };
        command
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("it starts")
    };
    let prometheus = quiet(Command::new(prometheus).args([
        format!(
            "--config.file={}",
            files.write("prometheus.yml", &scraped).display()
        ),
        format!("--storage.tsdb.path={}", data.display()),
        format!("--web.listen-address=127.0.0.1:{prometheus_port}"),
    ]));
    let mut processes = Processes(vec![prometheus]);
    // The adapter lists at its start; what is there by then it knows at once.
    let scraped_all: SocketAddr = ([127, 0, 0, 1], prometheus_port).into();
    eventually("Prometheus has scraped", || async {
        if tokio::net::TcpStream::connect(scraped_all).await.is_err() {
            return false;
        }
        let (_, _, body) = get(scraped_all, "/api/v1/query?query=count(up%20==%201)").await;
        body.contains(&format!("\"{}\"", given.targets.len()))
    })
    .await;
    let adapter = quiet(Command::new(adapter).args([
        format!("--prometheus-url=http://127.0.0.1:{prometheus_port}/"),
        format!("--config={}", rules.display()),
        format!("--lister-kubeconfig={}", kubeconfig.display()),
        format!("--authentication-kubeconfig={}", kubeconfig.display()),
        format!("--authorization-kubeconfig={}", kubeconfig.display()),
        "--authentication-skip-lookup=true".to_owned(),
        "--authorization-always-allow-paths=/apis/*".to_owned(),
        "--enable-priority-and-fairness=false".to_owned(),
        "--metrics-relist-interval=1s".to_owned(),
        "--metrics-max-age=5m".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={adapter_port}"),
        format!("--tls-cert-file={}", certificate.display()),
        format!("--tls-private-key-file={}", key.display()),
    ]));
    processes.0.push(adapter);
    until(&running.app, "scrapes", |app| {
        let mut targets = given.targets.iter();
        targets.all(|(target, _)| state(app, target).health() == Health::Up)
    })
    .await;
    Pair {
        ours: running.addresses[0],
        theirs: ([127, 0, 0, 1], adapter_port).into(),
        authority,
        running,
        api,
        _processes: processes,
        _files: files,
    }
}

impl Pair {
    /// Code and body of the adapter.
    async fn theirs(&self, path: &str) -> Option<(u16, Value)> {
        // It takes a while until it listens.
        tokio::net::TcpStream::connect(self.theirs).await.ok()?;
        let answer = get_tls(self.theirs, &self.authority.der(), None, "", path)
            .await
            .ok()?;
        let body = dechunked(&answer.1);
        let json = serde_json::from_str(&body).unwrap_or(Value::String(body));
        Some((answer.0, json))
    }

    async fn ours(&self, path: &str) -> (u16, Value) {
        let (code, _, body) = get(self.ours, path).await;
        (
            code,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        )
    }
}

/// A body without the sizes of its chunks, where it was sent in such.
fn dechunked(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            break;
        };
        let (chunk, after) = after.split_at(size.min(after.len()));
        whole.push_str(chunk);
        rest = after.trim_start_matches("\r\n");
    }
    if whole.is_empty() {
        body.to_owned()
    } else {
        whole
    }
}

//! A whole server on loopback, targets that do what a test says, and waiting for events instead of sleeping.
#![allow(dead_code, unreachable_pub, reason = "every test takes what it needs")]

pub mod api_server;
pub mod certificates;
pub mod demo;
pub mod name_service;
pub mod objects;
pub mod process;
pub mod receiver;
pub mod rival;
pub mod scripted;
pub mod write_receiver;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use stillwell::clock::Clock;
use stillwell::scrape::TargetState;
use stillwell::serve::secure::SecureOptions;
use stillwell::serve::web::WebOptions;
use stillwell::serve::{AlertSettings, ApiOptions, App, Running, Settings, app};
use stillwell_adapters::host::{Health, Host, QuerySettings};
use stillwell_engine::Limits;
use stillwell_engine::promql::Features;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A test that waits longer than this for an event has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Says something that the test runner does not swallow: that a test did not run must be seen.
pub fn say(line: &str) {
    std::io::stderr()
        .write_all(format!("\n{line}\n").as_bytes())
        .ok();
}

/// How a test's server evaluates.
pub fn settings(config_file: Option<std::path::PathBuf>) -> Settings {
    Settings {
        storage_path: None,
        snapshot_interval: stillwell::serve::snapshots::INTERVAL,
        query_bytes_max: 256 << 20,
        page_bytes_max: 128 << 20,
        config_file,
        query: QuerySettings {
            timeout_ms: 30_000,
            lookback_ms: 300_000,
            samples_max: 50_000_000,
            subquery_step_ms: 60_000,
            features: Features::default(),
        },
        query_concurrency_max: 4,
        retention: "1h".to_owned(),
        remote_write: true,
        shard: None,
        otlp: stillwell::serve::OtlpReceiver {
            enabled: true,
            adds_up_deltas: false,
        },
        external_url: String::new(),
        alerts: AlertSettings::default(),
        notification_streams_max: 16,
        flags: Vec::new(),
    }
}

/// A server with this configuration.
pub async fn server(text: &str) -> Running {
    server_with(text, settings(None), WebOptions::default()).await
}

/// A server with everything as given.
pub async fn server_with(text: &str, settings: Settings, web: WebOptions) -> Running {
    let apis = ApiOptions {
        web,
        ..ApiOptions::default()
    };
    server_of(text, settings, apis).await
}

/// A server whose secure listener is so, and that has scraped the target whose `q` is its one signal.
pub async fn secure_server(target: &TestTarget, options: SecureOptions) -> Running {
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['{}']}}]\nsignals:\n- {{name: q, expr: 'sum(q)'}}\n",
        target.address
    );
    let apis = ApiOptions {
        secure: Some(options),
        ..ApiOptions::default()
    };
    let running = server_of(&text, settings(None), apis).await;
    until(&running.app, "a scrape", |app| {
        state(app, target).health() == Health::Up
    })
    .await;
    running
}

/// A server with everything as given, the address of the plain listener excepted.
pub async fn server_of(text: &str, settings: Settings, apis: ApiOptions) -> Running {
    server_within(text, settings, apis, Limits::default()).await
}

/// The same with limits.
pub async fn server_within(
    text: &str,
    settings: Settings,
    apis: ApiOptions,
    limits: Limits,
) -> Running {
    let base = settings
        .config_file
        .as_deref()
        .map_or(std::path::Path::new(""), app::folder);
    let features = settings.query.features;
    let config = app::load(text, base, &features).unwrap_or_else(|problems| panic!("{problems:?}"));
    let apis = ApiOptions {
        listen: vec!["127.0.0.1:0".to_owned()],
        ..apis
    };
    let clock = Arc::new(Clock::start());
    stillwell::serve::start(settings, config, text.to_owned(), apis, limits, clock)
        .await
        .expect("loopback listens")
}

/// What a target does with a connection whose request it has read.
#[derive(Clone)]
pub enum Act {
    /// Writes these bytes; the connection stays.
    Say(Vec<u8>),
    /// Writes these bytes and closes.
    SayAndClose(Vec<u8>),
    /// Never answers.
    Hang,
    /// Resets the connection.
    Reset,
}

/// A target under the test's control.
#[derive(Clone)]
pub struct TestTarget {
    pub address: SocketAddr,
    act: Arc<Mutex<Act>>,
    requests: Arc<AtomicUsize>,
    last_head: Arc<Mutex<String>>,
}

impl TestTarget {
    pub async fn start(act: Act) -> TestTarget {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let target = TestTarget {
            address: listener.local_addr().expect("bound"),
            act: Arc::new(Mutex::new(act)),
            requests: Arc::default(),
            last_head: Arc::default(),
        };
        let served = target.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served.clone().connection(stream));
            }
        });
        target
    }

    pub async fn with_page(page: &str) -> TestTarget {
        TestTarget::start(Act::Say(ok(page))).await
    }

    pub fn set(&self, act: Act) {
        *self.act.lock() = act;
    }

    pub fn set_page(&self, page: &str) {
        self.set(Act::Say(ok(page)));
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// The newest request, down to the end of its headers.
    pub fn last_head(&self) -> String {
        self.last_head.lock().clone()
    }

    async fn connection(self, mut stream: TcpStream) {
        while let Some(head) = read_head(&mut stream).await {
            *self.last_head.lock() = head;
            self.requests.fetch_add(1, Ordering::Relaxed);
            let act = self.act.lock().clone();
            match act {
                Act::Say(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Act::SayAndClose(bytes) => {
                    stream.write_all(&bytes).await.ok();
                    return;
                }
                Act::Hang => std::future::pending().await,
                Act::Reset => {
                    stream.set_zero_linger().ok();
                    return;
                }
            }
        }
    }
}

/// A page with the headers that a gateway sends.
pub fn ok(page: &str) -> Vec<u8> {
    let length = page.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\n\r\n{page}")
        .into_bytes()
}

/// Reads one request's head; `None` at the end of the connection.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Waits until `fits` holds, asking after every scrape.
pub async fn until(app: &App, what: &str, mut fits: impl FnMut(&App) -> bool) {
    let waiting = async {
        loop {
            let scraped = app.scraper().shared().scraped.notified();
            tokio::pin!(scraped);
            scraped.as_mut().enable(); // before looking, so that no scrape is missed
            if fits(app) {
                return;
            }
            scraped.await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        panic!(
            "never happened: {what}; targets: {:#?}",
            app.targets().active
        );
    }
}

/// Waits until `fits` holds, asking again and again: for what no scrape announces.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut fits: impl FnMut() -> F) {
    let waiting = async {
        while !fits().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, waiting).await.is_ok();
    assert!(in_time, "never happened: {what}");
}

/// The state of the target at this address.
pub fn state(app: &App, target: &TestTarget) -> Arc<TargetState> {
    let address = target.address.to_string();
    let states = app.scraper().states();
    let found = states
        .iter()
        .find(|state| state.target.url.authority == address);
    Arc::clone(found.expect("the target is scraped"))
}

/// Sends one request on a connection of its own and returns status, headers and body.
pub async fn http(address: SocketAddr, request: &str) -> (u16, String, String) {
    let asking = async {
        let mut stream = TcpStream::connect(address).await.expect("listening");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the server reads");
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .await
            .expect("the server answers");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("an answer in time");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// GETs a path.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    http(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    )
    .await
}

/// The data of a successful answer of the Prometheus API.
pub async fn data(address: SocketAddr, path: &str) -> Value {
    let (status, _, body) = get(address, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(answer["status"], "success");
    answer["data"].clone()
}

/// The value of an instant query with one element; `None` where it has none.
pub async fn value(address: SocketAddr, query: &str) -> Option<f64> {
    let mut path = "/api/v1/query?query=".to_owned();
    stillwell::http_client::encode_query(query, &mut path);
    let data = data(address, &path).await;
    let result = data["result"].as_array().expect("a vector").clone();
    assert!(result.len() <= 1, "{query}: {result:?}");
    result.first().map(|element| {
        element["value"][1]
            .as_str()
            .expect("a string")
            .parse()
            .expect("a number")
    })
}

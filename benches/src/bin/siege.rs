//! One peer at a time does its worst to a running server, while an HPA reads and healthy gateways are scraped.
//!
//! `cargo run --release -p stillwell-benches --bin siege -- STILLWELL [SECONDS] [ROW]`
//!
//! Each row starts a server with `--storage.memory.max=256MB` and four healthy gateways at 100 ms, whose standard error nobody
//! reads, and attacks it for some seconds (10; in a smoke run 2). The table says what was tried, how many reads of the HPA
//! failed, their p99, how many scrapes of the healthy gateways are missing, the most memory that the process held, and how
//! long it took to end after SIGTERM. Fails where a read failed, p99 is above 20 ms, more than two scrapes of a gateway are missing
//! (the edges of the window), memory passes the limit by 64 MB, or SIGTERM takes longer than 5 s.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a command that measures time and prints its results"
)]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stillwell_benches::load::{Load, pause};

const MEMORY_MAX_MB: u64 = 256;
const MEMORY_SLACK_MB: u64 = 64;
const P99_MAX: Duration = Duration::from_millis(20);
const TERM_MAX: Duration = Duration::from_secs(5);
const HEALTHY: usize = 4;
const READ_PATH: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue";

type Failure = Box<dyn std::error::Error>;

/// What a row does.
struct Row {
    name: &'static str,
    /// More scrape jobs, for pages that attack.
    jobs: fn() -> Result<String, Failure>,
    /// What clients do until the time is up, on threads of their own; each try is counted.
    clients: &'static [(usize, fn(&Attack))],
}

/// What an attacking client knows.
struct Attack {
    port: u16,
    keda_port: u16,
    over: Arc<AtomicBool>,
    tried: Arc<AtomicU64>,
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "nothing, to compare with", jobs: none, clients: &[] },
    Row { name: "own timestamps older than the retention", jobs: old_timestamps, clients: &[] },
    Row { name: "newlines inflated a thousand times", jobs: newlines, clients: &[] },
    Row { name: "a first page of 400,000 lines, others each time", jobs: many_lines, clients: &[] },
    Row { name: "a page that cannot fit", jobs: too_large, clients: &[] },
    Row { name: "a reason of 50 kB, another each time", jobs: long_reasons, clients: &[] },
    Row { name: "20 names that do not resolve", jobs: dead_names, clients: &[] },
    Row { name: "nested label_join", jobs: wide_page, clients: &[(4, label_joins)] },
    Row { name: "24 clients with range queries", jobs: wide_page, clients: &[(24, ranges)] },
    Row { name: "20 /guarded queries abandoned", jobs: wide_page, clients: &[(20, abandoned)] },
    Row { name: "500 distinct sums at /guarded", jobs: wide_page, clients: &[(2, distinct_sums)] },
    Row { name: "512 silent connections", jobs: none, clients: &[(1, silent)] },
    Row { name: "1,100 silent connections of KEDA", jobs: none, clients: &[(1, silent_keda)] },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seconds = arguments.get(1).map_or(Ok(10), |text| text.parse());
    let (Some(binary), Ok(seconds)) = (arguments.first(), seconds) else {
        eprintln!("siege STILLWELL [SECONDS] [ROW]");
        return ExitCode::FAILURE;
    };
    println!(
        "| row | tried | HPA reads | failed | p99 | scrapes missing | memory at most | SIGTERM |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut good = true;
    let wanted = arguments.get(2).map_or("", String::as_str);
    for row in ROWS.iter().filter(|row| row.name.contains(wanted)) {
        match run(Path::new(binary), row, Duration::from_secs(seconds)) {
            Ok(outcome) => {
                println!("| {} | {outcome} |", row.name);
                good &= outcome.is_good();
            }
            Err(error) => {
                println!("| {} | {error} |", row.name);
                good = false;
            }
        }
    }
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

struct Outcome {
    tried: u64,
    reads: usize,
    failed: usize,
    p99: Duration,
    missing: i64,
    most_mb: u64,
    term: Duration,
}

impl Outcome {
    fn is_good(&self) -> bool {
        self.failed == 0
            && self.p99 <= P99_MAX
            && self.missing <= 2
            && self.most_mb <= MEMORY_MAX_MB + MEMORY_SLACK_MB
            && self.term <= TERM_MAX
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} | {} | {} | {:.1} ms | {} | {} MB | {:.1} s",
            self.tried,
            self.reads,
            self.failed,
            self.p99.as_secs_f64() * 1000.0,
            self.missing,
            self.most_mb,
            self.term.as_secs_f64()
        )
    }
}

/// A server whose standard error nobody reads.
struct Server {
    child: Child,
    port: u16,
    keda_port: u16,
}

impl Server {
    fn start(binary: &Path, config: &str) -> Result<Server, Failure> {
        let free = || -> Result<u16, Failure> {
            Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
        };
        let (port, keda_port) = (free()?, free()?);
        let file = std::env::temp_dir().join(format!("siege-{}-{port}.yml", std::process::id()));
        std::fs::write(&file, config)?;
        let child = Command::new(binary)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--keda.listen-address=127.0.0.1:{keda_port}"))
            .arg(format!("--storage.memory.max={MEMORY_MAX_MB}MB"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let server = Server {
            child,
            port,
            keda_port,
        };
        for _ in 0..600 {
            if get(port, READ_PATH, Duration::from_secs(1)).is_ok_and(|(status, _)| status == 200) {
                return Ok(server);
            }
            pause(Duration::from_millis(50));
        }
        Err("the signal was never told".into())
    }

    fn resident_mb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024 / 1_000_000
    }

    /// Asks it to end, and waits.
    fn end(&mut self) -> Result<Duration, Failure> {
        let began = Instant::now();
        Command::new("kill")
            .arg(self.child.id().to_string())
            .status()?;
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > TERM_MAX * 2 {
                break; // the drop kills it
            }
            pause(Duration::from_millis(10));
        }
        Ok(began.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok(); // it may have ended
        self.child.wait().ok();
    }
}

fn run(binary: &Path, row: &Row, time: Duration) -> Result<Outcome, Failure> {
    let load = Load::start(HEALTHY, 500, 20)?;
    let targets: Vec<String> = load
        .ports
        .iter()
        .map(|port| format!("'127.0.0.1:{port}'"))
        .collect();
    // What attacks is joined after the signal is told: `start` waits for that, not for the attackers.
    let config = format!(
        "global: {{scrape_interval: 100ms, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: healthy\n  static_configs: [{{targets: [{}]}}]\n\
         {}signals:\n- {{name: queue, expr: 'sum(llm_d_epp_flow_control_queue_size{{job=\"healthy\"}})'}}\nexternal_metrics: {{insecure: true}}\n",
        targets.join(", "),
        (row.jobs)()?
    );
    let mut server = Server::start(binary, &config)?;
    pause(Duration::from_secs(1));
    let (over, tried) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut clients = Vec::new();
    for (count, client) in row.clients {
        for _ in 0..*count {
            let attack = Attack {
                port: server.port,
                keda_port: server.keda_port,
                over: Arc::clone(&over),
                tried: Arc::clone(&tried),
            };
            clients.push(thread::spawn(move || client(&attack)));
        }
    }
    let (mut waits, mut failed, mut most_mb) = (Vec::new(), 0, 0);
    let began = Instant::now();
    while began.elapsed() < time {
        let asked = Instant::now();
        let answered = get(server.port, READ_PATH, Duration::from_secs(5));
        failed += usize::from(!answered.is_ok_and(|(status, _)| status == 200));
        waits.push(asked.elapsed());
        if waits.len().is_multiple_of(10) {
            most_mb = most_mb.max(server.resident_mb());
        }
        pause(Duration::from_millis(10));
    }
    let seconds = began.elapsed().as_secs();
    over.store(true, Ordering::Relaxed);
    let missing = missing_scrapes(server.port, seconds)?;
    let term = server.end()?;
    drop(server);
    for client in clients {
        client.join().ok(); // a client that panicked has attacked less
    }
    waits.sort_unstable();
    let p99 = waits[(waits.len() - 1) * 99 / 100];
    Ok(Outcome {
        tried: tried.load(Ordering::Relaxed),
        reads: waits.len(),
        failed,
        p99,
        missing,
        most_mb,
        term,
    })
}

/// How many scrapes of the healthy gateway with the fewest are missing in the last seconds.
fn missing_scrapes(port: u16, seconds: u64) -> Result<i64, Failure> {
    let query = format!("min(count_over_time(up{{job=\"healthy\"}}[{seconds}s]))");
    for _ in 0..50 {
        let path = format!("/api/v1/query?query={}", encoded(&query));
        if let Ok((200, body)) = get(port, &path, Duration::from_secs(10)) {
            let value = body
                .rsplit('"')
                .nth(1)
                .and_then(|text| text.parse::<i64>().ok());
            return value
                .map(|count| seconds as i64 * 10 - count)
                .ok_or_else(|| format!("no count: {body}").into());
        }
        pause(Duration::from_millis(100)); // places may still be taken by queries that are being stopped
    }
    Err("nobody could ask for the scrapes".into())
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let _ = write!(out, "%{byte:02X}"); // a String takes everything
    }
    out
}

/// Status and body of an answer.
fn get(port: u16, path: &str, patience: Duration) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(patience))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_to_string(&mut answer)?;
    let status = answer
        .get(9..12)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

fn none() -> Result<String, Failure> {
    Ok(String::new())
}

fn job(ports: &[u16], more: &str) -> String {
    let targets: Vec<String> = ports
        .iter()
        .map(|port| format!("'127.0.0.1:{port}'"))
        .collect();
    let targets = targets.join(", ");
    format!("- job_name: attack\n{more}  static_configs: [{{targets: [{targets}]}}]\n")
}

fn old_timestamps() -> Result<String, Failure> {
    let load = Load::scripted(|| Some("batch_rows 5 1395066363000\nlive 1\n".to_owned()))?;
    Ok(job(&load.ports, ""))
}

fn many_lines() -> Result<String, Failure> {
    let round = AtomicU64::new(0);
    let load = Load::scripted(move || {
        let round = round.fetch_add(1, Ordering::Relaxed);
        let mut page = String::with_capacity(20 << 20);
        for line in 0..400_000 {
            let _ = writeln!(page, "many_{round}{{n=\"{line}\"}} 1");
        }
        Some(page)
    })?;
    Ok(job(&load.ports, "  scrape_interval: 2s\n"))
}

fn too_large() -> Result<String, Failure> {
    let load = Load::scripted(|| {
        let mut page = String::with_capacity(60 << 20);
        for line in 0..900_000 {
            let _ = writeln!(page, "large{{n=\"{line:040}\"}} 1");
        }
        Some(page)
    })?;
    Ok(job(&load.ports, "  scrape_interval: 2s\n"))
}

fn wide_page() -> Result<String, Failure> {
    let load = Load::scripted(|| {
        let mut page = String::new();
        for line in 0..20_000 {
            let _ = writeln!(page, "wide{{s=\"{line}\",pool=\"p{}\"}} {line}", line % 7);
        }
        Some(page)
    })?;
    Ok(job(&load.ports, "  scrape_interval: 1s\n"))
}

fn dead_names() -> Result<String, Failure> {
    let targets: Vec<String> = (0..20).map(|n| format!("'dead-{n}.invalid:9'")).collect();
    Ok(format!(
        "- job_name: attack\n  static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    ))
}

/// A server that answers every request with what `answer` makes.
fn raw(answer: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    if line == "\r\n" && (&stream).write_all(&answer()).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    Ok(port)
}

fn newlines() -> Result<String, Failure> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let block = vec![b'\n'; 1 << 20];
    for _ in 0..100 {
        encoder.write_all(&block)?;
    }
    let body = encoder.finish()?;
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    Ok(job(&[raw(move || answer.clone())?], ""))
}

fn long_reasons() -> Result<String, Failure> {
    let round = AtomicU64::new(0);
    let port = raw(move || {
        let reason = format!("{:050000}", round.fetch_add(1, Ordering::Relaxed));
        format!("HTTP/1.1 503 {reason}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    })?;
    Ok(job(&[port], ""))
}

/// Asks for paths until the time is up.
fn ask(attack: &Attack, patience: Duration, path: impl Fn(u64) -> String) {
    let mut round = 0;
    while !attack.over.load(Ordering::Relaxed) {
        get(attack.port, &path(round), patience).ok(); // refused, answered or given up: the next one
        attack.tried.fetch_add(1, Ordering::Relaxed);
        round += 1;
    }
}

fn label_joins(attack: &Attack) {
    let mut query = "wide".to_owned();
    for _ in 0..8 {
        query = format!(
            "label_join({query},\"x\",\"\",\"s\"{})",
            ",\"x\"".repeat(12)
        );
    }
    let query = encoded(&query);
    ask(attack, Duration::from_secs(5), |round| match round % 2 {
        0 => format!("/api/v1/query?query={query}"),
        _ => format!("/guarded/api/v1/query?query={query}"),
    });
}

fn ranges(attack: &Attack) {
    let query = encoded("sum by (pool) (rate(wide[10s])) + sum by (pool) (wide)");
    ask(attack, Duration::from_secs(5), |_| {
        let now_s = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        format!(
            "/api/v1/query_range?query={query}&start={}&end={now_s}&step=1",
            now_s - 20
        )
    });
}

fn abandoned(attack: &Attack) {
    let query = "max(label_replace(wide,\"x\",\"$1\",\"s\",\"(.*)\")) + max(quantile_over_time(0.5,wide[10s]))";
    let query = encoded(query);
    ask(attack, Duration::from_millis(200), |_| {
        format!("/guarded/api/v1/query?query={query}")
    });
}

fn distinct_sums(attack: &Attack) {
    ask(attack, Duration::from_secs(5), |round| {
        let query = encoded(&format!("sum(wide) + {}", round % 500));
        format!("/guarded/api/v1/query?query={query}")
    });
}

fn silent(attack: &Attack) {
    hold(
        attack,
        attack.port,
        512,
        b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n",
    );
}

fn silent_keda(attack: &Attack) {
    hold(
        attack,
        attack.keda_port,
        1_100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    );
}

/// Opens connections and says nothing on half of them, and little on the others.
fn hold(attack: &Attack, port: u16, count: usize, words: &[u8]) {
    let mut held = Vec::new();
    while !attack.over.load(Ordering::Relaxed) {
        if held.len() == count {
            pause(Duration::from_millis(50));
            continue;
        }
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            if held.len().is_multiple_of(2) {
                stream.write_all(words).ok(); // it may be refused already
            }
            held.push(stream);
            attack.tried.fetch_add(1, Ordering::Relaxed);
        }
    }
}

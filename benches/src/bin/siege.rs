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

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stillwell_benches::load::{Load, pause};
use stillwell_benches::siege::{Attack, Failure, READ_PATH, ROWS, Row, encoded, get};

const MEMORY_MAX_MB: u64 = 256;
const MEMORY_SLACK_MB: u64 = 64;
const P99_MAX: Duration = Duration::from_millis(20);
const TERM_MAX: Duration = Duration::from_secs(5);
const HEALTHY: usize = 4;

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
    fn start(binary: &Path, row: &Row, config: &str) -> Result<Server, Failure> {
        let free = || -> Result<u16, Failure> {
            Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
        };
        let (port, keda_port) = (free()?, free()?);
        let file = std::env::temp_dir().join(format!("siege-{}-{port}.yml", std::process::id()));
        std::fs::write(&file, config)?;
        // `exec`, so that the server is the child itself.
        let limit = row
            .descriptors
            .map_or(String::new(), |most| format!("ulimit -n {most}; "));
        let child = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$@\""), "sh"])
            .arg(binary)
            .args(row.flags)
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
    // What attacks is joined after the signal is told: `start` waits for that, not for the attackers.
    let config = row.config(&load)?;
    let mut server = Server::start(binary, row, &config)?;
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

//! The reads of many HPAs over TLS while gateways are scraped at 100 ms: how long each waits, and whether the server grows.
//!
//! `cargo run --release -p stillwell-benches --bin hpa_load -- STILLWELL [HPAS] [ROUNDS]`
//!
//! Each HPA reads two metrics every 15 s, spread evenly, as the HPA controller does: five workers, one kept connection
//! each, through a front-proxy identity that this command makes. A read is timed from when its HPA was due, so that a
//! slow answer is charged to those who wait behind it. Fails where p99 is above 5 ms, an answer is no number, or memory
//! after the first round grows by more than a tenth.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a command that measures time and prints its results"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer};
use rcgen::{Certificate, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use stillwell_benches::contender::Contender;
use stillwell_benches::load::{Load, pause};

/// The HPA controller's.
const WORKERS: usize = 5;
const PERIOD: Duration = Duration::from_secs(15);
/// The budget.
const P99_MAX: Duration = Duration::from_millis(5);
const SERVICE: &str = "stillwell.default.svc";
const METRICS: [&str; 2] = ["igw_queue_depth", "igw_running_requests"];

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, standard: usize| match arguments.get(at) {
        Some(text) => text.parse(),
        None => Ok(standard),
    };
    let (Some(binary), Ok(hpas), Ok(rounds)) = (arguments.first(), number(1, 1000), number(2, 8))
    else {
        eprintln!("hpa_load STILLWELL [HPAS] [ROUNDS]");
        return ExitCode::FAILURE;
    };
    match run(Path::new(binary), hpas.max(1), rounds.max(2)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hpa_load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(binary: &Path, hpas: usize, rounds: usize) -> Result<bool, Failure> {
    let load = Load::start(4, 2_000, 20)?;
    let identities = Identities::make()?;
    let folder = std::env::temp_dir().join(format!("hpa-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let flags = identities.write(&folder, port)?;
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = Contender::stillwell(binary, &config(&load), &flags)?;
    server.ready_client()?;
    let client = Arc::new(identities.client()?);

    let mut all = Vec::new();
    let (mut first, mut last) = (server.usage()?, server.usage()?);
    let mut wrong = 0;
    for round in 0..rounds {
        let (times, errors) = one_round(&client, port, hpas)?;
        all.extend(times);
        wrong += errors;
        last = server.usage()?;
        if round == 0 {
            first = last;
        }
    }
    std::fs::remove_dir_all(&folder)?;
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    let seconds = PERIOD.as_secs_f64() * (rounds - 1) as f64;
    let (before, after) = (first.rss_bytes as f64 / 1e6, last.rss_bytes as f64 / 1e6);
    println!(
        "{} reads of {hpas} HPAs in {rounds} rounds of {} s, {} samples scraped at 100 ms",
        all.len(),
        PERIOD.as_secs(),
        load.samples
    );
    println!(
        "p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}; {wrong} wrong answers",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    println!(
        "memory {before:.1} MB after the first round, {after:.1} MB at the end; {:.0}% of a core",
        (last.cpu_s - first.cpu_s) / seconds * 100.0
    );
    Ok(wrong == 0 && at(0.99) <= P99_MAX && after <= before * 1.1)
}

fn config(load: &Load) -> String {
    let targets: Vec<String> = load
        .ports
        .iter()
        .chain([&load.fast_port])
        .map(|port| format!("'127.0.0.1:{port}'"))
        .collect();
    format!(
        "global: {{scrape_interval: 100ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: [{}]}}]\n\
         signals:\n- {{name: {}, expr: sum(llm_d_epp_flow_control_queue_size)}}\n- {{name: {}, expr: sum(fast_queue)}}\n",
        targets.join(", "),
        METRICS[0],
        METRICS[1]
    )
}

/// Every HPA once: how long each read took, and how many answers were no numbers.
fn one_round(
    client: &Arc<ClientConfig>,
    port: u16,
    hpas: usize,
) -> Result<(Vec<Duration>, usize), Failure> {
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    let worker = || -> Result<(Vec<Duration>, usize), Failure> {
        let mut connection = Connection::open(client, port)?;
        let (mut times, mut wrong) = (Vec::new(), 0);
        loop {
            let hpa = next.fetch_add(1, Ordering::Relaxed);
            if hpa >= hpas {
                return Ok((times, wrong));
            }
            let due = start + PERIOD * hpa as u32 / hpas as u32;
            pause(due.saturating_duration_since(Instant::now()));
            let mut since = due;
            for metric in METRICS {
                wrong += usize::from(!connection.read(hpa, metric)?);
                let now = Instant::now();
                times.push(now - since);
                since = now;
            }
        }
    };
    let results = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().map(|worker| {
            let ended = worker.join();
            ended.unwrap_or_else(|_| Err("a worker panicked".into()))
        });
        joined.collect::<Result<Vec<_>, Failure>>()
    })?;
    pause((start + PERIOD).saturating_duration_since(Instant::now()));
    let wrong = results.iter().map(|(_, wrong)| wrong).sum();
    Ok((
        results.into_iter().flat_map(|(times, _)| times).collect(),
        wrong,
    ))
}

/// A kept connection, as the API server keeps one.
struct Connection {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    body: Vec<u8>,
}

impl Connection {
    fn open(client: &Arc<ClientConfig>, port: u16) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let tls = ClientConnection::new(Arc::clone(client), ServerName::try_from(SERVICE)?)?;
        Ok(Connection {
            stream: BufReader::new(StreamOwned::new(tls, stream)),
            body: Vec::new(),
        })
    }

    /// Whether a metric was answered with a number.
    fn read(&mut self, hpa: usize, metric: &str) -> Result<bool, Failure> {
        let request = format!(
            "GET /apis/external.metrics.k8s.io/v1beta1/namespaces/team-{hpa}/{metric} HTTP/1.1\r\nHost: {SERVICE}\r\n\
             Accept: application/vnd.kubernetes.protobuf, */*\r\n\
             X-Remote-User: system:serviceaccount:kube-system:horizontal-pod-autoscaler\r\n\
             X-Remote-Group: system:serviceaccounts\r\nX-Remote-Group: system:authenticated\r\n\r\n"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut ok, mut length) = (false, 0);
        for at in 0.. {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if at == 0 {
                ok = line.contains(" 200 ");
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse()?;
            }
            if line.is_empty() {
                break;
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        Ok(ok && self.body.starts_with(b"k8s\0"))
    }
}

/// Certificates of the server and of the front proxy, each of its own CA.
struct Identities {
    serving: Signed,
    proxy: Signed,
}

struct Signed {
    ca: Certificate,
    certificate: Certificate,
    key: KeyPair,
}

impl Signed {
    fn make(name: &str, client: bool) -> Result<Signed, Failure> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, format!("CA of {name}"));
        let ca_key = KeyPair::generate()?;
        let ca = params.self_signed(&ca_key)?;
        let issuer = Issuer::new(params, ca_key);
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        if client {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Signed {
            ca,
            certificate,
            key,
        })
    }
}

impl Identities {
    fn make() -> Result<Identities, Failure> {
        Ok(Identities {
            serving: Signed::make(SERVICE, false)?,
            proxy: Signed::make("front-proxy-client", true)?,
        })
    }

    /// The server's files, as flags.
    fn write(&self, folder: &Path, port: u16) -> Result<Vec<String>, Failure> {
        let file = |flag: &str, name: &str, text: String| -> Result<String, Failure> {
            let path = folder.join(name);
            std::fs::write(&path, text)?;
            Ok(format!("--{flag}={}", path.display()))
        };
        let serving = &self.serving;
        Ok(vec![
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            file("tls-cert-file", "tls.crt", serving.certificate.pem())?,
            file(
                "tls-private-key-file",
                "tls.key",
                serving.key.serialize_pem(),
            )?,
            file(
                "requestheader-client-ca-file",
                "front.crt",
                self.proxy.ca.pem(),
            )?,
            "--requestheader-allowed-names=front-proxy-client".to_owned(),
        ])
    }

    fn client(&self) -> Result<ClientConfig, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(self.serving.ca.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(self.proxy.key.serialize_der())?;
        let chain = vec![self.proxy.certificate.der().clone()];
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?)
    }
}

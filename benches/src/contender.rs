//! A server under measurement: started with a configuration of its kind, measured through the kernel's accounting,
//! queried over one persistent connection.

#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

pub use crate::client::Client;
use crate::load::{Load, pause};

/// The kinds of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Stillwell.
    Stillwell,
    /// Prometheus.
    Prometheus,
    /// VictoriaMetrics, single node.
    VictoriaMetrics,
    /// Thanos Receive. It takes remote write and answers no queries.
    Thanos,
}

impl Kind {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Stillwell => "Stillwell",
            Kind::Prometheus => "Prometheus",
            Kind::VictoriaMetrics => "VictoriaMetrics",
            Kind::Thanos => "Thanos Receive",
        }
    }

    /// Where it takes remote write.
    pub fn write_path(self) -> &'static str {
        match self {
            Kind::Thanos => "/api/v1/receive",
            Kind::Stillwell | Kind::Prometheus | Kind::VictoriaMetrics => "/api/v1/write",
        }
    }
}

/// A running server.
pub struct Contender {
    /// Which.
    pub kind: Kind,
    /// Where it listens.
    pub port: u16,
    child: Child,
    command: Command,
    /// When it was started.
    pub started: Instant,
    directory: PathBuf,
}

/// CPU time and memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system, in seconds.
    pub cpu_s: f64,
    /// Resident, in bytes.
    pub rss_bytes: u64,
}

impl Usage {
    /// What the kernel has counted of a process so far.
    pub fn of(pid: u32) -> std::io::Result<Usage> {
        const TICKS_PER_SECOND: f64 = 100.0; // USER_HZ, fixed on Linux
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks: f64 = fields
            .iter()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = rss
            .and_then(|rss| rss.split_whitespace().next()?.parse().ok())
            .unwrap_or(0);
        Ok(Usage {
            cpu_s: ticks / TICKS_PER_SECOND,
            rss_bytes: kib * 1024,
        })
    }
}

/// Signals that Stillwell evaluates with every scrape; the other servers have no counterpart to pay for.
const SIGNALS: &str = "signals:
- {name: queue, expr: 'sum(fast_queue)'}
- {name: counts, expr: 'sum by (inference_pool) (llm_d_epp_request_phase_0000_duration_seconds_count)'}
- {name: rates, expr: 'sum by (inference_pool) (rate(llm_d_epp_request_phase_0000_duration_seconds_count[10s]))'}
";

fn config(kind: Kind, load: &Load, fast: bool) -> String {
    let targets: Vec<String> = load
        .ports
        .iter()
        .map(|port| format!("'127.0.0.1:{port}'"))
        .collect();
    let mut text = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: load\n  \
         static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    );
    if fast {
        text += &format!(
            "- job_name: fast\n  scrape_interval: 100ms\n  scrape_timeout: 100ms\n  static_configs: \
             [{{targets: ['127.0.0.1:{}']}}]\n",
            load.fast_port
        );
        if kind == Kind::Stillwell {
            text += SIGNALS;
        }
    }
    text
}

fn arguments(kind: Kind, address: &str, config: &Path, data: &Path) -> Vec<String> {
    let (config, data) = (config.display(), data.display());
    match kind {
        Kind::Stillwell => vec![
            format!("--config.file={config}"),
            format!("--web.listen-address={address}"),
            "--storage.memory.max=4GiB".to_owned(),
            "--log.level=warn".to_owned(),
        ],
        Kind::Prometheus => vec![
            format!("--config.file={config}"),
            format!("--web.listen-address={address}"),
            format!("--storage.tsdb.path={data}"),
            "--log.level=error".to_owned(),
        ],
        Kind::VictoriaMetrics => vec![
            format!("-promscrape.config={config}"),
            format!("-httpListenAddr={address}"),
            format!("-storageDataPath={data}"),
            "-search.latencyOffset=0s".to_owned(),
            "-loggerLevel=ERROR".to_owned(),
        ],
        Kind::Thanos => vec![
            "receive".to_owned(),
            format!("--remote-write.address={address}"),
            "--http-address=127.0.0.1:0".to_owned(),
            "--grpc-address=127.0.0.1:0".to_owned(),
            "--receive.capnproto-address=127.0.0.1:0".to_owned(),
            format!("--tsdb.path={data}"),
            "--label=receive_replica=\"0\"".to_owned(),
            "--log.level=error".to_owned(),
        ],
    }
}

impl Contender {
    /// Starts `binary` on a free port, scraping the load.
    pub fn start(kind: Kind, binary: &Path, load: &Load, fast: bool) -> std::io::Result<Contender> {
        Contender::launch(kind, binary, &config(kind, load, fast), &[])
    }

    /// Starts `binary` on a free port with nothing to scrape: it takes remote write.
    pub fn receiver(kind: Kind, binary: &Path) -> std::io::Result<Contender> {
        let flags: &[&str] = match kind {
            Kind::Stillwell => &[
                "--web.enable-remote-write-receiver",
                "--storage.retention.time=1d",
            ],
            Kind::Prometheus => &[
                "--web.enable-remote-write-receiver",
                "--enable-feature=native-histograms",
            ],
            Kind::VictoriaMetrics => &["-search.disableCache"],
            Kind::Thanos => &[],
        };
        Contender::launch(kind, binary, "scrape_configs: []\n", flags)
    }

    /// Starts ours with a configuration and flags of its own.
    pub fn stillwell(binary: &Path, config: &str, flags: &[&str]) -> std::io::Result<Contender> {
        Contender::launch(Kind::Stillwell, binary, config, flags)
    }

    /// Starts a Prometheus with a configuration of its own.
    pub fn prometheus(binary: &Path, config: &str) -> std::io::Result<Contender> {
        Contender::launch(Kind::Prometheus, binary, config, &[])
    }

    /// Starts a Prometheus on what a Thanos Receive, which has ended, has put on disk.
    pub fn prometheus_on_data_of(
        thanos: &Contender,
        prometheus: &Path,
    ) -> std::io::Result<Contender> {
        let tenant = thanos.directory.join("data/default-tenant");
        Contender::launch_on(
            Kind::Prometheus,
            prometheus,
            "scrape_configs: []\n",
            &[],
            Some(&tenant),
        )
    }

    fn launch(
        kind: Kind,
        binary: &Path,
        config: &str,
        flags: &[&str],
    ) -> std::io::Result<Contender> {
        Contender::launch_on(kind, binary, config, flags, None)
    }

    fn launch_on(
        kind: Kind,
        binary: &Path,
        config: &str,
        flags: &[&str],
        data: Option<&Path>,
    ) -> std::io::Result<Contender> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let directory = std::env::temp_dir().join(format!("rivals-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let file = directory.join("config.yml");
        std::fs::write(&file, config)?;
        let data = data.map_or_else(|| directory.join("data"), Path::to_path_buf);
        let mut command = Command::new(binary);
        command
            .args(arguments(kind, &format!("127.0.0.1:{port}"), &file, &data))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started = Instant::now();
        let child = command.spawn()?;
        Ok(Contender {
            kind,
            port,
            child,
            command,
            started,
            directory,
        })
    }

    /// Starts one with a configuration and flags of its own.
    pub fn with_config(
        kind: Kind,
        binary: &Path,
        config: &str,
        flags: &[&str],
    ) -> std::io::Result<Contender> {
        Contender::launch(kind, binary, config, flags)
    }

    /// Ends the process and waits for that: at once, or after it has put away what it holds.
    pub fn end(&mut self, at_once: bool) -> std::io::Result<()> {
        match at_once {
            true => self.child.kill()?,
            false => {
                let pid = self.child.id().to_string();
                Command::new("kill").args(["-TERM", &pid]).status()?;
            }
        }
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again, where it was and with what it has on disk.
    pub fn restart(&mut self) -> std::io::Result<()> {
        self.child = self.command.spawn()?;
        self.started = Instant::now();
        Ok(())
    }

    /// Starts it again with further flags, which the next restart has not.
    pub fn restart_with(&mut self, flags: &[&str]) -> std::io::Result<()> {
        let mut command = Command::new(self.command.get_program());
        command
            .args(self.command.get_args())
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = command.spawn()?;
        self.started = Instant::now();
        Ok(())
    }

    /// From now on none of its files grows beyond so many bytes, or each as far as it likes: writing fails as on a full disk.
    pub fn limit_files(&self, bytes_max: Option<u64>) -> std::io::Result<()> {
        let limit = Rlimit {
            current: bytes_max,
            maximum: None,
        };
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        prlimit(pid, Resource::Fsize, limit)?;
        Ok(())
    }

    /// What the kernel has counted so far.
    pub fn usage(&self) -> std::io::Result<Usage> {
        Usage::of(self.child.id())
    }

    /// Bytes that the process had the kernel write to disks (`write_bytes` of proc_pid_io(5)).
    pub fn disk_written(&self) -> std::io::Result<u64> {
        let counts = std::fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        let written = counts
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: "));
        let bytes = written.and_then(|bytes| bytes.trim().parse().ok());
        bytes.ok_or_else(|| std::io::Error::other("the kernel counts no write_bytes"))
    }

    /// Connects, waiting up to `wait` for the listener.
    pub fn connect(&self, wait: Duration) -> std::io::Result<Client> {
        let start = Instant::now();
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
                    return Ok(Client::new(stream, self.port));
                }
                Err(error) if start.elapsed() > wait => return Err(error),
                Err(_) => pause(Duration::from_millis(1)),
            }
        }
    }

    /// Connects, and waits until the server says that it is ready.
    pub fn ready_client(&self) -> std::io::Result<Client> {
        let mut client = self.connect(Duration::from_secs(30))?;
        for _ in 0..600 {
            let body = client.get("/-/ready")?.to_lowercase();
            if body.contains("ready") && !body.contains("not ready") {
                return Ok(client);
            }
            pause(Duration::from_millis(50));
        }
        Err(std::io::Error::other(format!(
            "{} never became ready",
            self.kind.name()
        )))
    }

    /// Connects, and asks for its health once: for a server that does not say when it is ready.
    pub fn healthy_client(&self) -> std::io::Result<Client> {
        let mut client = self.connect(Duration::from_secs(30))?;
        client.get(self.health_path())?;
        Ok(client)
    }

    /// The path of a health check.
    pub fn health_path(&self) -> &'static str {
        match self.kind {
            Kind::VictoriaMetrics => "/health",
            Kind::Stillwell | Kind::Prometheus | Kind::Thanos => "/-/healthy",
        }
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // The process must not outlive the run, and its files are not needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

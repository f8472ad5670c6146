//! What the benches of KEDA's scaler share: a server process, and a gateway whose queue is set by hand.

#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stillwell_adapters::keda::ScaledObjectRef;

use crate::load::{Load, pause};

/// The guide's query.
pub const QUERY: &str = "sum(inference_extension_flow_control_queue_size{inference_pool=\"p\"})";

/// A gateway that shows one queue.
pub struct Gateway {
    /// Its port.
    pub port: u16,
    /// The queue.
    pub queue: Arc<AtomicU64>,
}

impl Gateway {
    /// Listens on a free port.
    pub fn start() -> std::io::Result<Gateway> {
        let queue = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&queue);
        let load = Load::scripted(move || {
            let queue = shown.load(Ordering::Acquire);
            Some(format!(
                "inference_pool_ready_pods{{name=\"p\"}} 0\n\
                 inference_extension_flow_control_queue_size{{inference_pool=\"p\",model_name=\"m\"}} {queue}\n"
            ))
        })?;
        Ok(Gateway {
            port: load.fast_port,
            queue,
        })
    }
}

/// A running `stillwell`, or a Prometheus.
pub struct Process {
    child: Child,
    /// Its plain HTTP port.
    pub web: SocketAddr,
    /// KEDA's port, where it is a `stillwell`.
    pub keda: SocketAddr,
    folder: PathBuf,
}

impl Process {
    /// Starts `binary` with this configuration on free ports and waits until it listens.
    pub fn start(
        binary: &Path,
        configuration: &str,
        is_stillwell: bool,
    ) -> std::io::Result<Process> {
        let free = || TcpListener::bind("127.0.0.1:0")?.local_addr();
        let (web, keda) = (free()?, free()?);
        let folder =
            std::env::temp_dir().join(format!("keda-bench-{}-{}", std::process::id(), web.port()));
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("config.yml");
        std::fs::write(&file, configuration)?;
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--web.listen-address={web}"))
            .arg("--log.level=warn");
        if is_stillwell {
            command.arg(format!("--keda.listen-address={keda}"));
        } else {
            command.arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ));
        }
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let process = Process {
            child,
            web,
            keda,
            folder,
        };
        let began = Instant::now();
        while std::net::TcpStream::connect(web).is_err() {
            if began.elapsed() > Duration::from_secs(30) {
                return Err(std::io::Error::other("the server never listened"));
            }
            pause(Duration::from_millis(10));
        }
        Ok(process)
    }

    /// Resident bytes and open descriptors.
    pub fn usage(&self) -> (u64, usize) {
        usage(&self.child.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process must not outlive the run, and its files are not needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Resident bytes and open descriptors of a process; `self` is this one.
pub fn usage(process: &str) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count);
    (kib * 1024, descriptors)
}

/// A ScaledObject of this name with this trigger.
pub fn scaled_object(name: &str, pairs: &[(&str, &str)]) -> ScaledObjectRef {
    let pairs = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    ScaledObjectRef {
        name: name.to_owned(),
        namespace: "bench".to_owned(),
        scaler_metadata: pairs.collect::<BTreeMap<_, _>>(),
    }
}

/// The value at `share` of sorted times.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

//! A real Prometheus beside the server under test.
#![allow(dead_code, reason = "every test takes what it needs")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use stillwell::http_client::encode_query;
use tokio::sync::Notify;

use stillwell_testing::outside::RIVALS;

use crate::common::http;

/// Longest wait for its answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where it is; says so where it is not.
pub(crate) fn prometheus_binary() -> Option<PathBuf> {
    RIVALS.find_inside("usr/bin/prometheus")
}

/// A process that ends with the test.
pub(crate) struct Prometheus {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: PathBuf,
}

impl Prometheus {
    /// With this configuration and these further flags.
    pub(crate) fn start(binary: &PathBuf, config: &str, flags: &[&str]) -> Prometheus {
        Prometheus::start_by(Command::new(binary), config, flags)
    }

    /// The same by this command, to which the flags are added.
    pub(crate) fn start_by(mut program: Command, config: &str, flags: &[&str]) -> Prometheus {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = free.local_addr().expect("bound");
        drop(free);
        let folder = std::env::temp_dir().join(format!(
            "stillwell-rival-{}-{}",
            std::process::id(),
            address.port()
        ));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        std::fs::write(folder.join("prometheus.yml"), config).expect("a temporary file");
        let child = program
            .arg(format!(
                "--config.file={}",
                folder.join("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus starts");
        Prometheus {
            child,
            address,
            folder,
        }
    }

    /// Asks until it is ready: its web server opens about when its first scrape comes.
    pub(crate) async fn ask(&self, scraped: &Notify, path: &str) -> Value {
        let asking = async {
            loop {
                match ask(self.address, path).await {
                    Some(answer) => return answer,
                    None => scraped.notified().await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking)
            .await
            .expect("prometheus answers")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// A path with its parameters.
pub(crate) fn path(base: &str, params: &[(&str, &str)]) -> String {
    let mut path = format!("{base}?");
    for (name, value) in params {
        path.push_str(&format!("{name}="));
        encode_query(value, &mut path);
        path.push('&');
    }
    path
}

/// The data of an answer; `None` where the server does not answer queries yet.
pub(crate) async fn ask(address: SocketAddr, path: &str) -> Option<Value> {
    if tokio::net::TcpStream::connect(address).await.is_err() {
        return None;
    }
    // HTTP/1.0, so that the answer ends with the connection and comes in one piece.
    let (status, _, body) = http(address, &format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n")).await;
    let answer: Value = serde_json::from_str(&body).ok()?;
    assert_eq!(status, 200, "{path}: {body}");
    Some(answer["data"].clone())
}

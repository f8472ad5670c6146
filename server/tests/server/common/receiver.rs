//! A stand-in for an Alertmanager: it keeps what is posted to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::read_head;

/// Where alerts arrive.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    status: Arc<AtomicU16>,
    posted: Arc<Mutex<Vec<Posted>>>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Request line and headers.
    pub head: String,
    /// What was answered.
    pub status: u16,
    /// The alerts.
    pub alerts: Vec<Value>,
}

impl Receiver {
    pub async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let receiver = Receiver {
            address: listener.local_addr().expect("bound"),
            status: Arc::new(AtomicU16::new(200)),
            posted: Arc::default(),
        };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().connection(stream));
            }
        });
        receiver
    }

    /// Answers with this status from now on.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// Every request so far.
    pub fn posted(&self) -> Vec<Posted> {
        self.posted.lock().clone()
    }

    /// The alerts of this name that were taken, oldest first.
    pub fn taken(&self, name: &str) -> Vec<Value> {
        let posted = self.posted().into_iter().filter(|one| one.status == 200);
        let alerts = posted.flat_map(|one| one.alerts);
        alerts
            .filter(|alert| alert["labels"]["alertname"] == name)
            .collect()
    }

    async fn connection(self, mut stream: TcpStream) {
        while let Some(head) = read_head(&mut stream).await {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, length)| length.trim().parse().ok())
                .unwrap_or(0);
            let mut body = vec![0; length];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            let status = self.status.load(Ordering::Relaxed);
            let alerts = serde_json::from_slice(&body).expect("a list of alerts");
            self.posted.lock().push(Posted {
                head,
                status,
                alerts,
            });
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

//! Targets that do what a test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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

//! A server whose answers a test scripts: of targets, of lists of targets, of tokens.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::certificates::Pair;

/// A server of one page that remembers the heads of requests and answers by them.
#[derive(Clone)]
pub struct Scripted {
    pub address: SocketAddr,
    pub heads: Arc<Mutex<Vec<String>>>,
}

type Script = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

impl Scripted {
    pub async fn start(
        tls: Option<&Pair>,
        script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let scripted = Scripted {
            address: listener.local_addr().expect("bound"),
            heads: Arc::default(),
        };
        let acceptor = tls.map(|pair| TlsAcceptor::from(Arc::new(pair.server_config())));
        let (script, heads): (Script, _) = (Arc::new(script), Arc::clone(&scripted.heads));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, heads) = (Arc::clone(&script), Arc::clone(&heads));
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor {
                        None => answer(stream, script, heads).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                answer(stream, script, heads).await;
                            }
                        }
                    }
                });
            }
        });
        scripted
    }

    pub fn last_head(&self) -> String {
        self.heads.lock().last().cloned().unwrap_or_default()
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: Script,
    heads: Arc<Mutex<Vec<String>>>,
) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).expect("ASCII").to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let whole = format!("{head}{}", String::from_utf8_lossy(&body));
        heads.lock().push(whole.clone());
        if stream.write_all(&script(&whole)).await.is_err() {
            return;
        }
    }
}

pub fn status(code: u16, reason: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {code} {reason}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

pub fn json_answer(value: &Value) -> Vec<u8> {
    let body = value.to_string();
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

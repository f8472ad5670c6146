//! A stand-in for a receiver of remote write: it keeps what is posted to it, or fails as a test says.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stillwell_adapters::remote_write::{Protocol, decode};
use stillwell_engine::labels::Labels;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::read_head;

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is kept; 2.0 is told what was written.
    Take,
    /// It is kept after a while.
    TakeLate(Duration),
    /// It is not kept: the status, and more lines of the head.
    Status(u16, &'static str),
    /// It is not kept, and the connection ends without a word.
    Close,
    /// It is not kept, and nothing is answered.
    Hang,
}

/// Floats by series, in the order in which they came.
pub type Taken = BTreeMap<Labels, Vec<(i64, u64)>>;

/// Where samples arrive.
#[derive(Clone)]
pub struct WriteReceiver {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    /// The next answers; then always the last.
    script: VecDeque<Answer>,
    always: Answer,
    heads: Vec<String>,
    bodies: Vec<(Protocol, Vec<u8>)>,
    taken: Taken,
    refused: usize,
}

impl WriteReceiver {
    /// One that gives these answers in turn, and the last of them from then on.
    pub async fn start(script: &[Answer]) -> WriteReceiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let receiver = WriteReceiver {
            address: listener.local_addr().expect("bound"),
            state: Arc::new(Mutex::new(State {
                script: script.iter().cloned().collect(),
                always: script.last().cloned().unwrap_or(Answer::Take),
                heads: Vec::new(),
                bodies: Vec::new(),
                taken: Taken::new(),
                refused: 0,
            })),
        };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().connection(stream));
            }
        });
        receiver
    }

    /// Answers so from now on.
    pub fn answer(&self, answer: Answer) {
        let mut state = self.state.lock();
        state.script.clear();
        state.always = answer;
    }

    /// Request lines and headers, in lower case.
    pub fn heads(&self) -> Vec<String> {
        self.state.lock().heads.clone()
    }

    /// Requests that were kept, packed.
    pub fn bodies(&self) -> Vec<(Protocol, Vec<u8>)> {
        self.state.lock().bodies.clone()
    }

    /// What was kept.
    pub fn taken(&self) -> Taken {
        self.state.lock().taken.clone()
    }

    /// Requests that were not kept.
    pub fn refused(&self) -> usize {
        self.state.lock().refused
    }

    /// Samples of the metric with this name that were kept.
    pub fn count(&self, metric: &str) -> usize {
        let state = self.state.lock();
        let of_metric = |labels: &&Labels| labels.metric_name() == Some(metric);
        let series = state.taken.keys().filter(of_metric);
        series.map(|labels| state.taken[labels].len()).sum()
    }

    async fn connection(self, mut stream: TcpStream) {
        while let Some(head) = read_head(&mut stream).await {
            let head = head.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|length| length.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            let answer = {
                let mut state = self.state.lock();
                state.heads.push(head.clone());
                let next = state.script.pop_front();
                next.unwrap_or_else(|| state.always.clone())
            };
            if let Answer::TakeLate(after) = answer {
                tokio::time::sleep(after).await;
            }
            let said = match answer {
                Answer::Take | Answer::TakeLate(_) => self.keep(&head, body),
                Answer::Status(status, more) => {
                    self.state.lock().refused += 1;
                    format!("HTTP/1.1 {status} x\r\n{more}Content-Length: 0\r\n\r\n")
                }
                Answer::Close => {
                    self.state.lock().refused += 1;
                    return;
                }
                Answer::Hang => {
                    self.state.lock().refused += 1;
                    std::future::pending().await
                }
            };
            if stream.write_all(said.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn keep(&self, head: &str, body: Vec<u8>) -> String {
        let protocol = match head.contains("proto=io.prometheus.write.v2.request") {
            true => Protocol::V2,
            false => Protocol::V1,
        };
        let read = decode(&body, protocol).expect("a request");
        let mut state = self.state.lock();
        let mut count = 0;
        for series in read {
            count += series.floats.len();
            let floats = series
                .floats
                .iter()
                .map(|(at, value)| (at.ms(), value.to_bits()));
            state.taken.entry(series.labels).or_default().extend(floats);
        }
        state.bodies.push((protocol, body));
        let told = match protocol {
            Protocol::V1 => String::new(),
            Protocol::V2 => format!("X-Prometheus-Remote-Write-Samples-Written: {count}\r\n"),
        };
        format!("HTTP/1.1 204 x\r\n{told}\r\n")
    }
}

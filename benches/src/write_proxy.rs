//! Between a sender and a receiver of remote write: passes requests on, or fails in one of the ways in which receivers do.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::load::pause;

/// What becomes of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are read and taken.
    Swallow,
    /// They go to the server at this port.
    Pass(u16),
    /// They go there after a while.
    Slow(u16, Duration),
    /// They get this status, and a 503 when to come back.
    Refuse(u16),
    /// They are not answered; when that ends, their connections are closed and nothing of them is passed on.
    Hold,
    /// Connections are closed without an answer.
    Close,
}

/// How often a mode that holds requests is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What a 503 asks for.
const RETRY_AFTER_S: u64 = 3;

/// A running proxy.
pub struct WriteProxy {
    /// Where it listens.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    mode: Mutex<Mode>,
    requests: AtomicU64,
    requests_of_v2: AtomicU64,
    bytes: AtomicU64,
}

impl WriteProxy {
    /// One that does so with requests.
    pub fn start(mode: Mode) -> std::io::Result<WriteProxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            mode: Mutex::new(mode),
            requests: AtomicU64::new(0),
            requests_of_v2: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let of_threads = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&of_threads);
                // A sender that goes away ends its thread; that is no error of the proxy's.
                thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Ok(WriteProxy { port, shared })
    }

    /// Does so from now on.
    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock() = mode;
    }

    /// Requests, and bytes of their bodies.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.shared.requests.load(Ordering::Relaxed),
            self.shared.bytes.load(Ordering::Relaxed),
        )
    }

    /// Requests of remote write 2.0.
    pub fn requests_of_v2(&self) -> u64 {
        self.shared.requests_of_v2.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut upstream: Option<(u16, TcpStream)> = None;
        loop {
            let Some(message) = message(&mut stream)? else {
                return Ok(());
            };
            self.count(&message);
            let mode = *self.mode.lock();
            let port = match mode {
                Mode::Swallow => {
                    answer(&mut stream, 204)?;
                    continue;
                }
                Mode::Refuse(status) => {
                    answer(&mut stream, status)?;
                    continue;
                }
                Mode::Hold => {
                    while *self.mode.lock() == Mode::Hold {
                        pause(LOOK_AGAIN);
                    }
                    return Ok(());
                }
                Mode::Close => return Ok(()),
                Mode::Slow(port, time) => {
                    pause(time);
                    port
                }
                Mode::Pass(port) => port,
            };
            let kept = upstream.take().filter(|(to, _)| *to == port);
            let mut to = match kept {
                Some((_, to)) => to,
                None => TcpStream::connect(("127.0.0.1", port))?,
            };
            to.write_all(&message)?;
            let Some(answer) = self::message(&mut to)? else {
                return Ok(());
            };
            stream.write_all(&answer)?;
            upstream = Some((port, to));
        }
    }

    fn count(&self, message: &[u8]) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes
            .fetch_add(message.len() as u64, Ordering::Relaxed);
        let v2 = b"proto=io.prometheus.write.v2.Request";
        let head = &message[..message.len().min(2048)];
        if head.windows(v2.len()).any(|bytes| bytes == v2) {
            self.requests_of_v2.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn answer(stream: &mut TcpStream, status: u16) -> std::io::Result<()> {
    let rest = match status {
        503 => format!("Retry-After: {RETRY_AFTER_S}\r\n"),
        _ => String::new(),
    };
    let answer = format!("HTTP/1.1 {status} x\r\n{rest}Content-Length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes())
}

/// A request or an answer, head and body; `None` where the connection ends before it.
fn message(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 64 << 10]);
    let mut whole = usize::MAX;
    while bytes.len() < whole {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..read]);
        if whole == usize::MAX
            && let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length
                .and_then(|length| length.trim().parse().ok())
                .unwrap_or(0);
            whole = end + 4 + length;
        }
    }
    Ok(Some(bytes))
}

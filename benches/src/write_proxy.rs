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
    /// They get this status.
    Refuse(u16),
    /// Connections are closed without an answer.
    Close,
}

/// A running proxy.
pub struct WriteProxy {
    /// Where it listens.
    pub port: u16,
    mode: Arc<Mutex<Mode>>,
    requests: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl WriteProxy {
    /// One that does so with requests.
    pub fn start(mode: Mode) -> std::io::Result<WriteProxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = WriteProxy {
            port: listener.local_addr()?.port(),
            mode: Arc::new(Mutex::new(mode)),
            requests: Arc::default(),
            bytes: Arc::default(),
        };
        let (mode, requests, bytes) = (
            Arc::clone(&proxy.mode),
            Arc::clone(&proxy.requests),
            Arc::clone(&proxy.bytes),
        );
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (mode, requests, bytes) =
                    (Arc::clone(&mode), Arc::clone(&requests), Arc::clone(&bytes));
                // A sender that goes away ends its thread; that is no error of the proxy's.
                thread::spawn(move || drop(serve(stream, &mode, &requests, &bytes)));
            }
        });
        Ok(proxy)
    }

    /// Does so from now on.
    pub fn set(&self, mode: Mode) {
        *self.mode.lock() = mode;
    }

    /// Requests, and bytes of their bodies.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.requests.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }
}

fn serve(
    mut stream: TcpStream,
    mode: &Mutex<Mode>,
    requests: &AtomicU64,
    bytes: &AtomicU64,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut upstream: Option<(u16, TcpStream)> = None;
    loop {
        let Some(message) = message(&mut stream)? else {
            return Ok(());
        };
        requests.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
        let mode = *mode.lock();
        let status = match mode {
            Mode::Swallow => Some(204),
            Mode::Refuse(status) => Some(status),
            Mode::Close => return Ok(()),
            Mode::Slow(_, time) => {
                pause(time);
                None
            }
            Mode::Pass(_) => None,
        };
        if let Some(status) = status {
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes())?;
            continue;
        }
        let (Mode::Pass(port) | Mode::Slow(port, _)) = mode else {
            continue;
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

//! Targets that fail in every way in which a socket can fail, and healthy ones beside them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Between two pieces of what comes slowly.
const DRIP: Duration = Duration::from_millis(50);
/// Of a page of a healthy target.
const SAMPLES: usize = 50;

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// Nobody listens.
    Refused,
    /// The name has no address.
    NoSuchName,
    /// Accepts and says nothing.
    Silent,
    /// Accepts and closes.
    Closed,
    /// Resets the connection in the middle of the body.
    Reset,
    /// A byte of the head now and then.
    DrippingHead,
    /// A byte of the body now and then.
    DrippingBody,
    /// A body without an end.
    EndlessBody,
    /// A head without an end.
    EndlessHead,
    /// Bytes that are no HTTP.
    Garbage,
    /// `Content-Length` of more than there is.
    LengthTooLong,
    /// `Content-Length` of less than there is.
    LengthTooShort,
    /// `Content-Length` that is no number.
    LengthOdd,
    /// Chunks whose size is no number.
    ChunksOdd,
    /// Garbage where TLS is expected.
    TlsGarbage,
    /// Leads to itself.
    RedirectLoop,
    /// Answers with an error.
    Status,
    /// gzip that is none.
    GzipGarbage,
    /// gzip that inflates a thousand times.
    GzipBomb,
    /// HTTP with a body that is no page.
    NoPage,
}

impl Failing {
    /// All of them.
    pub const ALL: [Failing; 20] = [
        Failing::Refused,
        Failing::NoSuchName,
        Failing::Silent,
        Failing::Closed,
        Failing::Reset,
        Failing::DrippingHead,
        Failing::DrippingBody,
        Failing::EndlessBody,
        Failing::EndlessHead,
        Failing::Garbage,
        Failing::LengthTooLong,
        Failing::LengthTooShort,
        Failing::LengthOdd,
        Failing::ChunksOdd,
        Failing::TlsGarbage,
        Failing::RedirectLoop,
        Failing::Status,
        Failing::GzipGarbage,
        Failing::GzipBomb,
        Failing::NoPage,
    ];
}

/// Listeners for every kind.
pub struct Targets {
    healthy: SocketAddr,
    failing: Vec<(Failing, String)>,
}

impl Targets {
    /// Starts them on the current runtime.
    pub async fn start() -> std::io::Result<Targets> {
        let healthy = listen(None).await?;
        let mut failing = Vec::new();
        for how in Failing::ALL {
            let address = match how {
                Failing::NoSuchName => "no-such-name.invalid:9090".to_owned(),
                Failing::Refused => {
                    // Bound and closed again: nobody listens there.
                    let free = TcpListener::bind("127.0.0.1:0").await?;
                    free.local_addr()?.to_string()
                }
                how => listen(Some(how)).await?.to_string(),
            };
            failing.push((how, address));
        }
        Ok(Targets { healthy, failing })
    }

    /// A configuration with so many targets of each, at this interval.
    pub fn configuration(&self, healthy: usize, failing: usize, interval: &str) -> String {
        self.configuration_of("", healthy, failing, interval)
    }

    /// The same with those alone that fail in a way whose name begins so.
    pub fn configuration_of(
        &self,
        kind: &str,
        healthy: usize,
        failing: usize,
        interval: &str,
    ) -> String {
        let kinds = self.failing.iter();
        let kinds: Vec<_> = kinds
            .filter(|(how, _)| format!("{how:?}").starts_with(kind))
            .collect();
        let mut text = format!(
            "global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\nscrape_configs:\n\
             - job_name: healthy\n  static_configs:\n"
        );
        for at in 0..healthy {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "  - {{targets: ['{}'], labels: {{__metrics_path__: /{at}, instance: healthy-{at}}}}}",
                self.healthy
            );
        }
        let failing = if kinds.is_empty() { 0 } else { failing };
        if failing > 0 {
            text.push_str("- job_name: failing\n  static_configs:\n");
        }
        for at in 0..failing {
            let (how, address) = kinds[at % kinds.len()];
            let scheme = match how {
                Failing::TlsGarbage => "https",
                _ => "http",
            };
            let _ = writeln!(
                text,
                "  - {{targets: ['{address}'], labels: {{__metrics_path__: /{at}, __scheme__: {scheme}, how: {how:?}, instance: failing-{at}}}}}"
            );
        }
        text
    }
}

async fn listen(how: Option<Failing>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                match how {
                    None => serve(stream).await,
                    Some(how) => fail(stream, how).await,
                }
                .ok() // the other side hangs up: that is expected
            });
        }
    });
    Ok(address)
}

async fn request(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 2048];
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&piece[..read]);
    }
    Ok(())
}

fn page() -> String {
    let mut page = String::new();
    for at in 0..SAMPLES {
        let _ = writeln!(page, "queue{{pool=\"p{at}\"}} {at}");
    }
    page
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let answer = whole(&page(), "");
    loop {
        request(&mut stream).await?;
        stream.write_all(&answer).await?;
    }
}

/// An answer with a page.
fn whole(page: &str, header: &str) -> Vec<u8> {
    let length = page.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n{header}Content-Length: {length}\r\n\r\n{page}")
        .into_bytes()
}

/// What an answer with a page begins with.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n";

async fn fail(mut stream: TcpStream, how: Failing) -> std::io::Result<()> {
    match how {
        Failing::Refused | Failing::NoSuchName | Failing::Closed => return Ok(()),
        Failing::TlsGarbage => {
            let mut piece = [0; 2048];
            if stream.read(&mut piece).await? > 0 {
                let record = [0x16, 0x03, 0x03, 0xff, 0xff, 7, 7, 7, 7];
                stream.write_all(&record).await?;
            }
            return Ok(());
        }
        _ => request(&mut stream).await?,
    }
    match how {
        Failing::Silent => std::future::pending().await,
        Failing::Reset => {
            let answer = whole(&page(), "");
            stream.write_all(&answer[..answer.len() / 2]).await?;
            stream.flush().await?;
            stream.set_zero_linger()
        }
        Failing::DrippingHead => drip(&mut stream, &whole(&page(), "")).await,
        Failing::DrippingBody => {
            let answer = whole(&page(), "");
            let head = answer.len() - page().len();
            stream.write_all(&answer[..head]).await?;
            drip(&mut stream, &answer[head..]).await
        }
        Failing::EndlessBody => {
            stream.write_all(format!("{OK}\r\n").as_bytes()).await?;
            endless(&mut stream, "queue{pool=\"p\"} 1\n").await
        }
        Failing::EndlessHead => {
            stream.write_all(OK.as_bytes()).await?;
            endless(&mut stream, "X-More: and more\r\n").await
        }
        Failing::RedirectLoop => loop {
            let answer = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).await?;
            request(&mut stream).await?;
        },
        how => stream.write_all(&wrong(how)).await,
    }
}

/// An answer that is wrong in itself.
fn wrong(how: Failing) -> Vec<u8> {
    let page = page();
    let text = match how {
        Failing::LengthTooLong => {
            format!("{OK}Content-Length: {}\r\n\r\n{page}", page.len() + 100)
        }
        Failing::LengthTooShort => format!("{OK}Content-Length: 10\r\n\r\n{page}"),
        Failing::LengthOdd => format!("{OK}Content-Length: minus one\r\n\r\n{page}"),
        Failing::ChunksOdd => {
            format!("{OK}Transfer-Encoding: chunked\r\n\r\nzz\r\n{page}\r\n0\r\n\r\n")
        }
        Failing::Status => {
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\nwrong".to_owned()
        }
        Failing::GzipGarbage => return whole(&page, "Content-Encoding: gzip\r\n"),
        Failing::NoPage => return whole("<html>{{{ not a page\n", ""),
        Failing::GzipBomb => {
            let bomb = BOMB.as_slice();
            let length = bomb.len();
            let head = format!("{OK}Content-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n");
            return [head.as_bytes(), bomb].concat();
        }
        // No HTTP at all; the others have answers of their own.
        _ => return (0..4096_u32).map(|at| (at * 131 % 251) as u8).collect(),
    };
    text.into_bytes()
}

/// The same line again and again.
async fn endless(stream: &mut TcpStream, line: &str) -> std::io::Result<()> {
    let piece = line.repeat(500);
    loop {
        stream.write_all(piece.as_bytes()).await?;
        sleep(DRIP).await;
    }
}

/// Made once: making it takes as long as a healthy target's answer may.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| bomb().unwrap_or_default()); // memory takes it

/// 20 MB of newlines.
fn bomb() -> std::io::Result<Vec<u8>> {
    use std::io::Write as _;
    let level = flate2::Compression::fast();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    let piece = [b'\n'; 1 << 16];
    for _ in 0..320 {
        encoder.write_all(&piece)?;
    }
    encoder.finish()
}

async fn drip(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        sleep(DRIP).await;
    }
    Ok(())
}

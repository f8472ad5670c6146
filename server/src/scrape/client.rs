//! Fetches one page over a connection that is kept between scrapes.
//!
//! The connection is driven by the task that waits for the answer, not by a task of its own: one wake-up per event.
//! Between scrapes nobody drives it, so a server's hang-up shows only at the next request; that request is then
//! repeated once on a new connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::error::{ScrapeError, http_error};
use super::url::Url;

/// Prometheus follows as many (Go's default).
const REDIRECTS_MAX: usize = 10;
/// One exact buffer per connection; large pages stream through it, small ones fit.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// What every request of a target has in common.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Where the page is.
    pub url: Url,
    /// For the whole scrape, redirects included.
    pub timeout_ms: u64,
    /// As sent and, inflated, as read.
    pub body_bytes_max: u64,
    /// Whether 3xx answers lead elsewhere or are failures.
    pub follow_redirects: bool,
    /// Whether to ask for gzip.
    pub ask_gzip: bool,
    /// Value of `Accept`.
    pub accept: &'static str,
}

/// What came with a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// `Content-Type`, empty where there is none.
    pub content_type: String,
    /// Whether the body is still gzipped.
    pub gzipped: bool,
}

/// Fetches pages of one target.
pub struct Client {
    options: FetchOptions,
    headers: HeaderMap,
    kept: Option<Connection>,
}

impl Client {
    /// A client without a connection yet.
    pub fn new(options: FetchOptions) -> Client {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(options.accept));
        let encoding = if options.ask_gzip { "gzip" } else { "identity" };
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding));
        let agent = concat!("stillwell/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        let timeout_s = options.timeout_ms as f64 / 1000.0;
        if let Ok(value) = HeaderValue::from_str(&timeout_s.to_string()) {
            headers.insert("x-prometheus-scrape-timeout-seconds", value);
        }
        Client {
            options,
            headers,
            kept: None,
        }
    }

    /// What it fetches.
    pub fn options(&self) -> &FetchOptions {
        &self.options
    }

    /// Fetches the page into `body` (emptied first), within the timeout.
    pub async fn fetch(&mut self, body: &mut Vec<u8>) -> Result<Fetched, ScrapeError> {
        body.clear();
        let timeout_ms = self.options.timeout_ms;
        let mut during = "connecting";
        let fetching = self.fetch_untimed(body, &mut during);
        match tokio::time::timeout(Duration::from_millis(timeout_ms), fetching).await {
            Ok(result) => result,
            Err(_) => {
                self.kept = None; // half an answer may still be on its way
                Err(ScrapeError::Timeout { timeout_ms, during })
            }
        }
    }

    /// Fetches an answer of any status, for whoever reads errors too; without a timeout and without redirects.
    pub async fn fetch_any(&mut self, body: &mut Vec<u8>) -> Result<(u16, Fetched), ScrapeError> {
        body.clear();
        let url = self.options.url.clone();
        let (mut connection, response) = self.request(&url, &mut "").await?;
        let (status, fetched) = (response.status().as_u16(), facts(response.headers())?);
        connection
            .read_body(response.into_body(), self.options.body_bytes_max, body)
            .await?;
        Ok((status, fetched))
    }

    async fn fetch_untimed(
        &mut self,
        body: &mut Vec<u8>,
        during: &mut &'static str,
    ) -> Result<Fetched, ScrapeError> {
        let mut url = self.options.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let (mut connection, response) = self.request(&url, during).await?;
            let status = response.status();
            if status.is_redirection()
                && self.options.follow_redirects
                && matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
            {
                let location = response
                    .headers()
                    .get(header::LOCATION)
                    .and_then(|value| value.to_str().ok())
                    .ok_or(ScrapeError::RedirectNowhere(status.as_u16()))?;
                url = url.join(location).map_err(ScrapeError::Redirect)?;
                continue; // the unread rest of a redirect is not worth its connection
            }
            if status != hyper::StatusCode::OK {
                let reason = status.canonical_reason().unwrap_or("").to_owned();
                return Err(ScrapeError::Status(status.as_u16(), reason));
            }
            let fetched = facts(response.headers())?;
            *during = "reading the page";
            let limit_bytes = self.options.body_bytes_max;
            connection
                .read_body(response.into_body(), limit_bytes, body)
                .await?;
            self.kept = Some(connection);
            return Ok(fetched);
        }
        Err(ScrapeError::Redirects(REDIRECTS_MAX))
    }

    /// Sends the request on the kept connection or, where there is none or it turns out dead, on a new one.
    async fn request(
        &mut self,
        url: &Url,
        during: &mut &'static str,
    ) -> Result<(Connection, Response<Incoming>), ScrapeError> {
        if let Some(mut kept) = self
            .kept
            .take()
            .filter(|kept| kept.authority == url.authority)
        {
            *during = "waiting for the answer";
            if let Ok(response) = kept.send(self.build(url)?).await {
                return Ok((kept, response));
            }
        }
        *during = "connecting";
        let mut connection = Connection::open(url).await?;
        *during = "waiting for the answer";
        let response = connection
            .send(self.build(url)?)
            .await
            .map_err(|error| http_error(&error))?;
        Ok((connection, response))
    }

    fn build(&self, url: &Url) -> Result<Request<Empty<Bytes>>, ScrapeError> {
        let mut request = Request::get(url.path_and_query.as_str())
            .header(header::HOST, url.authority.as_str())
            .body(Empty::new())
            .map_err(|error| ScrapeError::Http(format!("{url}: {error}")))?;
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }
}

fn facts(headers: &HeaderMap) -> Result<Fetched, ScrapeError> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    };
    let gzipped = match text(header::CONTENT_ENCODING).to_ascii_lowercase().as_str() {
        "" | "identity" => false,
        "gzip" | "x-gzip" => true,
        other => return Err(ScrapeError::Encoding(other.to_owned())),
    };
    Ok(Fetched {
        content_type: text(header::CONTENT_TYPE).to_owned(),
        gzipped,
    })
}

type Driver = http1::Connection<TokioIo<TcpStream>, Empty<Bytes>>;

struct Connection {
    authority: String,
    sender: http1::SendRequest<Empty<Bytes>>,
    /// `None` once the connection has ended.
    driver: Option<Pin<Box<Driver>>>,
}

impl Connection {
    async fn open(url: &Url) -> Result<Connection, ScrapeError> {
        let (host, port) = url.host_port().map_err(ScrapeError::Redirect)?;
        let addresses = tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| ScrapeError::Resolve(host.to_owned(), error))?;
        let mut last = None;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Connection::handshake(url, stream).await,
                Err(error) => last = Some(ScrapeError::Connect(address.to_string(), error)),
            }
        }
        let nowhere = || std::io::Error::new(std::io::ErrorKind::NotFound, "no address");
        Err(last.unwrap_or_else(|| ScrapeError::Resolve(host.to_owned(), nowhere())))
    }

    async fn handshake(url: &Url, stream: TcpStream) -> Result<Connection, ScrapeError> {
        stream.set_nodelay(true).ok(); // a request is one small write; without it only latency suffers
        let (sender, driver) = http1::Builder::new()
            .read_buf_exact_size(Some(READ_BUFFER_BYTES))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| http_error(&error))?;
        Ok(Connection {
            authority: url.authority.clone(),
            sender,
            driver: Some(Box::pin(driver)),
        })
    }

    async fn send(&mut self, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let response = self.sender.send_request(request);
        drive(&mut self.driver, response).await
    }

    async fn read_body(
        &mut self,
        mut incoming: Incoming,
        limit_bytes: u64,
        body: &mut Vec<u8>,
    ) -> Result<(), ScrapeError> {
        let too_large = ScrapeError::TooLarge {
            limit_bytes,
            inflated: false,
        };
        let announced = incoming.size_hint().lower();
        if announced > limit_bytes {
            return Err(too_large);
        }
        while let Some(frame) = drive(&mut self.driver, incoming.frame()).await {
            let frame = frame.map_err(|error| http_error(&error))?;
            if let Some(data) = frame.data_ref() {
                if (body.len() + data.len()) as u64 > limit_bytes {
                    return Err(too_large);
                }
                make_room(body, data.len(), announced);
                body.extend_from_slice(data);
            }
        }
        Ok(())
    }
}

/// Grows by doubling, for an announcement alone must not reserve the whole limit, but not past what was announced: a
/// pooled buffer then holds a page and no more.
fn make_room(body: &mut Vec<u8>, more: usize, announced: u64) {
    let needed = body.len() + more;
    if needed > body.capacity() {
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        let doubled = needed.max(2 * body.capacity()).max(READ_BUFFER_BYTES);
        body.reserve_exact(doubled.min(announced.max(needed)) - body.len());
    }
}

/// Awaits `future` while driving the connection that it depends on.
async fn drive<F: Future>(driver: &mut Option<Pin<Box<Driver>>>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        if let Some(running) = driver
            && running.as_mut().poll(context).is_ready()
        {
            *driver = None; // why it ended reaches the future through hyper's channel
        }
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;

//! Fetches one page over a connection that is kept between scrapes.
//!
//! Between scrapes nobody looks at the connection, so a server's hang-up shows only at the next request; that request
//! is then repeated once on a new connection.

use std::time::Duration;

use tokio::net::TcpStream;

use super::error::ScrapeError;
use super::http::{Connection, Framing, Head};
use super::lane::{Lane, Place};
use super::url::Url;

/// Prometheus follows as many (Go's default).
const REDIRECTS_MAX: usize = 10;

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

/// A fetched page.
#[derive(Debug)]
pub struct Page {
    /// As it was sent. Give it back to the lane's buffers.
    pub body: Vec<u8>,
    /// `Content-Type`, empty where there is none.
    pub content_type: String,
    /// Whether the body is still gzipped.
    pub gzipped: bool,
    /// Its place in the lane; the next page has it once this one is dropped.
    pub place: Option<Place>,
}

/// Fetches pages of one target.
pub struct Client {
    options: FetchOptions,
    /// The lines of a request below its first two.
    headers: String,
    /// The request for `options.url`, the same every time.
    request: Vec<u8>,
    kept: Option<Connection<TcpStream>>,
    /// Bytes of the newest page.
    page_bytes: u64,
    /// It kept us waiting in the middle of a page the last time.
    stalls: bool,
}

impl Client {
    /// A client without a connection yet.
    pub fn new(options: FetchOptions) -> Client {
        let accept = options.accept;
        let encoding = if options.ask_gzip { "gzip" } else { "identity" };
        let agent = concat!("stillwell/", env!("CARGO_PKG_VERSION"));
        let timeout_s = options.timeout_ms as f64 / 1000.0;
        let headers = format!(
            "accept: {accept}\r\naccept-encoding: {encoding}\r\nuser-agent: {agent}\r\n\
             x-prometheus-scrape-timeout-seconds: {timeout_s}\r\n\r\n"
        );
        Client {
            request: request(&options.url, &headers),
            options,
            headers,
            kept: None,
            page_bytes: 0,
            stalls: false,
        }
    }

    /// What it fetches.
    pub fn options(&self) -> &FetchOptions {
        &self.options
    }

    /// Fetches the page within the timeout.
    pub async fn fetch(&mut self, lane: &Lane) -> Result<Page, ScrapeError> {
        let timeout_ms = self.options.timeout_ms;
        let mut during = "connecting";
        let fetching = self.fetch_untimed(lane, &mut during);
        match tokio::time::timeout(Duration::from_millis(timeout_ms), fetching).await {
            Ok(result) => result,
            // The connection went with the fetch: half an answer may still be on its way.
            Err(_) => Err(ScrapeError::Timeout { timeout_ms, during }),
        }
    }

    /// Fetches an answer of any status, for whoever reads errors too; without a timeout and without redirects.
    pub async fn fetch_any(&mut self) -> Result<(u16, Page), ScrapeError> {
        let url = self.options.url.clone();
        let (mut connection, head) = self.ask(&url, &mut "").await?;
        let page = self
            .read_page(&mut connection, &head, &Lane::default())
            .await?;
        Ok((head.status, page))
    }

    async fn fetch_untimed(
        &mut self,
        lane: &Lane,
        during: &mut &'static str,
    ) -> Result<Page, ScrapeError> {
        let mut url = self.options.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let (mut connection, head) = self.ask(&url, during).await?;
            if matches!(head.status, 301 | 302 | 303 | 307 | 308) && self.options.follow_redirects {
                let location = head
                    .location
                    .as_deref()
                    .ok_or(ScrapeError::RedirectNowhere(head.status))?;
                url = url.join(location).map_err(ScrapeError::Redirect)?;
                continue; // the unread rest of a redirect is not worth its connection
            }
            if head.status != 200 {
                return Err(ScrapeError::Status(head.status, head.reason));
            }
            *during = "reading the page";
            let page = self.read_page(&mut connection, &head, lane).await?;
            if head.keep_alive {
                self.kept = Some(connection);
            }
            return Ok(page);
        }
        Err(ScrapeError::Redirects(REDIRECTS_MAX))
    }

    /// Sends the request on the kept connection or, where there is none or it turns out dead, on a new one.
    async fn ask(
        &mut self,
        url: &Url,
        during: &mut &'static str,
    ) -> Result<(Connection<TcpStream>, Head), ScrapeError> {
        let redirected;
        let request = if *url == self.options.url {
            &self.request
        } else {
            redirected = request(url, &self.headers);
            &redirected
        };
        let kept = self.kept.take();
        if let Some(mut kept) = kept.filter(|kept| kept.authority == url.authority) {
            *during = "waiting for the answer";
            if let Ok(head) = kept.ask(request).await {
                return Ok((kept, head));
            }
        }
        *during = "connecting";
        let stream = connect(url).await?;
        let mut connection = Connection::new(url.authority.clone(), stream);
        *during = "waiting for the answer";
        let head = connection.ask(request).await?;
        Ok((connection, head))
    }

    async fn read_page(
        &mut self,
        connection: &mut Connection<TcpStream>,
        head: &Head,
        lane: &Lane,
    ) -> Result<Page, ScrapeError> {
        let gzipped = match head.content_encoding.as_str() {
            "" | "identity" => false,
            "gzip" | "x-gzip" => true,
            other => return Err(ScrapeError::Encoding(other.to_owned())),
        };
        let expected_bytes = match head.framing {
            Framing::Length(length) => length,
            Framing::Chunked | Framing::Close => self.page_bytes,
        };
        let mut place = match self.stalls {
            false => lane.enter(expected_bytes).await,
            true => None,
        };
        self.stalls = false;
        let mut page = lane.buffers.take();
        let mut body = connection.begin(head.framing, self.options.body_bytes_max, &mut page)?;
        while !body.is_done() {
            match Lane::part(connection.read_more(&mut body, &mut page)).await {
                Some(read) => read?,
                None => (self.stalls, place) = (true, None),
            }
        }
        self.page_bytes = page.len() as u64;
        Ok(Page {
            body: page,
            content_type: head.content_type.clone(),
            gzipped,
            place,
        })
    }
}

fn request(url: &Url, headers: &str) -> Vec<u8> {
    let (path, host) = (&url.path_and_query, &url.authority);
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}").into_bytes()
}

async fn connect(url: &Url) -> Result<TcpStream, ScrapeError> {
    let (host, port) = url.host_port().map_err(ScrapeError::Redirect)?;
    let addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| ScrapeError::Resolve(host.to_owned(), error))?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).ok(); // a request is one small write; without it only latency suffers
                return Ok(stream);
            }
            Err(error) => last = Some(ScrapeError::Connect(address.to_string(), error)),
        }
    }
    let nowhere = || std::io::Error::new(std::io::ErrorKind::NotFound, "no address");
    Err(last.unwrap_or_else(|| ScrapeError::Resolve(host.to_owned(), nowhere())))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;

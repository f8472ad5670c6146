//! Fetches one page over a connection that is kept between scrapes.
//!
//! Between scrapes nobody looks at the connection, so a server's hang-up shows only at the next request; that request
//! is then repeated once on a new connection.

use std::sync::Arc;
use std::time::Duration;

use stillwell_engine::NotKnown;

use super::error::ScrapeError;
use super::fetch_limiter::{FetchLimiter, Permit};
use super::page_memory::{Lease, Progress};
use super::refusal;
use crate::http_client::{
    Connection, Framing, Head, HttpError, Identity, Resolver, Stream, Url, connect, request_head,
    same_host,
};

/// Prometheus follows as many (Go's default).
const REDIRECTS_MAX: usize = 10;
/// A refusal says why in its first words, and at once.
const REFUSAL_BYTES_MAX: usize = 2 << 10;
const REFUSAL_WAIT: Duration = Duration::from_millis(100);
/// Bytes of a page that are read before other targets have their turn: 0.1 ms of copying.
const TURN_BYTES: usize = 256 << 10;

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
    /// Whether to ask for a compressed page.
    pub ask_compressed: bool,
    /// Value of `Accept`.
    pub accept: String,
    /// A page that a cache has had for longer is none of now.
    pub age_ms_max: u64,
}

/// How targets are reached: shared by those of a job.
#[derive(Clone)]
pub struct Access {
    /// Credentials, TLS, proxy.
    pub identity: Arc<Identity>,
    /// Names to addresses.
    pub resolver: Resolver,
}

impl Default for Access {
    fn default() -> Access {
        Access {
            identity: Identity::anonymous(),
            resolver: Resolver::default(),
        }
    }
}

/// How a page is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

/// A fetched page.
#[derive(Debug)]
pub struct Page {
    /// As it was sent. Give it back to the limiter's buffers.
    pub body: Vec<u8>,
    /// `Content-Type`, empty where there is none.
    pub content_type: String,
    /// How the body is compressed, still.
    pub encoding: Encoding,
    /// Its permit; another page has it once this one is dropped.
    pub place: Option<Permit>,
    /// What its buffers hold.
    pub lease: Lease,
    /// What is not known of what it should say: of a page that a part of this process writes.
    pub not_known: NotKnown,
}

/// Fetches pages of one target.
pub struct Client {
    options: FetchOptions,
    access: Access,
    /// The lines of every request below its first two, without the empty line at their end.
    headers: String,
    /// The request for `options.url` where it is the same every time.
    request: Option<Vec<u8>>,
    kept: Option<Connection<Stream>>,
    /// Bytes of the newest page.
    page_bytes: u64,
    /// What the buffers of one like the newest good page take, with room to grow and what it inflates to.
    known_bytes: u64,
    /// It kept us waiting in the middle of a page the last time.
    stalls: bool,
}

impl Client {
    /// A client without a connection yet.
    pub fn new(options: FetchOptions, access: Access) -> Client {
        let accept = &options.accept;
        let encoding = match options.ask_compressed {
            true => "zstd, gzip",
            false => "identity",
        };
        let agent = concat!("stillwell/", env!("CARGO_PKG_VERSION"));
        let timeout_s = options.timeout_ms as f64 / 1000.0;
        let headers = format!(
            "accept: {accept}\r\naccept-encoding: {encoding}\r\nuser-agent: {agent}\r\n\
             x-prometheus-scrape-timeout-seconds: {timeout_s}\r\n"
        );
        let constant = access.identity.adds_nothing();
        let head = request_head("GET", &options.url, access.identity.transport()).ok();
        let request = head.filter(|_| constant);
        let request = request.map(|head| format!("{head}{headers}\r\n").into_bytes());
        Client {
            request,
            options,
            access,
            headers,
            kept: None,
            page_bytes: 0,
            known_bytes: 0,
            stalls: false,
        }
    }

    /// What it fetches.
    pub fn options(&self) -> &FetchOptions {
        &self.options
    }

    /// The newest page was good: buffers of the next one may take so many bytes, whatever others hold.
    pub fn set_known(&mut self, bytes: u64) {
        self.known_bytes = bytes;
    }

    /// Fetches the page within the timeout.
    pub async fn fetch(&mut self, limiter: &FetchLimiter) -> Result<Page, ScrapeError> {
        let timeout_ms = self.options.timeout_ms;
        let mut during = "connecting";
        let fetching = self.fetch_untimed(limiter, &mut during);
        match tokio::time::timeout(Duration::from_millis(timeout_ms), fetching).await {
            Ok(result) => result,
            // The connection went with the fetch: half an answer may still be on its way.
            Err(_) => Err(ScrapeError::Timeout { timeout_ms, during }),
        }
    }

    async fn fetch_untimed(
        &mut self,
        limiter: &FetchLimiter,
        during: &mut &'static str,
    ) -> Result<Page, ScrapeError> {
        let mut url = self.options.url.clone();
        let mut ours = true;
        for _ in 0..=REDIRECTS_MAX {
            let (mut connection, head) = self.ask(&url, ours, during).await?;
            if matches!(head.status, 301 | 302 | 303 | 307 | 308) && self.options.follow_redirects {
                let location = head
                    .location
                    .as_deref()
                    .ok_or(ScrapeError::RedirectNowhere(head.status))?;
                let next = url.join(location).map_err(HttpError::Redirect)?;
                ours = ours && same_host(&url, &next); // credentials are for the host that they were given for
                url = next;
                continue; // the unread rest of a redirect is not worth its connection
            }
            if head.status != 200 {
                *during = "reading the refusal";
                return Err(self.refusal(connection, head, &url).await);
            }
            if let Some(age_s) = head.age_s
                && age_s.saturating_mul(1_000) > self.options.age_ms_max
            {
                return Err(ScrapeError::Cached { age_s });
            }
            *during = "reading the page";
            let page = self.read_page(&mut connection, &head, limiter).await?;
            if head.keep_alive {
                self.kept = Some(connection);
            }
            return Ok(page);
        }
        Err(ScrapeError::Redirects(REDIRECTS_MAX))
    }

    /// Sends the request on the kept connection or, where there is none or it turns out dead, on a new one. `ours` says
    /// that the server may see our credentials.
    async fn ask(
        &mut self,
        url: &Url,
        ours: bool,
        during: &mut &'static str,
    ) -> Result<(Connection<Stream>, Head), ScrapeError> {
        let Access { identity, resolver } = &self.access;
        let made;
        let request = match &self.request {
            Some(request) if *url == self.options.url => request,
            _ => {
                *during = "getting credentials";
                let head = request_head("GET", url, identity.transport())?;
                let shown = match ours {
                    // Boxed, because it is rare: every target's task would hold room for it.
                    true => Some(Box::pin(identity.header_lines(resolver)).await?),
                    false => None,
                };
                let shown = shown.as_ref().map_or("", |lines| lines.expose());
                made = format!("{head}{}{shown}\r\n", self.headers).into_bytes();
                &made
            }
        };
        let kept = self.kept.take();
        if let Some(mut kept) = kept.filter(|kept| kept.leads_to(url)) {
            *during = "waiting for the answer";
            if let Ok(head) = kept.ask(request).await {
                return Ok((kept, head));
            }
        }
        *during = "connecting";
        // Boxed for the same reason.
        let mut connection = Box::pin(connect(url, identity.transport(), resolver)).await?;
        *during = "waiting for the answer";
        let head = connection.ask(request).await?;
        Ok((connection, head))
    }

    /// Why a target gives no page, with what to do about it where its first words tell.
    async fn refusal(
        &self,
        mut connection: Connection<Stream>,
        head: Head,
        url: &Url,
    ) -> ScrapeError {
        if head.status == 401 {
            self.access.identity.refused();
        }
        let mut words = Vec::new();
        let reading = async {
            let limit_bytes = self.options.body_bytes_max;
            let mut body = connection.begin(head.framing, limit_bytes, &mut words)?;
            while !body.is_done() && words.len() < REFUSAL_BYTES_MAX {
                connection.read_more(&mut body, &mut words).await?;
            }
            Ok::<(), HttpError>(())
        };
        // What came in time is what there is.
        let _ = tokio::time::timeout(REFUSAL_WAIT, reading).await;
        words.truncate(REFUSAL_BYTES_MAX);
        let words = String::from_utf8_lossy(&words);
        ScrapeError::Status {
            code: head.status,
            reason: head.reason,
            advice: refusal::advice(head.status, &words, url),
        }
    }

    async fn read_page(
        &mut self,
        connection: &mut Connection<Stream>,
        head: &Head,
        limiter: &FetchLimiter,
    ) -> Result<Page, ScrapeError> {
        let encoding = match head.content_encoding.as_str() {
            "gzip" | "x-gzip" => Encoding::Gzip,
            "zstd" => Encoding::Zstd,
            // What was not asked for is taken as it comes, as Prometheus does: a plain page is one, whatever it is called.
            _ => Encoding::Identity,
        };
        let expected_bytes = match head.framing {
            Framing::Length(length) => length,
            Framing::Chunked | Framing::Close => self.page_bytes,
        };
        let mut place = match self.stalls {
            false => limiter.enter(expected_bytes).await,
            true => None,
        };
        self.stalls = false;
        let mut lease = limiter.memory.lease(self.known_bytes);
        let mut page = limiter.buffers.take(self.page_bytes as usize);
        let mut body = connection.begin(head.framing, self.options.body_bytes_max, &mut page)?;
        let mut progress = Progress::new(&lease);
        let mut turn_ends = TURN_BYTES;
        while !body.is_done() {
            lease.cover(body.room(&page) as u64)?;
            match FetchLimiter::part(connection.read_more(&mut body, &mut page)).await {
                Some(read) => read?,
                None => (self.stalls, place) = (true, None),
            }
            if progress.gives_way(page.len(), &lease) {
                return Err(ScrapeError::GaveWay(page.len()));
            }
            if page.len() >= turn_ends {
                tokio::task::yield_now().await;
                turn_ends = page.len() + TURN_BYTES;
            }
        }
        // Where an answer says no length, a text that ends within a line is all that tells of a server that died as it wrote.
        let is_text = encoding == Encoding::Identity && head.content_type.contains("text");
        let is_whole = page.last().is_none_or(|last| *last == b'\n');
        if head.framing == Framing::Close && is_text && !is_whole {
            return Err(ScrapeError::CutOff { bytes: page.len() });
        }
        self.page_bytes = page.len() as u64;
        Ok(Page {
            body: page,
            content_type: head.content_type.clone(),
            encoding,
            place,
            lease,
            not_known: NotKnown::default(),
        })
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;

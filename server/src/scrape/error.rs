//! Why a scrape failed, in the words that `/api/v1/targets` and the log show.

use std::fmt;
use std::io;

use super::url::UrlError;

/// One failed scrape.
#[derive(Debug)]
#[non_exhaustive]
pub enum ScrapeError {
    /// The name did not resolve.
    Resolve(String, io::Error),
    /// No address of the host could be connected to.
    Connect(String, io::Error),
    /// The connection broke or what came is not HTTP.
    Http(String),
    /// It took longer than the timeout.
    Timeout {
        /// The timeout.
        timeout_ms: u64,
        /// What it was waiting for.
        during: &'static str,
    },
    /// Not 200.
    Status(u16, String),
    /// A redirect that leads nowhere.
    Redirect(UrlError),
    /// A redirect without a `Location`.
    RedirectNowhere(u16),
    /// Too many redirects.
    Redirects(usize),
    /// The page is larger than allowed.
    TooLarge {
        /// The limit.
        limit_bytes: u64,
        /// Whether it was so only after inflating.
        inflated: bool,
    },
    /// An encoding that was not asked for.
    Encoding(String),
    /// The gzip stream is broken.
    Gzip(&'static str),
    /// The page does not parse or does not keep a limit: what the engine says.
    Page(String),
}

impl fmt::Display for ScrapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScrapeError::Resolve(host, error) => write!(f, "resolve {host}: {error}"),
            ScrapeError::Connect(address, error) => write!(f, "connect to {address}: {error}"),
            ScrapeError::Http(message) => f.write_str(message),
            ScrapeError::Timeout { timeout_ms, during } => {
                write!(
                    f,
                    "context deadline exceeded: no answer within {timeout_ms} ms ({during})"
                )
            }
            ScrapeError::Status(code, reason) => {
                write!(f, "server returned HTTP status {code} {reason}")
            }
            ScrapeError::Redirect(error) => write!(f, "redirect: {error}"),
            ScrapeError::RedirectNowhere(code) => {
                write!(f, "redirect: status {code} without a Location header")
            }
            ScrapeError::Redirects(count) => write!(f, "stopped after {count} redirects"),
            ScrapeError::TooLarge {
                limit_bytes,
                inflated,
            } => {
                let what = if *inflated { "inflated page" } else { "page" };
                write!(
                    f,
                    "body size limit exceeded: {what} is larger than {limit_bytes} bytes (body_size_limit)"
                )
            }
            ScrapeError::Encoding(name) => write!(f, "content encoding {name:?} was not asked for"),
            ScrapeError::Gzip(what) => write!(f, "gzip: {what}"),
            ScrapeError::Page(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ScrapeError {}

//! Why a request failed.

use std::fmt;
use std::io;

use super::url::UrlError;

/// One failed request.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// The name did not resolve: the name and why.
    Resolve(String, String),
    /// No address of the host could be connected to.
    Connect(String, io::Error),
    /// The server was not accepted, or did not accept us: whom and why.
    Tls(String, String),
    /// The proxy refused.
    Proxy(String),
    /// Credentials or certificates cannot be had.
    Credentials(String),
    /// The connection broke or what came is not HTTP.
    Broken(String),
    /// A redirect that leads nowhere.
    Redirect(UrlError),
    /// The page is larger than allowed.
    TooLarge {
        /// The limit.
        limit_bytes: u64,
        /// Whether it was so only after inflating.
        inflated: bool,
    },
    /// An encoding that was not asked for.
    Encoding(String),
    /// No answer in time.
    Timeout(u64),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Resolve(host, why) => write!(f, "resolve {host}: {why}"),
            HttpError::Connect(address, error) => write!(f, "connect to {address}: {error}"),
            HttpError::Tls(host, why) => write!(f, "TLS with {host}: {why}"),
            HttpError::Proxy(why) => write!(f, "proxy: {why}"),
            HttpError::Credentials(why) => write!(f, "credentials: {why}"),
            HttpError::Broken(message) => f.write_str(message),
            HttpError::Redirect(error) => write!(f, "redirect: {error}"),
            HttpError::TooLarge {
                limit_bytes,
                inflated,
            } => {
                let what = if *inflated { "inflated page" } else { "page" };
                write!(
                    f,
                    "body size limit exceeded: {what} is larger than {limit_bytes} bytes (body_size_limit)"
                )
            }
            HttpError::Encoding(name) => write!(f, "content encoding {name:?} was not asked for"),
            HttpError::Timeout(ms) => write!(f, "no answer within {ms} ms"),
        }
    }
}

impl std::error::Error for HttpError {}

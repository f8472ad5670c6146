//! Why a scrape failed, in the words that `/api/v1/targets` and the log show.

use std::fmt;

use super::page_memory::TooManyPages;
use crate::http_client::HttpError;

const TEXT_BYTES_MAX: usize = 1 << 10;

/// One failed scrape.
#[derive(Debug)]
#[non_exhaustive]
pub enum ScrapeError {
    /// The page was not had.
    Http(HttpError),
    /// It took longer than the timeout.
    Timeout {
        /// The timeout.
        timeout_ms: u64,
        /// What it was waiting for.
        during: &'static str,
    },
    /// Not 200.
    Status {
        /// The code.
        code: u16,
        /// The words beside it.
        reason: String,
        /// What to do about it, where that is known; begins with `: `.
        advice: String,
    },
    /// A cache answered with an old page.
    Cached {
        /// For how long it has had the page.
        age_s: u64,
    },
    /// An answer without a length ended within a line.
    CutOff {
        /// How much of it came.
        bytes: usize,
    },
    /// A redirect without a `Location`.
    RedirectNowhere(u16),
    /// Too many redirects.
    Redirects(usize),
    /// Pages under way hold too much.
    TooManyPages(TooManyPages),
    /// Other pages needed the memory of one that did not get on; so many bytes of it had come.
    GaveWay(usize),
    /// The gzip stream is broken.
    Gzip(&'static str),
    /// The zstd stream is broken.
    Zstd(&'static str),
    /// The page does not parse or does not keep a limit: what the engine says.
    Page(String),
    /// Nobody asked for a page: what keeps this program from asking.
    NotAsked(String),
}

impl ScrapeError {
    /// Whether the target has answered all the same, so that its process was there. A proxy in front of it answers with 502 to
    /// 504, with a redirect or from a cache while it is not, and a page that is cut off may be its last.
    pub fn is_answer(&self) -> bool {
        match self {
            ScrapeError::Status { code, .. } => !(502..=504).contains(code),
            ScrapeError::Gzip(_) | ScrapeError::Zstd(_) | ScrapeError::Page(_) => true,
            _ => false,
        }
    }

    /// What is kept of it for each target: as much as anybody reads, however much a peer told.
    pub(super) fn text(&self) -> String {
        let mut text = self.to_string();
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.shrink_to_fit();
        text
    }
}

impl From<HttpError> for ScrapeError {
    fn from(error: HttpError) -> ScrapeError {
        ScrapeError::Http(error)
    }
}

impl From<TooManyPages> for ScrapeError {
    fn from(error: TooManyPages) -> ScrapeError {
        ScrapeError::TooManyPages(error)
    }
}

impl fmt::Display for ScrapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScrapeError::Http(error) => error.fmt(f),
            ScrapeError::Timeout { timeout_ms, during } => {
                write!(
                    f,
                    "context deadline exceeded: no answer within {timeout_ms} ms ({during})"
                )
            }
            ScrapeError::Status {
                code,
                reason,
                advice,
            } => write!(f, "server returned HTTP status {code} {reason}{advice}"),
            ScrapeError::Cached { age_s } => write!(
                f,
                "a cache answered with a page of {age_s} s ago (header `Age`): scrape the target itself"
            ),
            ScrapeError::CutOff { bytes } => write!(
                f,
                "the page ends within a line, after {bytes} bytes, and its answer says no length: the server may have ended \
                 as it wrote; a last line ends with a line feed"
            ),
            ScrapeError::RedirectNowhere(code) => {
                write!(f, "redirect: status {code} without a Location header")
            }
            ScrapeError::Redirects(count) => write!(f, "stopped after {count} redirects"),
            ScrapeError::TooManyPages(error) => error.fmt(f),
            ScrapeError::GaveWay(bytes) => write!(
                f,
                "hardly anything came for a second after {bytes} bytes of the page, whose memory other pages needed"
            ),
            ScrapeError::Gzip(what) => write!(f, "gzip: {what}"),
            ScrapeError::Zstd(what) => write!(f, "zstd: {what}"),
            ScrapeError::Page(message) | ScrapeError::NotAsked(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ScrapeError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target beyond `target_limit`, or with an address that makes no URL, counted as one that had answered.
    #[test]
    fn whoever_was_not_asked_has_not_answered() {
        let said = || "it was said".to_owned();
        for (error, is_answer) in [
            (ScrapeError::NotAsked(said()), false),
            (ScrapeError::Page(said()), true),
            (ScrapeError::Gzip("the data is damaged"), true),
            (ScrapeError::CutOff { bytes: 7 }, false),
        ] {
            assert_eq!(error.is_answer(), is_answer, "{error:?}");
        }
    }
}

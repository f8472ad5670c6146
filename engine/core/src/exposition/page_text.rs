//! A page as text: as it was sent, or as what was decoded is written.

use super::decoded::Decoded;
use super::dialect::Dialect;
use super::page::PageError;
use crate::histogram::FloatHistogram;

/// A page as text.
pub(super) struct Page<'a> {
    pub(super) body: Body<'a>,
    pub(super) dialect: Dialect,
    /// Native histograms that the text names.
    pub(super) histograms: Vec<FloatHistogram>,
}

pub(super) enum Body<'a> {
    /// As it was sent.
    Sent(&'a [u8]),
    Decoded(Vec<u8>),
}

impl From<Decoded> for Page<'_> {
    fn from(decoded: Decoded) -> Self {
        Page {
            body: Body::Decoded(decoded.text),
            dialect: Dialect::Decoded,
            histograms: decoded.histograms,
        }
    }
}

impl Page<'_> {
    pub(super) fn text(&self) -> &[u8] {
        match &self.body {
            Body::Sent(text) => text,
            Body::Decoded(text) => text,
        }
    }
}

/// The body without the line that ends it, which no template holds. An empty body is a page, as in Prometheus.
pub(super) fn without_eof(body: &[u8]) -> Result<&[u8], PageError> {
    if body.is_empty() {
        return Ok(body);
    }
    let page = body.strip_suffix(b"\n").unwrap_or(body);
    match page.strip_suffix(b"# EOF") {
        Some(page) if page.is_empty() || page.ends_with(b"\n") => Ok(page),
        _ => Err(PageError {
            line: 1 + memchr::memchr_iter(b'\n', page).count(),
            reason: "data does not end with # EOF".to_owned(),
        }),
    }
}

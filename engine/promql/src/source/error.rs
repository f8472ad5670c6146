//! A mistake in the text and where it is.

use crate::QueryError;
use crate::plan::Span;

/// What is wrong with a part of the text.
#[derive(Clone, Debug)]
pub(crate) struct SourceError {
    pub(crate) message: String,
    pub(crate) span: Span,
}

impl SourceError {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> SourceError {
        SourceError {
            message: message.into(),
            span,
        }
    }

    /// As Prometheus prints it, with line and column.
    pub(crate) fn into_query_error(self, text: &str) -> QueryError {
        let place = match text.is_empty() {
            true => "unknown position".to_owned(), // as Prometheus says of nothing
            false => line_and_column(text, self.span.start),
        };
        QueryError::BadData {
            message: format!("{place}: parse error: {}", self.message),
            position: Some((self.span.start, self.span.end)),
        }
    }
}

/// `line:column` of a byte offset, both from 1; the column counts bytes, as Prometheus does.
pub(crate) fn line_and_column(text: &str, offset: usize) -> String {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let column = match memchr::memrchr(b'\n', before) {
        Some(newline) => before.len() - newline,
        None => before.len() + 1,
    };
    format!("{line}:{column}")
}

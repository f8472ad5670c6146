//! The wire formats of a page, and how a `Content-Type` names them.

/// The wire formats of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The Prometheus text format 0.0.4 or 1.0.0.
    Text,
    /// OpenMetrics 1.0 (and 0.0.1), as Prometheus reads it.
    OpenMetrics,
    /// Messages `io.prometheus.client.MetricFamily`, each behind its length.
    Protobuf,
}

impl Format {
    /// The format that a `Content-Type` header announces; `None` for an empty header and for what is not read (rule:
    /// Prometheus model/textparse, `extractMediaType`).
    pub fn from_content_type(header: &str) -> Option<Format> {
        let media_type = header.split(';').next().unwrap_or("").trim();
        const MEDIA_TYPES: [(&str, Format); 3] = [
            ("text/plain", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("application/vnd.google.protobuf", Format::Protobuf),
        ];
        let known = MEDIA_TYPES
            .iter()
            .find(|(known, _)| media_type.eq_ignore_ascii_case(known));
        known.map(|(_, format)| *format)
    }
}

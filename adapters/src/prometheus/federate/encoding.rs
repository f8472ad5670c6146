//! In which format a page is written: the one of ours that its reader likes best.

use axum::http::{HeaderMap, header};

use super::protobuf;

/// In which form a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// The text format.
    Text,
    /// The same where names may hold any character.
    TextUtf8,
    /// Messages, each behind its length; names hold any character.
    Protobuf,
}

impl Encoding {
    /// What a reader takes: of several the one that it likes best, of those the first; the text format where it takes neither.
    pub(super) fn asked_for(headers: &HeaderMap) -> Encoding {
        let accepts = headers.get_all(header::ACCEPT).iter();
        let accepts = accepts.filter_map(|value| value.to_str().ok());
        let mut best: Option<(f64, Encoding)> = None;
        for range in accepts.flat_map(|value| value.split(',')) {
            let media_type = range.split(';').next().unwrap_or("").trim();
            let parameter = |name: &str| {
                let named = |part: &str| {
                    let (found, value) = part.split_once('=')?;
                    let is_it = found.trim().eq_ignore_ascii_case(name);
                    is_it.then(|| value.trim().trim_matches('"').to_owned())
                };
                range.split(';').skip(1).find_map(named)
            };
            let utf8 = parameter("escaping").as_deref() == Some("allow-utf-8");
            let encoding = match media_type {
                "application/vnd.google.protobuf"
                    if parameter("proto").as_deref() == Some(protobuf::MESSAGE)
                        && parameter("encoding").as_deref() == Some("delimited") =>
                {
                    Encoding::Protobuf
                }
                "text/plain" if utf8 => Encoding::TextUtf8,
                "text/plain" | "text/*" | "*/*" => Encoding::Text,
                _ => continue,
            };
            let quality = parameter("q").map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if quality > best.map_or(0.0, |(before, _)| before) {
                best = Some((quality, encoding));
            }
        }
        best.map_or(Encoding::Text, |(_, encoding)| encoding)
    }

    /// The type of the page.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Encoding::Text => "text/plain; version=0.0.4; charset=utf-8",
            Encoding::TextUtf8 => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            Encoding::Protobuf => protobuf::CONTENT_TYPE,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_reader_gets_the_form_that_it_likes_best() {
        let proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        for (accept, expected) in [
            ("", Encoding::Text),
            ("*/*", Encoding::Text),
            ("text/plain;version=0.0.4", Encoding::Text),
            (
                "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Encoding::TextUtf8,
            ),
            // What a Prometheus that scrapes native histograms sends, and one that does not.
            (
                &format!(
                    "{proto};q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
                ),
                Encoding::Protobuf,
            ),
            (
                &format!(
                    "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,{proto};q=0.3"
                ),
                Encoding::Text,
            ),
            (
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
                Encoding::Protobuf,
            ),
            (
                "application/vnd.google.protobuf;encoding=text",
                Encoding::Text,
            ),
            (&format!("{proto};q=0"), Encoding::Text),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::ACCEPT,
                HeaderValue::from_str(accept).expect("valid"),
            );
            assert_eq!(Encoding::asked_for(&headers), expected, "{accept}");
        }
    }
}

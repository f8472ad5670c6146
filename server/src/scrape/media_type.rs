//! What a `Content-Type` header says of a page, judged as Prometheus does (model/textparse, `extractMediaType`): a header that
//! is blank or malformed says nothing, and such a page is read only where the job says in which format.

use stillwell_engine::Format;

use super::error::ScrapeError;

const ADVICE: &str = "where the page is in the text format all the same, set \
                      fallback_scrape_protocol: PrometheusText0.0.4 in its job";

/// The format of a page: the announced one, or the job's for pages whose type is not known.
pub(super) fn format_of(header: &str, fallback: Option<Format>) -> Result<Format, ScrapeError> {
    let announced = match is_well_formed(header) {
        true => Format::from_content_type(header),
        false => None,
    };
    announced.or(fallback).ok_or_else(|| {
        let what = match header.trim().is_empty() {
            true => "the answer has no Content-Type".to_owned(),
            false if !is_well_formed(header) => format!("Content-Type {header:?} is malformed"),
            false => format!("content type {header:?} is not read"),
        };
        ScrapeError::Page(format!("{what}; {ADVICE}"))
    })
}

/// Whether a header is a media type and parameters `name=value`, separated by semicolons, no name twice (RFC 2045; Go's
/// `mime.ParseMediaType`). Cost: one pass.
fn is_well_formed(header: &str) -> bool {
    let (media_type, mut rest) = header.split_once(';').unwrap_or((header, ""));
    let mut parts = media_type.trim().split('/');
    let (Some(main), sub, None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    if !is_token(main) || sub.is_some_and(|sub| !is_token(sub)) {
        return false;
    }
    let mut names: Vec<String> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return true;
        }
        let Some((name, after)) = rest.split_once('=') else {
            return false;
        };
        let name = name.trim_end().to_ascii_lowercase();
        let Some(after) = after_value(after) else {
            return false;
        };
        if !is_token(&name) || names.contains(&name) {
            return false;
        }
        names.push(name);
        rest = match after.trim_start() {
            "" => return true,
            more => match more.strip_prefix(';') {
                Some(more) => more,
                None => return false,
            },
        };
    }
}

/// What follows the value of a parameter, a token or a quoted text; `None` if there is no value.
fn after_value(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c| !is_token_char(c)).unwrap_or(text.len());
        return (end > 0).then(|| &text[end..]);
    };
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(&quoted[at + 1..]),
            _ => {}
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_what_its_type_says_or_its_job() {
        let fallback = Some(Format::OpenMetrics);
        for (header, expected) in [
            ("text/plain", Some(Format::Text)),
            (
                "text/plain; version=0.0.4; charset=utf-8; escaping=values",
                Some(Format::Text),
            ),
            ("text/plain;", Some(Format::Text)),
            ("TEXT/PLAIN ; version=\"0.0.4\"", Some(Format::Text)),
            (
                "application/openmetrics-text; version=1.0.0",
                Some(Format::OpenMetrics),
            ),
            ("", None),
            ("  ", None),
            ("text/plain;;;", None),
            ("text/plain; version", None),
            ("text/plain; version=", None),
            ("text/plain; version=\"0", None),
            ("text/plain; a=1; A=2", None),
            ("text/plain, text/html", None),
            ("text/html", None),
            ("/", None),
        ] {
            assert_eq!(format_of(header, None).ok(), expected, "{header:?}");
            let with = format_of(header, fallback).expect(header);
            assert_eq!(with, expected.unwrap_or(Format::OpenMetrics), "{header:?}");
        }
        let blank = format_of("", None).expect_err("blank").to_string();
        assert!(blank.contains("no Content-Type"), "{blank}");
        assert!(blank.contains("fallback_scrape_protocol"), "{blank}");
    }
}

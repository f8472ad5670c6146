//! Answers with a whole body, gzipped where that was asked for and pays.

use std::io::Write;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// Below this gzip costs more than it saves.
const GZIP_BYTES_MIN: usize = 1400;

/// The content type of every JSON API.
pub const JSON: &str = "application/json";

/// An answer of this status, type and body.
pub fn reply(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    reply_bytes(status, content_type, body.into_bytes())
}

/// An answer whose body is no text.
pub fn reply_bytes(
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Like [`reply`], gzipped if the request's headers ask for it.
pub fn reply_encoded(
    status: StatusCode,
    content_type: &'static str,
    body: String,
    request: &HeaderMap,
) -> Response<Body> {
    if body.len() < GZIP_BYTES_MIN || !asks_for_gzip(request) {
        return reply(status, content_type, body);
    }
    let mut encoder = flate2::write::GzEncoder::new(
        Vec::with_capacity(body.len() / 4),
        flate2::Compression::fast(),
    );
    let packed = encoder
        .write_all(body.as_bytes())
        .and_then(|()| encoder.finish());
    let Ok(packed) = packed else {
        return reply(status, content_type, body); // writing to memory does not fail
    };
    let mut response = Response::new(Body::from(packed));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

fn asks_for_gzip(request: &HeaderMap) -> bool {
    request
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_only_where_asked_for_and_worth_it() {
        for (accept, bytes, gzipped) in [
            ("gzip", 5000, true),
            ("deflate, gzip;q=0.5", 5000, true),
            ("gzip;q=0", 5000, false),
            ("identity", 5000, false),
            ("gzip", 100, false),
        ] {
            let mut request = HeaderMap::new();
            request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
            let answer = reply_encoded(StatusCode::OK, JSON, "x".repeat(bytes), &request);
            assert_eq!(
                answer.headers().contains_key(header::CONTENT_ENCODING),
                gzipped,
                "{accept} {bytes}"
            );
        }
    }
}

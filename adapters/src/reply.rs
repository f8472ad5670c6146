//! Answers with a whole body, compressed where that was asked for and pays.

use std::io::Write;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// Below this compression costs more than it saves.
const PACKED_BYTES_MIN: usize = 1400;

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
    body: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The answer to a method that a path does not take, with those that it takes.
pub fn not_allowed(allowed: &'static str) -> Response<Body> {
    let text = "Method Not Allowed\n".to_owned();
    let mut response = reply(
        StatusCode::METHOD_NOT_ALLOWED,
        "text/plain; charset=utf-8",
        text,
    );
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

/// Like [`reply`], compressed if the request's headers ask for it.
pub fn reply_encoded(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
    request: &HeaderMap,
) -> Response<Body> {
    let body = body.into();
    let encoding = Encoding::asked_for(request).filter(|_| body.len() >= PACKED_BYTES_MIN);
    let packed = encoding.and_then(|encoding| Some((encoding, encoding.pack(&body)?)));
    let Some((encoding, packed)) = packed else {
        return reply_bytes(status, content_type, body);
    };
    let mut response = Response::new(Body::from(packed));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let encoding = HeaderValue::from_static(encoding.as_str());
    headers.insert(header::CONTENT_ENCODING, encoding);
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// Whether the headers of a request ask for a compressed answer.
pub(crate) fn is_packed(request: &HeaderMap) -> bool {
    Encoding::asked_for(request).is_some()
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Gzip,
    Zstd,
    Deflate,
}

impl Encoding {
    /// The first of ours that the client takes, whatever its own preference is: all clients of the field prefer gzip.
    fn asked_for(request: &HeaderMap) -> Option<Encoding> {
        const OURS: [Encoding; 3] = [Encoding::Gzip, Encoding::Zstd, Encoding::Deflate];
        let values = request.get_all(header::ACCEPT_ENCODING).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        let takes = |encoding: &Encoding| {
            let mut items = values.iter().flat_map(|list| list.split(','));
            items.any(|item| {
                let mut parts = item.split(';').map(str::trim);
                let named = parts
                    .next()
                    .is_some_and(|name| name.eq_ignore_ascii_case(encoding.as_str()));
                named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
            })
        };
        OURS.into_iter().find(takes)
    }

    fn as_str(self) -> &'static str {
        match self {
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
            Encoding::Deflate => "deflate",
        }
    }

    /// `None`: it cannot be written to memory, which does not happen.
    fn pack(self, body: &[u8]) -> Option<Vec<u8>> {
        let room = Vec::with_capacity(body.len() / 4);
        let fast = flate2::Compression::fast();
        match self {
            Encoding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(room, fast);
                encoder.write_all(body).ok()?;
                encoder.finish().ok()
            }
            Encoding::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(room, fast);
                encoder.write_all(body).ok()?;
                encoder.finish().ok()
            }
            Encoding::Zstd => Some(compress_to_vec(body, CompressionLevel::Fastest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn bodies_are_compressed_only_where_asked_for_and_worth_it() {
        for (accept, bytes, encoding) in [
            ("gzip", 5000, "gzip"),
            ("deflate, gzip;q=0.5", 5000, "gzip"),
            ("gzip;q=0", 5000, ""),
            ("identity", 5000, ""),
            ("gzip", 100, ""),
            ("zstd", 5000, "zstd"),
            ("br, zstd, gzip;q=0", 5000, "zstd"),
            ("deflate", 5000, "deflate"),
            ("", 5000, ""),
        ] {
            let mut request = HeaderMap::new();
            request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
            let body: String = (0..bytes)
                .map(|at| char::from(b'a' + (at % 23) as u8))
                .collect();
            let answer = reply_encoded(StatusCode::OK, JSON, body.clone(), &request);
            let named = answer.headers().get(header::CONTENT_ENCODING).cloned();
            let named = named
                .as_ref()
                .map_or("", |value| value.to_str().expect("text"));
            assert_eq!(named, encoding, "{accept} {bytes}");
            let packed = to_bytes(answer.into_body(), usize::MAX)
                .await
                .expect("memory");
            let mut unpacked = Vec::new();
            match encoding {
                "gzip" => flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked),
                "deflate" => flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut unpacked),
                "zstd" => ruzstd::decoding::StreamingDecoder::new(&packed[..])
                    .expect("a frame")
                    .read_to_end(&mut unpacked),
                _ => (&packed[..]).read_to_end(&mut unpacked),
            }
            .expect("it unpacks");
            assert_eq!(unpacked, body.as_bytes(), "{accept}");
        }
    }
}

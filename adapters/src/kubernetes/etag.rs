//! Versions of a document (RFC 9110, 8.8.3), so that a client that has this one is not sent it again.

use axum::http::{HeaderMap, header};

/// The version of a document, as a header has it.
pub(super) fn etag(body: &str) -> String {
    format!("\"{:016x}\"", fnv(body.as_bytes()))
}

/// Whether the client has this version already.
pub(super) fn knows(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(|item| item.trim().trim_start_matches("W/"))
        .any(|item| item == etag || item == "*")
}

/// FNV-1a: it tells versions of one document apart, in an ETag and in a URL.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

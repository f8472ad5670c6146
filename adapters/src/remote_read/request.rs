//! Requests: the message, and what of it is answered.

use axum::http::StatusCode;
use prost::Message;
use stillwell_engine::labels::{Labels, MatchOp, Matcher};
use stillwell_engine::promql::{EvalOptions, QueryError, Stop};

use super::messages::{LabelMatcher, ReadRequest, ResponseType};
use crate::remote_write::each_part;

/// A request is a list of matchers, some hundred bytes each. Prometheus unpacks 32 MiB, of which empty matchers would take
/// gigabytes here.
pub(super) const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Queries of one request, and conditions of all of them. Both are counted before the message is read.
const QUERIES_MAX: usize = 100;
const MATCHERS_MAX: usize = 2_000;
/// Conditions of one query, as of a selector.
const QUERY_MATCHERS_MAX: usize = 100;

/// The status of what is refused, and why.
pub(super) type Refusal = (StatusCode, String);

/// Reads the message of a request.
pub(super) fn read(packed: &[u8]) -> Result<ReadRequest, Refusal> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let unpacked_bytes = snap::raw::decompress_len(packed).map_err(|e| bad(e.to_string()))?;
    if unpacked_bytes > REQUEST_BYTES_MAX {
        let why = format!("{unpacked_bytes} bytes unpacked; at most {REQUEST_BYTES_MAX} are read");
        return Err((StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    let plain = snap::raw::Decoder::new().decompress_vec(packed);
    let plain = plain.map_err(|error| bad(format!("snappy: {error}")))?;
    check_counts(&plain).map_err(bad)?;
    let request = ReadRequest::decode(&plain[..]);
    request.map_err(|error| bad(format!("prometheus.ReadRequest: {error}")))
}

/// Refuses a message with more queries or conditions than are answered, before anything is made of it.
fn check_counts(message: &[u8]) -> Result<(), String> {
    const QUERY: usize = 1; // tags of prompb/remote.proto
    const MATCHER: usize = 3;
    let (mut queries, mut matchers) = (0, 0);
    let counted = each_part(message, |tag, query| {
        if tag == QUERY {
            queries += 1;
            each_part(query, |tag, _| {
                matchers += usize::from(tag == MATCHER);
                Some(())
            })?;
        }
        Some(())
    });
    match counted {
        None => Err("the request is no prometheus.ReadRequest".to_owned()),
        Some(()) if queries > QUERIES_MAX => Err(format!(
            "{queries} queries; at most {QUERIES_MAX} are answered"
        )),
        Some(()) if matchers > MATCHERS_MAX => Err(format!(
            "{matchers} matchers; at most {MATCHERS_MAX} are read"
        )),
        Some(()) => Ok(()),
    }
}

/// Refuses a query with more conditions than a selector may have.
pub(super) fn check_queries(request: &ReadRequest) -> Result<(), Refusal> {
    let mut queries = request.queries.iter();
    if queries.any(|query| query.matchers.len() > QUERY_MATCHERS_MAX) {
        let why = format!("more than {QUERY_MATCHERS_MAX} matchers in one query");
        return Err((StatusCode::BAD_REQUEST, why));
    }
    Ok(())
}

/// Whether the answer is to be in chunks: the first type that both sides know counts.
pub(super) fn streamed(request: &ReadRequest) -> Result<bool, Refusal> {
    let accepted = &request.accepted_response_types;
    if accepted.is_empty() {
        return Ok(false);
    }
    let known = accepted
        .iter()
        .find_map(|kind| match ResponseType::try_from(*kind) {
            Ok(ResponseType::Samples) => Some(false),
            Ok(ResponseType::StreamedXorChunks) => Some(true),
            Err(_) => None,
        });
    known.ok_or_else(|| {
        let why = format!("none of the requested response types is known: {accepted:?}");
        (StatusCode::BAD_REQUEST, why)
    })
}

/// A matcher that asks for an external label is about what is stored without it.
pub(super) fn matchers(
    asked: &[LabelMatcher],
    external: &Labels,
    options: &EvalOptions<'_>,
) -> Result<Vec<Matcher>, QueryError> {
    let bad = |message: String| QueryError::BadData {
        message,
        position: None,
    };
    let matcher = |one: &LabelMatcher| {
        match options.stop.and_then(|stop| stop()) {
            Some(Stop::Timeout) => return Err(QueryError::Timeout("query timed out".to_owned())),
            Some(Stop::Canceled) => {
                return Err(QueryError::Canceled("query was canceled".to_owned()));
            }
            None => {}
        }
        let op = match one.kind {
            0 => MatchOp::Equal,
            1 => MatchOp::NotEqual,
            2 => MatchOp::Regex,
            3 => MatchOp::NotRegex,
            other => return Err(bad(format!("invalid matcher type {other}"))),
        };
        let ours = external.get(&one.name).unwrap_or("") == one.value;
        let value = if op == MatchOp::Equal && ours {
            ""
        } else {
            &one.value
        };
        Matcher::new(op, &one.name, value).map_err(|error| bad(error.to_string()))
    };
    asked.iter().map(matcher).collect()
}

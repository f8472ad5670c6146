//! How much memory a request will take, before it is decoded: an empty data point is 2 bytes on the wire and some 150 in
//! memory, so the bytes alone say nothing.

use super::super::remote_write::each_part;

/// Bytes that a decoded request may take: an SDK sends some thousand points, about a megabyte.
pub(super) const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Values of attributes may hold values; deeper ones are refused.
const DEPTH_MAX: usize = 16;

/// A message: its fields that take memory.
#[derive(Clone, Copy)]
enum Message {
    Request,
    Resource,
    ResourceMetrics,
    Scope,
    ScopeMetrics,
    Metric,
    /// Points whose attributes have this number.
    Points(usize),
    Point(usize),
    Values,
    KeyValues,
    KeyValue,
    AnyValue,
}

/// What a part of a message is, with the bytes that it takes in memory beside its texts; `None`: bytes or packed numbers.
fn part(of: Message, tag: usize) -> Option<(Message, usize)> {
    use Message::*;
    Some(match (of, tag) {
        (Request, 1) => (ResourceMetrics, 64),
        (ResourceMetrics, 1) => (Resource, 0),
        (ResourceMetrics, 2) => (ScopeMetrics, 128),
        (Resource | KeyValues, 1) | (Scope, 3) => (KeyValue, 72),
        (ScopeMetrics, 1) => (Scope, 72),
        (ScopeMetrics, 2) => (Metric, 128),
        (Metric, 5 | 7 | 11) => (Points(7), 0),
        (Metric, 9) => (Points(9), 0),
        (Metric, 10) => (Points(1), 0),
        (Points(attributes), 1) => (Point(attributes), 224),
        (Point(attributes), tag) if tag == attributes => (KeyValue, 72),
        (KeyValue, 2) => (AnyValue, 0),
        (AnyValue, 5) => (Values, 32),
        (AnyValue, 6) => (KeyValues, 32),
        (Values, 1) => (AnyValue, 40),
        _ => return None,
    })
}

/// The bytes that a request takes; `None` where it is no message, or nested too deeply.
pub(super) fn weigh(request: &[u8]) -> Option<usize> {
    walk(Message::Request, request, 0)
}

fn walk(of: Message, bytes: &[u8], depth: usize) -> Option<usize> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut total = 0;
    each_part(bytes, |tag, inner| {
        let inside = match part(of, tag) {
            Some((message, own)) => own + walk(message, inner, depth + 1)?,
            // Texts as they are, and packed numbers of a byte each in eight.
            None => 24 + 8 * inner.len(),
        };
        total += inside;
        Some(())
    })?;
    Some(total)
}

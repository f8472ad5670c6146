//! How much memory a request will take, before it is decoded: an empty data point is 2 bytes on the wire and some 150 in
//! memory, so the bytes alone say nothing.

use super::super::remote_write::each_part;

/// Bytes that a decoded request may take: an SDK sends some thousand points, about a megabyte.
pub(super) const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Values of attributes may hold values; deeper ones are refused.
const DEPTH_MAX: usize = 16;

/// In memory of a JSON object that is not empty: a leaf of a `BTreeMap` with places for 11 pairs.
const JSON_OBJECT_BYTES: usize = 640;
/// ... of an array: its first four places.
const JSON_ARRAY_BYTES: usize = 144;
/// ... of what comes after a comma: a place in an array that has doubled, with a short text; in an object, whose leaves are
/// half full where keys ascend, a pair with its key.
const JSON_COMMA_BYTES: usize = 160;

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

/// The bytes that the values of a JSON text take at most, `{"":0}` being 7 in the text and 640 in memory. Of what is not JSON
/// it is right as far as a parser reads.
pub(super) fn weigh_json(text: &[u8]) -> usize {
    let mut total = text.len();
    let mut in_text = false;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match (byte, in_text) {
            (b'"', _) => in_text = !in_text,
            (b'\\', true) => drop(bytes.next()),
            (_, true) => {}
            (b'{', _) => total += JSON_OBJECT_BYTES,
            (b'[', _) => total += JSON_ARRAY_BYTES,
            (b',', _) => total += JSON_COMMA_BYTES,
            _ => {}
        }
    }
    total
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_weighs_what_its_values_take() {
        let of = |one: &str| {
            let list = vec![one; (4 << 20) / (one.len() + 1) - 2].join(",");
            weigh_json(format!("[{list}]").as_bytes())
        };
        // What 4 MiB of each were measured to take while they are read, in MiB.
        for (one, measured_mib) in [
            (r#"{"":0}"#, 397),
            (r#"{"":{"":0}}"#, 442),
            (r#"{"a":"a"}"#, 297),
            ("[0]", 175),
            (r#"["a"]"#, 149),
            ("0", 96),
            (r#""a""#, 64),
        ] {
            assert!(of(one) >= measured_mib << 20, "{one}: {}", of(one));
        }
        let text = |inner: &str| weigh_json(format!("\"{inner}\"").as_bytes());
        for inner in ["{{[[,,", "\\\"{,[", "\\\\"] {
            assert_eq!(text(inner), inner.len() + 2, "{inner}");
        }
        assert_eq!(weigh_json(b"\"\\\\\"{"), 5 + JSON_OBJECT_BYTES);
        assert_eq!(weigh_json(b"\"\\"), 2, "it ends within an escape");
    }
}

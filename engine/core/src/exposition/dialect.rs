//! What differs between the kinds of text that are compared with a template: how values, timestamps and exemplars are
//! written behind the key of a line.
//!
//! The text format takes a path of its own where lines are compared (`page/in_order`); everything here is for the others.

use std::ops::Range;

use super::number;
use crate::store::HISTOGRAM;

/// The kinds of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The Prometheus text format 0.0.4 and 1.0.0.
    #[default]
    Text,
    /// OpenMetrics 1.0, as Prometheus reads it (model/textparse, openmetricslex.l and openmetricsparse.go).
    OpenMetrics,
    /// What `protobuf` and `custom_buckets` write: OpenMetrics with timestamps in whole milliseconds and values of three
    /// kinds: decimals, `x` with the bits of a float in hexadecimal digits, `h` with the place of a native histogram.
    Decoded,
}

/// What follows the key of a line.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Bytes of the value's text.
    pub(crate) value_len: usize,
    pub(crate) bits: u64,
    /// The place of a native histogram; `bits` are its placeholder then.
    pub(crate) histogram: Option<u32>,
    pub(crate) time_ms: Option<i64>,
    /// The exemplar's text, from its opening brace on.
    pub(crate) exemplar: Option<Range<usize>>,
    /// Bytes up to the next line.
    pub(crate) len: usize,
}

impl Dialect {
    /// Reads what follows a key, up to the end of the line. `None`: it is malformed, or not in this spelling.
    pub(crate) fn tail(self, rest: &[u8]) -> Option<Tail> {
        let line_len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..line_len];
        let token_len = |from: usize| {
            let token = &line[from..];
            memchr::memchr(b' ', token).unwrap_or(token.len())
        };
        let value_len = token_len(0);
        let (bits, histogram) = self.value(&line[..value_len])?;
        let mut at = value_len;
        let mut time_ms = None;
        if line.get(at) == Some(&b' ') && line.get(at + 1) != Some(&b'#') {
            let end = at + 1 + token_len(at + 1);
            time_ms = Some(self.time_ms(&line[at + 1..end])?);
            at = end;
        }
        let exemplar = match &line[at..] {
            [] => None,
            // One of ours is well-formed.
            [b' ', b'#', b' ', b'{', ..]
                if self == Dialect::Decoded || is_exemplar(&line[at + 3..]) =>
            {
                Some(at + 3..line_len)
            }
            _ => return None,
        };
        Some(Tail {
            value_len,
            bits,
            histogram,
            time_ms,
            exemplar,
            len: (line_len + 1).min(rest.len()),
        })
    }

    /// The bits of a value, and the place of a native histogram.
    pub(crate) fn value(self, token: &[u8]) -> Option<(u64, Option<u32>)> {
        if self == Dialect::Decoded {
            match token {
                [b'x', digits @ ..] => {
                    let digits = std::str::from_utf8(digits).ok()?;
                    return Some((u64::from_str_radix(digits, 16).ok()?, None));
                }
                [b'h', digits @ ..] => {
                    let digits = std::str::from_utf8(digits).ok()?;
                    return Some((HISTOGRAM, Some(digits.parse().ok()?)));
                }
                _ => {}
            }
        }
        Some((number::parse(token)?.to_bits(), None))
    }

    /// A timestamp in milliseconds.
    pub(crate) fn time_ms(self, token: &[u8]) -> Option<i64> {
        if self == Dialect::Decoded {
            return std::str::from_utf8(token).ok()?.parse().ok();
        }
        let time_s = number::parse(token)?;
        // What does not fit becomes the largest number, which no sample keeps.
        time_s.is_finite().then_some((time_s * 1000.0) as i64)
    }
}

/// Whether a text is an exemplar: labels in braces, a value, a timestamp or none. Prometheus refuses a page with another
/// one, and the check runs at every scrape, so it allocates nothing.
fn is_exemplar(text: &[u8]) -> bool {
    let Some(rest) = after_labels(text) else {
        return false;
    };
    let mut tokens = rest.split(|byte| *byte == b' ');
    let is_value = |token: &[u8]| number::parse(token).is_some();
    let is_time = |token: &[u8]| number::parse(token).is_some_and(f64::is_finite);
    tokens.next() == Some(b"")
        && tokens.next().is_some_and(is_value)
        && tokens.next().is_none_or(is_time)
        && tokens.next().is_none()
}

/// What follows the labels in braces.
fn after_labels(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"{")?;
    loop {
        if let Some(after) = rest.strip_prefix(b"}") {
            return Some(after);
        }
        rest = match rest.strip_prefix(b"\"") {
            Some(quoted) => after_quoted(quoted)?,
            None => after_name(rest)?,
        };
        rest = after_quoted(rest.strip_prefix(b"=\"")?)?;
        rest = match rest {
            [b',', after @ ..] => after,
            [b'}', ..] => rest,
            _ => return None,
        };
    }
}

fn after_name(text: &[u8]) -> Option<&[u8]> {
    let len = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .count();
    (len > 0 && !text[0].is_ascii_digit()).then(|| &text[len..])
}

/// What follows the closing quote of a valid text.
fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            break;
        }
        at += 2; // an escape is two bytes, whatever the second is
    }
    std::str::from_utf8(&text[..at]).ok()?;
    Some(&text[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_of_each_dialect() {
        let read = |dialect: Dialect, text: &str| {
            let tail = dialect.tail(text.as_bytes())?;
            let exemplar = tail.exemplar.map(|range| text[range].to_owned());
            Some((f64::from_bits(tail.bits), tail.time_ms, exemplar, tail.len))
        };
        use Dialect::{Decoded, OpenMetrics};
        assert_eq!(read(OpenMetrics, "1\nnext"), Some((1.0, None, None, 2)));
        assert_eq!(
            read(OpenMetrics, "1 1.5 # {a=\"b # \"} 3 4"),
            Some((1.0, Some(1500), Some("{a=\"b # \"} 3 4".to_owned()), 22))
        );
        assert_eq!(
            read(OpenMetrics, "1 # {} 3\n"),
            Some((1.0, None, Some("{} 3".to_owned()), 9))
        );
        assert_eq!(
            read(Decoded, "x3ff0000000000000 -5\n"),
            Some((1.0, Some(-5), None, 21))
        );
        for bad in [
            "1 ",
            "1  2",
            "1 2 ",
            "1 NaN",
            "1 # 2",
            "1 #{} 2",
            "1 # {}2",
            "1 # {} 2 ",
            "1 # {} 2 NaN",
            "1 # {} 2 3 4",
            "1 # {a} 2",
            "1 # {a=\"b\"c=\"d\"} 2",
            "1 # {a=\"b} 2",
            "1 # {1=\"b\"} 2",
            "h1",
            "",
        ] {
            assert!(read(OpenMetrics, bad).is_none(), "{bad:?}");
        }
        let histogram = Decoded.tail(b"h7\n").expect("valid");
        assert_eq!((histogram.bits, histogram.histogram), (HISTOGRAM, Some(7)));
        assert!(read(Decoded, "1 1.5").is_none());
    }
}

//! Writes the samples of a page in another format as text that can be compared with a template ([`Dialect::Decoded`]).
//!
//! So every format has the whole of the machinery of the text format, and a sample whose value did not change costs a
//! comparison of bytes. Values are decimals where they are whole numbers and their bits otherwise, which is several times
//! cheaper to write and to read than a shortest decimal.
//!
//! A page must not become much larger by being decoded: a metric with long labels and many buckets repeats its labels in
//! every line. See [`DECODED_RATIO_MAX`].
//!
//! [`Dialect::Decoded`]: super::dialect::Dialect::Decoded

use std::io::Write;

use super::line::{is_name, is_name_start};
use super::mapper::openmetrics_float;
use super::number::NORMAL_NAN_BITS;
use crate::histogram::FloatHistogram;
use crate::limits::{DECODED_RATIO_MAX, DECODED_SMALL_BYTES, HISTOGRAM_EXEMPLARS_MAX};
use crate::metadata::FamilyType;

/// Numbers up to here are whole numbers of a float without loss.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A page as text.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) text: Vec<u8>,
    /// Native histograms that lines of the text name.
    pub(crate) histograms: Vec<FloatHistogram>,
    bytes_max: usize,
    bounds: Bounds,
}

/// Labels of one metric, written once and copied into each of its lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelText(Vec<u8>);

/// What a line has beside its name and the labels of its metric.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineParts<'a> {
    /// After the name: `_bucket`.
    pub(crate) suffix: &'a str,
    /// A further label: the bound of a bucket or a quantile.
    pub(crate) bound: Option<(&'static str, f64)>,
    pub(crate) time_ms: Option<i64>,
    /// A native histogram may have several, in their order.
    pub(crate) exemplars: &'a [ExemplarParts],
}

/// An exemplar to be written.
#[derive(Debug, Default)]
pub(crate) struct ExemplarParts {
    pub(crate) labels: LabelText,
    pub(crate) value: f64,
    pub(crate) time_ms: Option<i64>,
}

impl ExemplarParts {
    /// Those of one native histogram in the order in which Prometheus appends them (model/exemplar, `Compare`), and the newest of
    /// them where there are too many. They need a time.
    pub(crate) fn of_histogram(mut all: Vec<ExemplarParts>) -> Vec<ExemplarParts> {
        all.retain(|one| one.time_ms.is_some());
        all.sort_by(|a, b| {
            let by_value = || a.value.total_cmp(&b.value);
            let by_time = a.time_ms.cmp(&b.time_ms);
            by_time
                .then_with(by_value)
                .then_with(|| a.labels.0.cmp(&b.labels.0))
        });
        let too_many = all.len().saturating_sub(HISTOGRAM_EXEMPLARS_MAX);
        all.drain(..too_many);
        all
    }
}

impl LabelText {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        let bytes = name.as_bytes();
        let is_plain = bytes.first().is_some_and(|&first| is_name_start(first))
            && bytes.iter().all(|&byte| is_name(byte) && byte != b':');
        match is_plain {
            true => self.0.extend_from_slice(bytes),
            false => push_quoted(&mut self.0, name),
        }
        self.0.push(b'=');
        push_quoted(&mut self.0, value);
    }
}

impl Decoded {
    /// Begins a page that had so many bytes. The memory of `text` is used again.
    pub(crate) fn new(mut text: Vec<u8>, page_bytes: usize) -> Decoded {
        text.clear();
        Decoded {
            text,
            bytes_max: page_bytes
                .saturating_mul(DECODED_RATIO_MAX)
                .max(DECODED_SMALL_BYTES),
            ..Decoded::default()
        }
    }

    /// Writes the type of a family.
    pub(crate) fn family_type(&mut self, name: &str, family_type: FamilyType) {
        self.metadata("TYPE", name);
        self.text.extend_from_slice(family_type.as_str().as_bytes());
        self.text.push(b'\n');
    }

    /// Writes the help text of a family.
    pub(crate) fn help(&mut self, name: &str, help: &str) {
        self.metadata("HELP", name);
        push_escaped(&mut self.text, help, false);
        self.text.push(b'\n');
    }

    /// Writes the unit of a family, which has no line break.
    pub(crate) fn unit(&mut self, name: &str, unit: &str) {
        if unit.contains('\n') {
            return;
        }
        self.metadata("UNIT", name);
        self.text.extend_from_slice(unit.as_bytes());
        self.text.push(b'\n');
    }

    fn metadata(&mut self, keyword: &str, name: &str) {
        self.text.extend_from_slice(b"# ");
        self.text.extend_from_slice(keyword.as_bytes());
        self.text.push(b' ');
        match is_plain_metric(name) {
            true => self.text.extend_from_slice(name.as_bytes()),
            false => push_quoted(&mut self.text, name),
        }
        self.text.push(b' ');
    }

    /// Writes a sample. Error: the text has become too large.
    pub(crate) fn sample(
        &mut self,
        name: &str,
        labels: &LabelText,
        value: f64,
        parts: LineParts<'_>,
    ) -> Result<(), String> {
        self.key(name, labels, parts.suffix, parts.bound);
        push_value(&mut self.text, value);
        self.end_line(parts)
    }

    /// Writes a native histogram.
    pub(crate) fn histogram(
        &mut self,
        name: &str,
        labels: &LabelText,
        histogram: FloatHistogram,
        parts: LineParts<'_>,
    ) -> Result<(), String> {
        self.key(name, labels, "", None);
        self.text.push(b'h');
        push_whole(&mut self.text, self.histograms.len() as i64);
        self.histograms.push(histogram);
        self.end_line(parts)
    }

    fn key(
        &mut self,
        name: &str,
        labels: &LabelText,
        suffix: &str,
        bound: Option<(&'static str, f64)>,
    ) {
        let text = &mut self.text;
        let is_plain = is_plain_metric(name);
        if is_plain {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(suffix.as_bytes());
        } else {
            text.extend_from_slice(b"{\"");
            push_escaped(text, name, true);
            text.extend_from_slice(suffix.as_bytes());
            text.push(b'"');
        }
        let mut has_labels = !is_plain;
        let mut separate = |text: &mut Vec<u8>| {
            text.push(if has_labels { b',' } else { b'{' });
            has_labels = true;
        };
        if !labels.0.is_empty() {
            separate(text);
            text.extend_from_slice(&labels.0);
        }
        if let Some((label, bound)) = bound {
            separate(text);
            text.extend_from_slice(label.as_bytes());
            text.extend_from_slice(b"=\"");
            text.extend_from_slice(self.bounds.text(bound).as_bytes());
            text.push(b'"');
        }
        if has_labels {
            text.push(b'}');
        }
        text.push(b' ');
    }

    fn end_line(&mut self, parts: LineParts<'_>) -> Result<(), String> {
        let text = &mut self.text;
        if let Some(time_ms) = parts.time_ms {
            text.push(b' ');
            push_whole(text, time_ms);
        }
        for exemplar in parts.exemplars {
            text.extend_from_slice(b" # {");
            text.extend_from_slice(&exemplar.labels.0);
            text.extend_from_slice(b"} ");
            push_value(text, exemplar.value);
            if let Some(time_ms) = exemplar.time_ms {
                text.push(b' ');
                push_whole(text, time_ms);
            }
        }
        text.push(b'\n');
        match text.len() <= self.bytes_max {
            true => Ok(()),
            false => Err(format!(
                "as text the page is larger than {} bytes, more than {DECODED_RATIO_MAX} times its size",
                self.bytes_max
            )),
        }
    }
}

/// Texts of bounds. Buckets of one family come in the same order in every metric.
#[derive(Debug, Default)]
struct Bounds {
    known: Vec<(u64, Box<str>)>,
    next: usize,
}

/// Bounds remembered; a histogram has 10 to 20.
const BOUNDS_MAX: usize = 128;

impl Bounds {
    fn text(&mut self, bound: f64) -> &str {
        let bits = bound.to_bits();
        let is_next = self
            .known
            .get(self.next)
            .is_some_and(|known| known.0 == bits);
        let at = match is_next {
            true => self.next,
            false => match self.known.iter().position(|known| known.0 == bits) {
                Some(at) => at,
                None => {
                    if self.known.len() == BOUNDS_MAX {
                        self.known.clear();
                    }
                    self.known.push((bits, openmetrics_float(bound).into()));
                    self.known.len() - 1
                }
            },
        };
        self.next = at + 1;
        &self.known[at].1
    }
}

fn is_plain_metric(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|&first| is_name_start(first)) && bytes.iter().all(|&b| is_name(b))
}

fn push_quoted(text: &mut Vec<u8>, plain: &str) {
    text.push(b'"');
    push_escaped(text, plain, true);
    text.push(b'"');
}

fn push_escaped(text: &mut Vec<u8>, plain: &str, quotes: bool) {
    let mut rest = plain.as_bytes();
    while let Some(at) = memchr::memchr3(b'\\', b'\n', b'"', rest) {
        text.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\n' => text.extend_from_slice(b"\\n"),
            b'"' if !quotes => text.push(b'"'),
            other => text.extend_from_slice(&[b'\\', other]),
        }
        rest = &rest[at + 1..];
    }
    text.extend_from_slice(rest);
}

fn push_value(text: &mut Vec<u8>, value: f64) {
    let is_whole = value.abs() <= WHOLE_MAX && value.trunc() == value;
    if is_whole && value.to_bits() != (-0.0f64).to_bits() {
        return push_whole(text, value as i64);
    }
    let bits = match value.is_nan() {
        true => NORMAL_NAN_BITS,
        false => value.to_bits(),
    };
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.push(b'x');
    for nibble in (0..16).rev() {
        text.push(DIGITS[(bits >> (4 * nibble)) as usize & 15]);
    }
}

fn push_whole(text: &mut Vec<u8>, whole: i64) {
    write!(text, "{whole}").unwrap_or_else(|_| unreachable!("a vector takes everything"));
}

#[cfg(test)]
mod tests {
    use super::super::any_line;
    use super::super::dialect::Dialect;
    use super::super::line::Line;
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut labels = LabelText::default();
        labels.push("a", "x\"\\\n#");
        labels.push("b.c", "");
        for value in [
            0.0,
            -0.0,
            1.0,
            -7.0,
            0.1,
            9.1e15,
            1e300,
            f64::INFINITY,
            f64::NAN,
        ] {
            for name in ["m", "m.\"n"] {
                let mut page = Decoded::new(Vec::new(), 100);
                let parts = LineParts {
                    suffix: "_bucket",
                    bound: Some(("le", 1.0)),
                    time_ms: Some(-3),
                    exemplars: &[],
                };
                page.sample(name, &labels, value, parts).expect("small");
                let (line, _) = any_line::parse(&page.text, 0, Dialect::Decoded).expect("valid");
                let Line::Sample(sample) = line else {
                    panic!("{line:?}");
                };
                let read: Vec<(&str, &str)> =
                    sample.labels.iter().map(|(n, v)| (&**n, &**v)).collect();
                let full = format!("{name}_bucket");
                let expected = [
                    ("__name__", full.as_str()),
                    ("a", "x\"\\\n#"),
                    ("b.c", ""),
                    ("le", "1.0"),
                ];
                assert_eq!(read, expected);
                assert_eq!(sample.time_ms, Some(-3));
                let same = sample.number.to_bits() == value.to_bits();
                assert!(same || value.is_nan() && sample.number.is_nan(), "{value}");
            }
        }
    }

    #[test]
    fn a_page_that_grows_too_much_is_refused() {
        let mut labels = LabelText::default();
        labels.push("a", &"x".repeat(1 << 20));
        let mut page = Decoded::new(Vec::new(), 1 << 20);
        let mut lines = 0;
        while page.sample("m", &labels, 1.0, LineParts::default()).is_ok() {
            lines += 1;
            assert!(lines < 1_000);
        }
        assert!(lines > 5);
    }
}

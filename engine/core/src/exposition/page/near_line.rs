//! Reads a new line by what it shares with the new line above it.
//!
//! The lines of a family differ in the last label or two, those of a histogram in `le`. A line that begins with the bytes of
//! the one above has its labels up to there, so only the rest of it is parsed, and no list is made for it. Lines in a
//! spelling that is not the usual one (escapes, blanks, quoted names, empty braces) and malformed ones are left to the full
//! parser, which says what is wrong with them. Of 200 bytes some 20 differ: 0.1 us instead of 0.5.

use std::borrow::Cow;
use std::ops::Range;

use super::super::any_line;
use super::super::dialect::Dialect;
use super::super::line::{self, Line, Sample};
use super::super::template::common_prefix;
use super::in_order::value_and_time;
use crate::labels::METRIC_NAME;
use crate::limits::{LABELS_PER_SERIES_MAX, LINE_BYTES_MAX};

/// A parsed line.
pub(super) enum NewLine<'a> {
    /// A sample, whose labels [`NearLine`] has.
    Sample(SampleLine),
    Other(Line<'a>),
}

/// What a line says beside labels; see [`Sample`].
#[derive(Debug, PartialEq)]
pub(super) struct SampleLine {
    pub(super) value: Range<usize>,
    pub(super) bits: u64,
    pub(super) histogram: Option<u32>,
    pub(super) exemplar: Option<Range<usize>>,
    pub(super) time_ms: Option<i64>,
}

/// The new sample that was read last.
#[derive(Default)]
pub(super) struct NearLine<'a> {
    /// Its labels in page order, the metric name first.
    pub(super) labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Where the line is, up to its value. Empty if it was not in the usual spelling.
    key: Range<usize>,
    /// How many bytes of it each label ends after, the delimiter included.
    ends: Vec<usize>,
}

impl<'a> NearLine<'a> {
    /// Reads the line at `at` and returns it with the position of the next one, or why it is malformed.
    pub(super) fn read(
        &mut self,
        body: &'a [u8],
        at: usize,
        dialect: Dialect,
    ) -> Result<(NewLine<'a>, usize), String> {
        if let Some((sample, next)) = self.usual(body, at, dialect) {
            return Ok((NewLine::Sample(sample), next));
        }
        let (line, next) = any_line::parse(body, at, dialect).inspect_err(|_| {
            // Some of the labels may be those of the line that is refused.
            *self = NearLine::default();
        })?;
        let Line::Sample(Sample {
            value,
            number,
            histogram,
            exemplar,
            time_ms,
            labels,
        }) = line
        else {
            return Ok((NewLine::Other(line), next));
        };
        (self.labels, self.key) = (labels, 0..0);
        self.ends.clear();
        let sample = SampleLine {
            value,
            bits: number.to_bits(),
            histogram,
            exemplar,
            time_ms,
        };
        Ok((NewLine::Sample(sample), next))
    }

    /// A sample in the usual spelling.
    fn usual(
        &mut self,
        body: &'a [u8],
        at: usize,
        dialect: Dialect,
    ) -> Option<(SampleLine, usize)> {
        let line = &body[at..];
        line.first().filter(|byte| line::is_name_start(**byte))?;
        let shared = common_prefix(&body[self.key.clone()], line);
        // Whatever happens, it is not the line that `labels` are of any more.
        self.key = 0..0;
        let kept = self.ends.iter().take_while(|end| **end <= shared).count();
        self.ends.truncate(kept);
        let value_at = self.read_labels(line)?;
        let rest = &line[value_at..];
        let (sample, len) = match dialect {
            Dialect::Text => {
                let (value_len, number, time_ms, len) = value_and_time(rest)?;
                let sample = SampleLine {
                    value: at + value_at..at + value_at + value_len,
                    bits: number.to_bits(),
                    histogram: None,
                    exemplar: None,
                    time_ms,
                };
                (sample, value_at + len)
            }
            Dialect::OpenMetrics | Dialect::Decoded => {
                let tail = dialect.tail(rest)?;
                let place =
                    |range: Range<usize>| at + value_at + range.start..at + value_at + range.end;
                let sample = SampleLine {
                    value: place(0..tail.value_len),
                    bits: tail.bits,
                    histogram: tail.histogram,
                    exemplar: tail.exemplar.map(place),
                    time_ms: tail.time_ms,
                };
                (sample, value_at + tail.len)
            }
        };
        if len > LINE_BYTES_MAX {
            return None;
        }
        self.key = at..at + value_at;
        Some((sample, at + len))
    }

    /// Reads the labels behind those that are kept (`ends`). Where the value begins.
    fn read_labels(&mut self, line: &'a [u8]) -> Option<usize> {
        let mut at = match self.ends.last() {
            Some(end) => *end,
            None => {
                let len = line.iter().position(|byte| !line::is_name(*byte))?;
                let name = (Cow::Borrowed(METRIC_NAME), text(&line[..len])?);
                match self.labels.first_mut() {
                    Some(first) => *first = name,
                    None => self.labels.push(name),
                }
                self.ends.push(len + 1);
                len + 1
            }
        };
        let mut number = self.ends.len();
        let mut is_renamed = false;
        loop {
            match line.get(at - 1)? {
                b' ' if number == 1 => break,
                b'{' | b',' => {}
                b'}' if line.get(at) == Some(&b' ') => {
                    at += 1;
                    break;
                }
                _ => return None,
            }
            at = self.read_label(line, at, number, &mut is_renamed)?;
            number += 1;
            self.ends.push(at);
        }
        self.labels.truncate(number);
        (number <= LABELS_PER_SERIES_MAX).then_some(at)
    }

    /// Reads `name="value"` and what follows it into a place of the list. `is_renamed`: a label to the left has another name
    /// than the line above has in its place.
    fn read_label(
        &mut self,
        line: &'a [u8],
        at: usize,
        number: usize,
        is_renamed: &mut bool,
    ) -> Option<usize> {
        let rest = &line[at..];
        let is_name = |byte: &u8| line::is_name(*byte) && *byte != b':';
        rest.first()
            .filter(|byte| is_name(byte) && !byte.is_ascii_digit())?;
        let name_len = rest.iter().position(|byte| !is_name(byte))?;
        let quoted = rest[name_len..].strip_prefix(b"=\"")?;
        let value_len = memchr::memchr3(b'"', b'\\', b'\n', quoted)?;
        if quoted[value_len] != b'"' {
            return None;
        }
        let name = text(&rest[..name_len])?;
        let label = (name, text(&quoted[..value_len])?);
        match self.labels.get_mut(number) {
            // The names of the line above are unique, and all names so far are its names.
            Some(before) if !*is_renamed && before.0 == label.0 => before.1 = label.1,
            _ => {
                *is_renamed = true;
                if self.labels[..number]
                    .iter()
                    .any(|(name, _)| *name == label.0)
                {
                    return None;
                }
                match self.labels.get_mut(number) {
                    Some(before) => *before = label,
                    None => self.labels.push(label),
                }
            }
        }
        Some(at + name_len + value_len + 4) // =, two quotes, and a comma or brace
    }
}

fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line() -> impl Strategy<Value = String> {
        prop_oneof![usual_line(), odd_line()]
    }

    /// Few names in the usual spelling, so that neighbours have the same names in other places, and some have one twice.
    fn usual_line() -> impl Strategy<Value = String> {
        let label = prop::sample::select(vec!["a=\"1\"", "a=\"2\"", "b=\"1\"", "b=\"2\""]);
        prop::collection::vec(label, 1..4).prop_map(|labels| format!("m{{{}}} 1", labels.join(",")))
    }

    /// Parts of lines, so that neighbours share their beginnings and few are malformed.
    fn odd_line() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec!["a", "ab", "a:b", "1", "b", ""]);
        let label = prop::sample::select(vec![
            "a=\"1\"",
            "a=\"2\"",
            "b=\"\"",
            "b=\"1\"",
            "c=\"x\\\"y\"",
            "c = \"1\"",
            "le=\"0.5\"",
            "\"q\"=\"1\"",
            "__name__=\"n\"",
            "a=\"\u{e9}\"",
            "a=\"1",
            "b=\"x\ny\"",
            "d=1",
            ":=\"1\"",
        ]);
        let labels = prop::collection::vec(label, 0..4);
        let (comma, end) = (
            prop::sample::select(vec![",", ", ", "", ",,"]),
            prop::sample::select(vec!["} ", "}", ",} ", "}  ", " "]),
        );
        let value = prop::sample::select(vec![
            "1",
            "2.5",
            "x",
            "NaN",
            "1 5",
            "1 5 ",
            "",
            "1 2 3",
            "1 # {a=\"1\"} 2",
            "1e3 -1",
        ]);
        (name, prop::option::of((labels, comma, end)), value).prop_map(|(name, labels, value)| {
            match labels {
                None => format!("{name} {value}"),
                Some((labels, comma, end)) => {
                    format!("{name}{{{}{end}{value}", labels.join(comma))
                }
            }
        })
    }

    proptest! {
        /// For any lines: what was above a line changes nothing of what it says, nor of why it is refused.
        #[test]
        fn the_line_above_changes_nothing(lines in prop::collection::vec(line(), 1..12)) {
            let page = lines.join("\n") + "\n";
            let body = page.as_bytes();
            for dialect in [Dialect::Text, Dialect::OpenMetrics, Dialect::Decoded] {
                let (mut near, mut at) = (NearLine::default(), 0);
                while at < body.len() {
                    let (read, full) = (near.read(body, at, dialect), any_line::parse(body, at, dialect));
                    let next = match (read, full) {
                        (Ok((NewLine::Sample(read), next)), Ok((Line::Sample(full), full_next))) => {
                            prop_assert_eq!(&near.labels, &full.labels);
                            let Sample { value, number, histogram, exemplar, time_ms, .. } = full;
                            let full = SampleLine { value, bits: number.to_bits(), histogram, exemplar, time_ms };
                            prop_assert_eq!((read, next), (full, full_next));
                            Some(next)
                        }
                        (Ok((NewLine::Other(_), next)), Ok((_, full_next))) => {
                            prop_assert_eq!(next, full_next);
                            Some(next)
                        }
                        (Err(why), Err(full)) => {
                            prop_assert_eq!(why, full);
                            None
                        }
                        _ => panic!("one takes the line at {at} of {page:?}, the other does not"),
                    };
                    let line_end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |len| at + len + 1);
                    at = next.unwrap_or(line_end);
                }
            }
        }
    }

    /// The line above has the last name, but not where this one has it for the first time: the last value was taken.
    #[test]
    fn a_name_twice_is_refused_whatever_is_above() {
        for above in [
            "",
            "m{a=\"1\",b=\"2\"} 1\n",
            "m{a=\"1\",b=\"2\"} 1\nm{b=\"1\",b=\"2\"} 1\n",
        ] {
            let page = format!("{above}m{{b=\"1\",b=\"2\"}} 1\n");
            let (mut near, mut at, mut last) = (NearLine::default(), 0, Ok(()));
            for line in page.split_inclusive('\n') {
                last = near.read(page.as_bytes(), at, Dialect::Text).map(|_| ());
                at += line.len();
            }
            let why = last.expect_err(&page);
            assert!(why.contains("twice"), "{why}");
        }
    }
}

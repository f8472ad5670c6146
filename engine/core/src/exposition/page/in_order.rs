//! The walk while page and template agree: the hot loop of parsing.
//!
//! An unchanged line costs comparisons of bytes and nothing else: names and labels are not parsed, and a number is
//! parsed only where its text changed or the sample has an explicit timestamp. Bench: `scrape`.

use std::ops::Range;

use super::super::dialect::{Dialect, Tail};
use super::super::number;
use super::super::template::{Chunk, Place, Row, RowKind};
use super::{Change, Compare, ExemplarOf, ExplicitSample, HistogramSample};

/// Whether a line matches the expected row.
pub(super) enum LineMatch {
    /// It does; the next line begins here.
    Yes(usize),
    No,
}

impl Compare<'_, '_> {
    /// Advances as long as the page's lines are the template's rows in order.
    pub(super) fn match_in_order(&mut self) -> Result<(), String> {
        while let Some(chunk) = self.chunks.get(self.place.chunk as usize) {
            while let Some(row) = chunk.rows.get(self.place.row as usize) {
                if self.at >= self.body.len() {
                    return Ok(());
                }
                match self.match_line(chunk, row) {
                    LineMatch::Yes(next) => {
                        self.above = self.at;
                        self.at = next;
                        self.text_at = chunk.next_text(row, self.text_at);
                        self.place.row += 1;
                    }
                    LineMatch::No => return Ok(()),
                }
            }
            self.place = Place {
                chunk: self.place.chunk + 1,
                row: 0,
            };
            self.text_at = 0;
        }
        Ok(())
    }

    #[inline]
    fn match_line(&mut self, chunk: &Chunk, row: &Row) -> LineMatch {
        let shared = usize::from(row.shared);
        let suffix_at = self.at + shared;
        let value_at = suffix_at + row.suffix_len as usize;
        let body = self.body;
        if value_at > body.len()
            || body[suffix_at..value_at] != *chunk.suffix(row, self.text_at)
            || body[self.at..suffix_at] != body[self.above..self.above + shared]
        {
            return LineMatch::No;
        }
        self.match_value(chunk, row, value_at)
    }

    /// The key matches; compares the value.
    #[inline]
    pub(super) fn match_value(&mut self, chunk: &Chunk, row: &Row, value_at: usize) -> LineMatch {
        let body = self.body;
        let kind = row.kind();
        if !kind.is_sample() {
            if let RowKind::Skipped(of) = kind {
                return self.match_run(of);
            }
            if body.get(value_at).is_some_and(|&byte| byte != b'\n') {
                return LineMatch::No;
            }
            if let RowKind::Type(of) = kind {
                (self.old_type, self.new_type) = (of, of);
            }
            return LineMatch::Yes(value_at + 1);
        }
        if self.old_type != self.new_type {
            // The same line under another TYPE: its labels may be normalised differently.
            return LineMatch::No;
        }
        if !row.is_explicit() {
            let known = chunk.value(row, self.text_at);
            let end = value_at + known.len();
            if body.get(end) == Some(&b'\n') && !known.is_empty() && body[value_at..end] == *known {
                self.count(kind);
                return LineMatch::Yes(end + 1);
            }
        }
        self.match_changed_value(row, kind, value_at)
    }

    #[inline]
    fn match_changed_value(&mut self, row: &Row, kind: RowKind, value_at: usize) -> LineMatch {
        let rest = &self.body[value_at..];
        if self.dialect != Dialect::Text {
            return match self.dialect.tail(rest) {
                Some(tail) => self.match_tail(row, kind, value_at, tail),
                None => LineMatch::No,
            };
        }
        let Some((value_len, number, time_ms, len)) = value_and_time(rest) else {
            return LineMatch::No;
        };
        let bits = number.to_bits();
        self.take_value(row, kind, value_at..value_at + value_len, bits, time_ms)
            .then(|| value_at + len)
            .map_or(LineMatch::No, LineMatch::Yes)
    }

    /// A line in a dialect that has exemplars and native histograms.
    fn match_tail(&mut self, row: &Row, kind: RowKind, value_at: usize, tail: Tail) -> LineMatch {
        let series = match kind {
            RowKind::Series(series) => Some(series),
            _ => None,
        };
        let value = value_at..value_at + tail.value_len;
        if let Some(index) = tail.histogram {
            if !row.is_explicit() {
                // It was a float before.
                return LineMatch::No;
            }
            if let Some(series) = series {
                let time_ms = tail.time_ms.filter(|_| self.honor_timestamps);
                self.page.histograms.push(HistogramSample {
                    series,
                    time_ms,
                    index,
                });
            }
            self.count(kind);
        } else if !self.take_value(row, kind, value, tail.bits, tail.time_ms) {
            return LineMatch::No;
        }
        if let (Some(series), Some(text)) = (series, tail.exemplar) {
            let text = value_at + text.start..value_at + text.end;
            let of = ExemplarOf::Series(series);
            self.page.exemplars.push((of, text));
        }
        LineMatch::Yes(value_at + tail.len)
    }

    /// Records the value of a row. False: the row cannot take it, and the line counts as new.
    #[inline]
    fn take_value(
        &mut self,
        row: &Row,
        kind: RowKind,
        value: Range<usize>,
        bits: u64,
        time_ms: Option<i64>,
    ) -> bool {
        let time_ms = if self.honor_timestamps { time_ms } else { None };
        let series = match kind {
            RowKind::Series(series) => Some(series),
            _ => None,
        };
        if row.is_explicit() {
            if let Some(series) = series {
                self.page.explicit.push(ExplicitSample {
                    series,
                    time_ms,
                    bits,
                });
            }
        } else if time_ms.is_some() {
            // The sample had no timestamp before: the line counts as new, and its row becomes an explicit one.
            return false;
        } else {
            self.page.changes.push(Change {
                place: self.place,
                text_at: self.text_at as u32,
                value_at: value.start as u32,
                value_len: value.len() as u32,
                series,
                bits,
            });
        }
        self.count(kind);
        true
    }

    #[inline]
    fn count(&mut self, kind: RowKind) {
        self.page.samples += 1;
        if kind == RowKind::Dropped {
            self.page.dropped += 1;
        }
    }
}

/// Length of the value's text, the value, the timestamp, and the length up to the next line.
#[inline]
pub(super) fn value_and_time(rest: &[u8]) -> Option<(usize, f64, Option<i64>, usize)> {
    let token = rest
        .iter()
        .position(|byte| matches!(byte, b'\n' | b' ' | b'\t'))
        .unwrap_or(rest.len());
    let number = number::parse(&rest[..token])?;
    match rest.get(token) {
        None => return Some((token, number, None, token)),
        Some(b'\n') => return Some((token, number, None, token + 1)),
        Some(_) => {}
    }
    let blanks = |from: usize| {
        from + rest[from..]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count()
    };
    let digits_at = blanks(token);
    let digits = rest[digits_at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let time_ms = match digits {
        0 => None,
        _ => Some(
            std::str::from_utf8(&rest[digits_at..digits_at + digits])
                .ok()?
                .parse()
                .ok()?,
        ),
    };
    let end = blanks(digits_at + digits);
    match rest.get(end) {
        None => Some((token, number, time_ms, end)),
        Some(b'\n') => Some((token, number, time_ms, end + 1)),
        Some(_) => None,
    }
}

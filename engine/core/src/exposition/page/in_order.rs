//! The walk while page and template agree: the hot loop of parsing.
//!
//! An unchanged line costs comparisons of bytes and nothing else: names and labels are not parsed, and a number is
//! parsed only where its text changed or the sample has an explicit timestamp. Bench: `scrape`.

use super::super::number;
use super::super::template::{Chunk, Place, Row, RowKind};
use super::{Change, Compare, ExplicitSample};

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
        let Some((token, number, time_ms, len)) = value_and_time(rest) else {
            return LineMatch::No;
        };
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
                    bits: number.to_bits(),
                });
            }
        } else if time_ms.is_some() {
            // The sample had no timestamp before: the line counts as new, and its row becomes an explicit one.
            return LineMatch::No;
        } else {
            self.page.changes.push(Change {
                place: self.place,
                text_at: self.text_at as u32,
                value_at: value_at as u32,
                value_len: token as u32,
                series,
                bits: number.to_bits(),
            });
        }
        self.count(kind);
        LineMatch::Yes(value_at + len)
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
fn value_and_time(rest: &[u8]) -> Option<(usize, f64, Option<i64>, usize)> {
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

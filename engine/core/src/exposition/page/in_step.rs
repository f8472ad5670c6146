//! The walk while page and template agree: the hot loop.
//!
//! A line that is as it was costs comparisons of bytes and nothing else: no name or label is looked at, and a number is
//! read only where its text moved or is handed over every time. Bench: `scrape`.

use super::super::number;
use super::super::template::{Chunk, Place, Row, RowKind};
use super::{Always, Change, Compare};

/// How a line compares with the expected row.
pub(super) enum Fit {
    /// It is that row; the line ends before this place.
    Yes(usize),
    No,
}

impl Compare<'_, '_> {
    /// Walks on while page and template agree. This is the hot loop.
    pub(super) fn in_step(&mut self) -> Result<(), String> {
        while let Some(chunk) = self.chunks.get(self.place.chunk as usize) {
            while let Some(row) = chunk.rows.get(self.place.row as usize) {
                if self.at >= self.body.len() {
                    return Ok(());
                }
                match self.fit(chunk, row) {
                    Fit::Yes(next) => {
                        self.above = self.at;
                        self.at = next;
                        self.text_at = chunk.next_text(row, self.text_at);
                        self.place.row += 1;
                    }
                    Fit::No => return Ok(()),
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
    fn fit(&mut self, chunk: &Chunk, row: &Row) -> Fit {
        let shared = usize::from(row.shared);
        let suffix_at = self.at + shared;
        let value_at = suffix_at + row.suffix_len as usize;
        let body = self.body;
        if value_at > body.len()
            || body[suffix_at..value_at] != *chunk.suffix(row, self.text_at)
            || body[self.at..suffix_at] != body[self.above..self.above + shared]
        {
            return Fit::No;
        }
        self.fit_value(chunk, row, value_at)
    }

    /// The key fits; now the value.
    #[inline]
    pub(super) fn fit_value(&mut self, chunk: &Chunk, row: &Row, value_at: usize) -> Fit {
        let body = self.body;
        let kind = row.kind();
        if !kind.is_sample() {
            if let RowKind::Skipped(of) = kind {
                return self.fit_run(of);
            }
            if body.get(value_at).is_some_and(|&byte| byte != b'\n') {
                return Fit::No;
            }
            if let RowKind::Type(of) = kind {
                (self.old_type, self.new_type) = (of, of);
            }
            return Fit::Yes(value_at + 1);
        }
        if self.old_type != self.new_type {
            // The line is as it was, but stands under another TYPE now: its labels may be read differently.
            return Fit::No;
        }
        if !row.is_always() {
            let known = chunk.value(row, self.text_at);
            let end = value_at + known.len();
            if body.get(end) == Some(&b'\n') && !known.is_empty() && body[value_at..end] == *known {
                self.count(kind);
                return Fit::Yes(end + 1);
            }
        }
        self.fit_moved_value(row, kind, value_at)
    }

    #[inline]
    fn fit_moved_value(&mut self, row: &Row, kind: RowKind, value_at: usize) -> Fit {
        let rest = &self.body[value_at..];
        let Some((token, number, time_ms, len)) = value_and_time(rest) else {
            return Fit::No;
        };
        let time_ms = if self.honor_timestamps { time_ms } else { None };
        let series = match kind {
            RowKind::Series(series) => Some(series),
            _ => None,
        };
        if row.is_always() {
            if let Some(series) = series {
                self.page.always.push(Always {
                    series,
                    time_ms,
                    bits: number.to_bits(),
                });
            }
        } else if time_ms.is_some() {
            // It had none so far: the line becomes new, and its row one that is always handed over.
            return Fit::No;
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
        Fit::Yes(value_at + len)
    }

    #[inline]
    fn count(&mut self, kind: RowKind) {
        self.page.samples += 1;
        if kind == RowKind::Dropped {
            self.page.dropped += 1;
        }
    }
}

/// Length of the value's token, the value, the timestamp, and the length up to the next line.
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

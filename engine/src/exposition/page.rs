//! One page against the template: which values moved, which lines are new, which are gone. Nothing of the target
//! changes here; `stage` applies the result once the store has taken it.

use std::ops::Range;

use hashbrown::HashMap;

use crate::limits::RESYNC_ROWS;
use crate::store::SeriesId;

use super::line::{self, FamilyType, Line};
use super::number;
use super::run::{Passed, Walk, open_quote};
use super::sieve::Sieve;
use super::template::{Chunk, Place, Row, RowKind};

/// A value that is not the text it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) place: Place,
    /// Where the row's text begins in its chunk.
    pub(crate) text_at: u32,
    pub(crate) value_at: u32,
    pub(crate) value_len: u32,
    /// `None` where relabelling drops the sample or another line has its series.
    pub(crate) series: Option<SeriesId>,
    pub(crate) bits: u64,
}

/// A sample that is handed over at every scrape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Always {
    pub(crate) series: SeriesId,
    pub(crate) time_ms: Option<i64>,
    pub(crate) bits: u64,
}

/// What stands between two edits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece {
    /// Rows of the old template.
    Keep(Place, Place),
    /// Entry of `Page::new_lines`.
    New(u32),
}

/// A line that the template does not have.
#[derive(Debug)]
pub(crate) struct NewLine {
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
    pub(crate) kind: NewKind,
}

/// What a new line is.
#[derive(Debug)]
pub(crate) enum NewKind {
    /// A run of lines that are passed over.
    Skipped(FamilyType),
    Comment,
    Type(FamilyType),
    Sample {
        labels: Option<crate::labels::Labels>,
        bits: u64,
        time_ms: Option<i64>,
    },
}

/// HELP or TYPE of a family, as the page says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Metadata {
    Help(String, String),
    Type(String, FamilyType),
}

/// The difference between a page and the template. Reused from page to page.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) changes: Vec<Change>,
    pub(crate) always: Vec<Always>,
    /// Empty where no line came, went or moved.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) new_lines: Vec<NewLine>,
    /// Series of rows that the page no longer has.
    pub(crate) gone: Vec<SeriesId>,
    pub(crate) metadata: Vec<Metadata>,
    /// Sample lines on the page.
    pub(crate) samples: u64,
    /// Those that relabelling drops, and those that are not kept.
    pub(crate) dropped: u64,
    /// Lines passed over.
    pub(crate) skipped: u64,
    /// New samples that are not kept, for what their labels tell.
    pub(crate) looked_at: Vec<crate::labels::Labels>,
    key: Vec<u8>,
}

impl Page {
    fn clear(&mut self) {
        self.changes.clear();
        self.always.clear();
        self.pieces.clear();
        self.new_lines.clear();
        self.gone.clear();
        self.metadata.clear();
        self.looked_at.clear();
        self.samples = 0;
        self.dropped = 0;
        self.skipped = 0;
    }

    /// Bytes held between pages.
    pub(crate) fn bytes(&self) -> usize {
        self.changes.capacity() * size_of::<Change>()
            + self.always.capacity() * size_of::<Always>()
            + self.pieces.capacity() * size_of::<Piece>()
            + self.new_lines.capacity() * size_of::<NewLine>()
            + self.gone.capacity() * size_of::<SeriesId>()
    }
}

/// Where and why a page breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

impl std::fmt::Display for PageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for PageError {}

/// How the samples of a page become series: the target's business.
pub(crate) trait MapLabels {
    /// The final labels of a sample; `None` where it is dropped.
    fn map(
        &mut self,
        labels: &[(std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)],
        family_type: FamilyType,
    ) -> Result<Option<crate::labels::Labels>, String>;
    /// Whether timestamps on the page count.
    fn honor_timestamps(&self) -> bool;
    /// Whether every series of the target has this label, whatever its page says.
    fn adds(&self, label: &str) -> bool;
}

/// Compares `body` with the template. With a sieve, what it does not keep is passed over.
pub(crate) fn compare(
    chunks: &[Chunk],
    body: &[u8],
    map: &mut dyn MapLabels,
    mut sieve: Option<&mut Sieve>,
    page: &mut Page,
) -> Result<(), PageError> {
    page.clear();
    if let Some(sieve) = &mut sieve {
        sieve.restart();
    }
    let mut compare = Compare {
        chunks,
        body,
        honor_timestamps: map.honor_timestamps(),
        map,
        sieve,
        page,
        at: 0,
        place: Place::default(),
        text_at: 0,
        above: 0,
        kept_from: Place::default(),
        old_type: FamilyType::Unknown,
        new_type: FamilyType::Unknown,
        misses: 0,
        run: 0..0,
        ahead: None,
    };
    compare.run().map_err(|reason| PageError {
        line: 1 + memchr::memchr_iter(b'\n', &body[..compare.at]).count(),
        reason,
    })
}

struct Compare<'a, 'm> {
    chunks: &'a [Chunk],
    body: &'a [u8],
    map: &'m mut dyn MapLabels,
    sieve: Option<&'m mut Sieve>,
    honor_timestamps: bool,
    page: &'m mut Page,
    /// In the body: where the line begins that comes next.
    at: usize,
    /// In the template: the row that is expected next, and where its text begins.
    place: Place,
    text_at: usize,
    /// In the body: the line that was recognised as the row above `place`.
    above: usize,
    kept_from: Place,
    /// The type by the TYPE lines of the template up to `place`, and by those of the page up to `at`.
    old_type: FamilyType,
    new_type: FamilyType,
    /// New lines in a row, to know when to stop guessing.
    misses: usize,
    /// In the body: the newest run of lines that were passed over.
    run: Range<usize>,
    /// Every remaining row by its key, made once guessing has failed.
    ahead: Option<HashMap<Vec<u8>, Place>>,
}

/// How a line compares with the expected row.
enum Fit {
    /// It is that row; the line ends before this place.
    Yes(usize),
    No,
}

impl Compare<'_, '_> {
    fn run(&mut self) -> Result<(), String> {
        while self.at < self.body.len() {
            self.in_step()?;
            if self.at < self.body.len() {
                self.out_of_step()?;
            }
        }
        self.skip_to(Place {
            chunk: self.chunks.len() as u32,
            row: 0,
        });
        let edited = !self.page.pieces.is_empty() || !self.page.gone.is_empty();
        let end = self.place;
        if edited || self.kept_from != Place::default() {
            self.keep_until(end);
        }
        Ok(())
    }

    /// Walks on while page and template agree. This is the hot loop.
    fn in_step(&mut self) -> Result<(), String> {
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
    fn fit_value(&mut self, chunk: &Chunk, row: &Row, value_at: usize) -> Fit {
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

    /// Lines that are passed over, as on the last page; how many does not matter.
    fn fit_run(&mut self, family_type: FamilyType) -> Fit {
        match self.pass() {
            Ok(Some(passed)) if passed.family_type == family_type => {
                self.old_type = family_type;
                self.take_run(&passed);
                Fit::Yes(passed.end)
            }
            // What breaks is found again, and told, when the line is taken by itself.
            _ => Fit::No,
        }
    }

    /// The run of lines here that are passed over.
    fn pass(&mut self) -> Result<Option<Passed>, String> {
        let Some(sieve) = &mut self.sieve else {
            return Ok(None);
        };
        let mut walk = Walk {
            sieve,
            map: self.map,
            body: self.body,
        };
        match walk.pass(self.at, self.new_type) {
            Ok(passed) => Ok((passed.lines > 0).then_some(passed)),
            Err((at, why)) => {
                self.at = at;
                Err(why)
            }
        }
    }

    fn take_run(&mut self, passed: &Passed) {
        self.run = self.at..passed.end;
        self.new_type = passed.family_type;
        self.page.samples += passed.samples;
        self.page.dropped += passed.samples;
        self.page.skipped += passed.lines;
    }

    #[inline]
    fn count(&mut self, kind: RowKind) {
        self.page.samples += 1;
        if kind == RowKind::Dropped {
            self.page.dropped += 1;
        }
    }

    /// The line at `at` is not the expected row: find the row it is, or take it as new.
    fn out_of_step(&mut self) -> Result<(), String> {
        if let Some(passed) = self.pass()? {
            self.keep_until(self.place);
            self.take_run(&passed);
            let kind = NewKind::Skipped(passed.family_type);
            self.push_new(self.at..self.at, self.at..self.at, kind);
            self.at = passed.end;
            return Ok(());
        }
        let (line, next) = line::parse(self.body, self.at)?;
        if let Some(found) = self.find_ahead(&line, next) {
            self.skip_to(found);
            self.misses = 0;
            let chunk = &self.chunks[found.chunk as usize];
            let row = &chunk.rows[found.row as usize];
            let value_at = self.at + row.key_len();
            if let Fit::Yes(next) = self.fit_value(chunk, row, value_at) {
                self.above = self.at;
                self.at = next;
                self.text_at = chunk.next_text(row, self.text_at);
                self.place.row += 1;
                self.normalise();
                return Ok(());
            }
            // The rows behind `found` share bytes with its key, which is this line's.
            self.above = self.at;
            // Same key, but it cannot stay that row: the row goes, the line comes.
            self.skip_to(self.after(found));
        }
        self.misses += 1;
        self.check_run()?;
        self.take_new(line, next)
    }

    /// A new line says something, and what stands above it was passed over: it must not be part of a label's value that
    /// holds a line break.
    fn check_run(&mut self) -> Result<(), String> {
        if self.run.is_empty() || self.run.end != self.at {
            return Ok(());
        }
        if let Some(at) = open_quote(&self.body[self.run.clone()]) {
            self.at = self.run.start + at;
            return Err("a label's value holds a line break, written as such".to_owned());
        }
        Ok(())
    }

    /// A row further on, whose key is this line's.
    fn find_ahead(&mut self, line: &Line<'_>, next: usize) -> Option<Place> {
        if self.place.chunk as usize >= self.chunks.len() {
            return None;
        }
        let key_end = match line {
            Line::Sample(sample) => sample.value.start,
            _ => line_end(self.body, next),
        };
        let key = &self.body[self.at..key_end];
        if self.ahead.is_none() && self.misses < RESYNC_ROWS {
            return self.find_near(key);
        }
        if self.ahead.is_none() {
            self.ahead = Some(self.index_rows_ahead());
        }
        let found = *self.ahead.as_ref()?.get(key)?;
        (found >= self.place).then_some(found)
    }

    fn find_near(&mut self, key: &[u8]) -> Option<Place> {
        let mut scratch = std::mem::take(&mut self.page.key);
        let found = self.walk_rows(&mut scratch, RESYNC_ROWS, |have, place| {
            (have == key).then_some(place)
        });
        self.page.key = scratch;
        found
    }

    fn index_rows_ahead(&self) -> HashMap<Vec<u8>, Place> {
        let mut rows = HashMap::new();
        let mut scratch = Vec::new();
        self.walk_rows(&mut scratch, usize::MAX, |key, place| {
            rows.entry(key.to_vec()).or_insert(place);
            None::<()>
        });
        rows
    }

    /// Spells out the keys of the next rows, from the expected one on.
    fn walk_rows<T>(
        &self,
        key: &mut Vec<u8>,
        rows_max: usize,
        mut visit: impl FnMut(&[u8], Place) -> Option<T>,
    ) -> Option<T> {
        let (mut place, mut text_at, mut walked) = (self.place, self.text_at, 0);
        key.clear();
        if let Some(row) = self.row(place) {
            key.extend_from_slice(&self.body[self.above..self.above + usize::from(row.shared)]);
        }
        while let Some(chunk) = self.chunks.get(place.chunk as usize) {
            while let Some(row) = chunk.rows.get(place.row as usize) {
                if walked == rows_max {
                    return None;
                }
                walked += 1;
                key.truncate(usize::from(row.shared));
                key.extend_from_slice(chunk.suffix(row, text_at));
                // A run has no key to be found by.
                let is_run = matches!(row.kind(), RowKind::Skipped(_));
                if !is_run && let Some(found) = visit(key, place) {
                    return Some(found);
                }
                text_at = chunk.next_text(row, text_at);
                place.row += 1;
            }
            place = Place {
                chunk: place.chunk + 1,
                row: 0,
            };
            text_at = 0;
        }
        None
    }

    fn row(&self, place: Place) -> Option<&Row> {
        self.chunks
            .get(place.chunk as usize)?
            .rows
            .get(place.row as usize)
    }

    fn after(&self, place: Place) -> Place {
        Place {
            chunk: place.chunk,
            row: place.row + 1,
        }
    }

    /// Moves `place` from the end of a chunk to the start of the next.
    fn normalise(&mut self) {
        if self
            .chunks
            .get(self.place.chunk as usize)
            .is_some_and(|c| self.place.row as usize >= c.rows.len())
        {
            self.place = Place {
                chunk: self.place.chunk + 1,
                row: 0,
            };
            self.text_at = 0;
        }
    }

    /// The rows from the expected one until `until` are not on the page.
    fn skip_to(&mut self, until: Place) {
        if self.place >= until {
            return;
        }
        self.keep_until(self.place);
        while self.place < until {
            let Some(chunk) = self.chunks.get(self.place.chunk as usize) else {
                break;
            };
            let Some(row) = chunk.rows.get(self.place.row as usize) else {
                self.normalise();
                continue;
            };
            match row.kind() {
                RowKind::Series(series) => self.page.gone.push(series),
                RowKind::Type(of) | RowKind::Skipped(of) => self.old_type = of,
                _ => {}
            }
            self.text_at = chunk.next_text(row, self.text_at);
            self.place.row += 1;
        }
        self.normalise();
        self.kept_from = self.place;
        self.page.pieces.push(Piece::Keep(self.place, self.place));
    }

    /// Rows from `kept_from` until `until` stay; what follows is an edit.
    fn keep_until(&mut self, until: Place) {
        if self.kept_from < until {
            self.page.pieces.push(Piece::Keep(self.kept_from, until));
        }
        self.kept_from = until;
    }

    fn take_new(&mut self, line: Line<'_>, next: usize) -> Result<(), String> {
        self.keep_until(self.place);
        let end = line_end(self.body, next);
        let (key, value, kind) = match line {
            Line::Blank | Line::Comment => (self.at..end, end..end, NewKind::Comment),
            Line::Help { family, text } => {
                self.page
                    .metadata
                    .push(Metadata::Help(family.into_owned(), text.into_owned()));
                (self.at..end, end..end, NewKind::Comment)
            }
            Line::Type {
                family,
                family_type,
            } => {
                self.page
                    .metadata
                    .push(Metadata::Type(family.into_owned(), family_type));
                self.new_type = family_type;
                (self.at..end, end..end, NewKind::Type(family_type))
            }
            Line::Sample(sample) => {
                let mut labels = self.map.map(&sample.labels, self.new_type)?;
                if let Some(sieve) = &self.sieve {
                    let left_out = labels.take_if(|labels| !sieve.keeps(labels));
                    self.page.looked_at.extend(left_out);
                }
                self.page.samples += 1;
                self.page.dropped += u64::from(labels.is_none());
                let time_ms = if self.honor_timestamps {
                    sample.time_ms
                } else {
                    None
                };
                let kind = NewKind::Sample {
                    labels,
                    bits: sample.number.to_bits(),
                    time_ms,
                };
                (self.at..sample.value.start, sample.value, kind)
            }
        };
        self.push_new(key, value, kind);
        self.at = next;
        Ok(())
    }

    fn push_new(&mut self, key: Range<usize>, value: Range<usize>, kind: NewKind) {
        self.page
            .pieces
            .push(Piece::New(self.page.new_lines.len() as u32));
        self.page.new_lines.push(NewLine { key, value, kind });
    }
}

/// Where a line ends, without its line break.
fn line_end(body: &[u8], next: usize) -> usize {
    if next > 0 && body.get(next - 1) == Some(&b'\n') {
        next - 1
    } else {
        next
    }
}

/// Length of the value's token, the value, the timestamp, and the length up to the next line.
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

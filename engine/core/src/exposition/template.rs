//! The template: a target's last good page, kept so that the next one can be compared with it line by line.
//!
//! Exporters write the same lines in the same order; between two scrapes only some values differ. So a line is
//! recognised by comparing bytes, not by tokenising and hashing, and a value whose text is unchanged is not even
//! parsed. Keys (everything before the value) are front-coded: what a line shares with the one above is compared
//! within the page itself.
//!
//! ```text
//!  Chunk  up to 512 rows:   rows  | Row | Row | ...
//!                           text  | key suffix | last value, room to cap | key suffix | ...
//!  Row    | shared u16 | value_len u8 | value_cap u8 | suffix_len u32 | id u32 |     12 bytes
//! ```
//!
//! With `retain: signals`, one row with an empty key stands for a run of skipped lines of any length
//! (`retain_filter`).
//!
//! An edit rewrites the chunk it falls in (about 20 kB), not the page. Budget: 15 ns for an unchanged line, 25 ns for
//! a line with another value; 75 bytes per series. Bench: `scrape`.

use crate::ids::SeriesId;
use crate::limits::CHUNK_ROWS;

use crate::metadata::FamilyType;

/// The kind of a template row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowKind {
    /// A sample of this series.
    Series(SeriesId),
    /// A comment, a HELP line, or an empty line.
    Comment,
    /// A TYPE line; it applies to the samples below.
    Type(FamilyType),
    /// A sample that relabelling drops.
    Dropped,
    /// A sample whose series belongs to an earlier line.
    Duplicate,
    /// A sample whose series belongs to another target.
    Conflict,
    /// A run of skipped lines, with an empty key; the type applies to the samples below.
    Skipped(FamilyType),
}

const ID_COMMENT: u32 = u32::MAX;
const ID_TYPES: [(u32, FamilyType); 8] = [
    (u32::MAX - 1, FamilyType::Counter),
    (u32::MAX - 2, FamilyType::Gauge),
    (u32::MAX - 3, FamilyType::Histogram),
    (u32::MAX - 4, FamilyType::Summary),
    (u32::MAX - 5, FamilyType::Unknown),
    (u32::MAX - 6, FamilyType::GaugeHistogram),
    (u32::MAX - 7, FamilyType::Info),
    (u32::MAX - 8, FamilyType::StateSet),
];
const ID_DROPPED: u32 = u32::MAX - 9;
const ID_DUPLICATE: u32 = u32::MAX - 10;
const ID_CONFLICT: u32 = u32::MAX - 11;
const ID_SKIPPED: [(u32, FamilyType); 8] = [
    (u32::MAX - 12, FamilyType::Counter),
    (u32::MAX - 13, FamilyType::Gauge),
    (u32::MAX - 14, FamilyType::Histogram),
    (u32::MAX - 15, FamilyType::Summary),
    (u32::MAX - 16, FamilyType::Unknown),
    (u32::MAX - 17, FamilyType::GaugeHistogram),
    (u32::MAX - 18, FamilyType::Info),
    (u32::MAX - 19, FamilyType::StateSet),
];
/// Ids from here on are kinds, not series.
const ID_KINDS: u32 = u32::MAX - 19;

fn id_of(ids: &[(u32, FamilyType); 8], of: FamilyType) -> u32 {
    let same = ids.iter().find(|(_, have)| *have == of);
    same.map_or(ID_COMMENT, |(id, _)| *id)
}

fn type_of(ids: &[(u32, FamilyType); 8], id: u32) -> Option<FamilyType> {
    let same = ids.iter().find(|(have, _)| *have == id);
    same.map(|(_, of)| *of)
}

impl RowKind {
    fn pack(self) -> u32 {
        match self {
            RowKind::Series(id) => id.0,
            RowKind::Comment => ID_COMMENT,
            RowKind::Type(of) => id_of(&ID_TYPES, of),
            RowKind::Skipped(of) => id_of(&ID_SKIPPED, of),
            RowKind::Dropped => ID_DROPPED,
            RowKind::Duplicate => ID_DUPLICATE,
            RowKind::Conflict => ID_CONFLICT,
        }
    }

    #[inline]
    fn unpack(id: u32) -> RowKind {
        if id < ID_KINDS {
            return RowKind::Series(SeriesId(id));
        }
        match id {
            ID_DROPPED => RowKind::Dropped,
            ID_DUPLICATE => RowKind::Duplicate,
            ID_CONFLICT => RowKind::Conflict,
            _ => match (type_of(&ID_TYPES, id), type_of(&ID_SKIPPED, id)) {
                (Some(of), _) => RowKind::Type(of),
                (_, Some(of)) => RowKind::Skipped(of),
                _ => RowKind::Comment,
            },
        }
    }

    /// Whether the row is a sample, stored or not.
    pub(crate) fn is_sample(self) -> bool {
        !matches!(
            self,
            RowKind::Comment | RowKind::Type(_) | RowKind::Skipped(_)
        )
    }
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Bytes of the key that are those of the row above.
    pub(crate) shared: u16,
    value_len: u8,
    value_cap: u8,
    /// Bytes of the key after the shared ones.
    pub(crate) suffix_len: u32,
    id: u32,
}

const _: () = assert!(size_of::<Row>() == 12);

/// In `value_cap`: the sample has an explicit timestamp, so its value is never compared.
const CAP_EXPLICIT: u8 = u8::MAX;
/// Values longer than this are parsed at every scrape instead of being remembered.
const VALUE_TEXT_MAX: usize = 248;

impl Row {
    #[inline]
    pub(crate) fn kind(&self) -> RowKind {
        RowKind::unpack(self.id)
    }

    /// Whether the sample has an explicit timestamp and is passed to the store at every scrape.
    #[inline]
    pub(crate) fn is_explicit(&self) -> bool {
        self.value_cap == CAP_EXPLICIT
    }

    #[inline]
    pub(crate) fn key_len(&self) -> usize {
        usize::from(self.shared) + self.suffix_len as usize
    }

    #[inline]
    fn text_len(&self) -> usize {
        self.suffix_len as usize
            + if self.is_explicit() {
                0
            } else {
                usize::from(self.value_cap)
            }
    }
}

/// A few hundred rows and their text.
#[derive(Default, Debug)]
pub(crate) struct Chunk {
    pub(crate) rows: Vec<Row>,
    text: Vec<u8>,
}

impl Chunk {
    /// The text after the shared part of the row whose text begins at `at`.
    #[inline]
    pub(crate) fn suffix(&self, row: &Row, at: usize) -> &[u8] {
        &self.text[at..at + row.suffix_len as usize]
    }

    /// The value text of the row whose text begins at `at`.
    #[inline]
    pub(crate) fn value(&self, row: &Row, at: usize) -> &[u8] {
        let start = at + row.suffix_len as usize;
        &self.text[start..start + usize::from(row.value_len)]
    }

    /// Where the next row's text begins.
    #[inline]
    pub(crate) fn next_text(&self, row: &Row, at: usize) -> usize {
        at + row.text_len()
    }

    /// Replaces the value text of a row. Must be called from the last row to the first, because it may move the text of
    /// later rows.
    pub(crate) fn set_value(&mut self, row: usize, at: usize, value: &[u8]) {
        let Row {
            value_cap,
            suffix_len,
            ..
        } = self.rows[row];
        if value_cap == CAP_EXPLICIT {
            return;
        }
        let value = if value.len() > VALUE_TEXT_MAX {
            &[]
        } else {
            value
        };
        let start = at + suffix_len as usize;
        let cap = usize::from(value_cap);
        if value.len() > cap {
            let grown = room_for(value.len());
            self.text.splice(
                start + cap..start + cap,
                std::iter::repeat_n(0, grown - cap),
            );
            self.rows[row].value_cap = grown as u8;
        }
        self.text[start..start + value.len()].copy_from_slice(value);
        self.rows[row].value_len = value.len() as u8;
    }
}

/// How many bytes both begin with: neighbours on a page share most of a hundred or two, so blocks are compared first.
pub(super) fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    const BLOCK: usize = 16;
    let (blocks, _) = one.as_chunks::<BLOCK>();
    let (other_blocks, _) = other.as_chunks::<BLOCK>();
    let same = blocks.iter().zip(other_blocks);
    let whole = BLOCK * same.take_while(|(one, other)| one == other).count();
    let rest = one[whole..].iter().zip(&other[whole..]);
    whole + rest.take_while(|(one, other)| one == other).count()
}

fn room_for(len: usize) -> usize {
    len.next_multiple_of(4).max(4)
}

/// A place in the template: chunk and row. The end is one past the last chunk, row 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) chunk: u32,
    pub(crate) row: u32,
}

/// A row that is new to the template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRow<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) kind: RowKind,
    pub(crate) explicit: bool,
}

/// Builds a new template from parts of the old one and new rows.
#[derive(Default)]
pub(crate) struct Builder {
    done: Vec<Chunk>,
    current: Chunk,
    last_key: Vec<u8>,
}

impl Builder {
    /// Adds a new row.
    pub(crate) fn push(&mut self, new: NewRow<'_>) {
        if self.current.rows.len() >= CHUNK_ROWS {
            self.close();
        }
        let shared = if self.current.rows.is_empty() {
            0
        } else {
            common_prefix(&self.last_key, new.key).min(usize::from(u16::MAX))
        };
        let value = if new.value.len() > VALUE_TEXT_MAX || new.explicit {
            &[]
        } else {
            new.value
        };
        let cap = match (new.explicit, new.kind.is_sample()) {
            (true, _) => CAP_EXPLICIT,
            (false, true) => room_for(value.len()) as u8,
            (false, false) => 0,
        };
        let row = Row {
            shared: shared as u16,
            value_len: value.len() as u8,
            value_cap: cap,
            suffix_len: (new.key.len() - shared) as u32,
            id: new.kind.pack(),
        };
        let chunk = &mut self.current;
        chunk.text.extend_from_slice(&new.key[shared..]);
        chunk.text.extend_from_slice(value);
        chunk.text.resize(
            chunk.text.len() + row.text_len() - row.suffix_len as usize - value.len(),
            0,
        );
        chunk.rows.push(row);
        self.last_key.clear();
        self.last_key.extend_from_slice(new.key);
    }

    /// Adds the rows `from..until` of the old template. Whole chunks move over as they are.
    pub(crate) fn keep(&mut self, old: &mut [Chunk], from: Place, until: Place) {
        let mut at = from;
        while at < until {
            let chunk = &mut old[at.chunk as usize];
            let rows = chunk.rows.len() as u32;
            let end = if until.chunk > at.chunk {
                rows
            } else {
                until.row
            };
            let whole = at.row == 0 && end == rows;
            // A small chunk before it is filled up instead of being kept small.
            if whole && (self.current.rows.is_empty() || self.current.rows.len() >= CHUNK_ROWS / 4)
            {
                self.close();
                self.done.push(std::mem::take(chunk));
            } else {
                self.copy(chunk, at.row, end);
            }
            at = Place {
                chunk: at.chunk + 1,
                row: 0,
            };
        }
    }

    fn copy(&mut self, chunk: &Chunk, from: u32, until: u32) {
        let mut key = Vec::new();
        let mut text = 0;
        for (index, row) in chunk.rows.iter().enumerate().take(until as usize) {
            key.truncate(usize::from(row.shared));
            key.extend_from_slice(chunk.suffix(row, text));
            if index >= from as usize {
                self.push(NewRow {
                    key: &key,
                    value: chunk.value_or_empty(row, text),
                    kind: row.kind(),
                    explicit: row.is_explicit(),
                });
            }
            text = chunk.next_text(row, text);
        }
    }

    fn close(&mut self) {
        if !self.current.rows.is_empty() {
            let mut chunk = std::mem::take(&mut self.current);
            chunk.text.shrink_to_fit();
            chunk.rows.shrink_to_fit();
            self.done.push(chunk);
        }
    }

    /// The new template.
    pub(crate) fn finish(mut self) -> Vec<Chunk> {
        self.close();
        self.done
    }
}

impl Chunk {
    fn value_or_empty(&self, row: &Row, at: usize) -> &[u8] {
        if row.is_explicit() {
            &[]
        } else {
            self.value(row, at)
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity() + self.rows.capacity() * size_of::<Row>()
    }
}

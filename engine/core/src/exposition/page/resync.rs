//! Finds the matching row again where a line is not the expected one.
//!
//! Usually a line was added or removed and the matching row is one of the next few ([`RESYNC_ROWS`] are searched).
//! After repeated misses the remaining rows are indexed once, so that a page in another order costs time proportional
//! to its length.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap};

use crate::limits::RESYNC_ROWS;

use super::super::template::{Place, Row, RowKind};
use super::edit::line_end;
use super::in_order::LineMatch;
use super::near_line::NewLine;
use super::{Compare, NewKind};

/// The first row with each key, by two hashes of the key: rows share the bytes of their keys, so that a copy of 400,000 keys would
/// take 60 MB and this takes 14. That two keys have the same 128 bits does not happen.
#[derive(Default)]
pub(super) struct RowsAhead {
    hashers: [DefaultHashBuilder; 2],
    rows: HashMap<[u64; 2], Place>,
}

impl RowsAhead {
    fn hashes(&self, key: &[u8]) -> [u64; 2] {
        [&self.hashers[0], &self.hashers[1]].map(|hasher| hasher.hash_one(key))
    }

    fn add(&mut self, key: &[u8], place: Place) {
        let hashes = self.hashes(key);
        self.rows.entry(hashes).or_insert(place);
    }

    fn get(&self, key: &[u8]) -> Option<Place> {
        self.rows.get(&self.hashes(key)).copied()
    }
}

impl Compare<'_, '_> {
    /// The line at `at` is not the expected row: finds its row, or records it as new.
    pub(super) fn resync(&mut self) -> Result<(), String> {
        if let Some(skipped_run) = self.pass()? {
            self.keep_until(self.place);
            self.take_run(&skipped_run);
            let kind = NewKind::Skipped(skipped_run.family_type);
            self.push_new(self.at..self.at, self.at..self.at, kind);
            self.at = skipped_run.end;
            return Ok(());
        }
        let (line, next) = self.near.read(self.body, self.at, self.dialect)?;
        let key_end = match &line {
            NewLine::Sample(sample) => sample.value.start,
            NewLine::Other(_) => line_end(self.body, next),
        };
        if let Some(found) = self.find_row_ahead(key_end) {
            self.skip_to(found);
            self.misses = 0;
            let chunk = &self.chunks[found.chunk as usize];
            let row = &chunk.rows[found.row as usize];
            let value_at = self.at + row.key_len();
            if let LineMatch::Yes(next) = self.match_value(chunk, row, value_at) {
                self.above = self.at;
                self.at = next;
                self.text_at = chunk.next_text(row, self.text_at);
                self.place.row += 1;
                self.normalise();
                return Ok(());
            }
            // The rows behind `found` share bytes with its key, which is this line's.
            self.above = self.at;
            // The key matches, but the row cannot be kept: it is removed and the line counts as new.
            self.skip_to(self.after(found));
        }
        self.misses += 1;
        self.check_run()?;
        match line {
            NewLine::Sample(sample) => self.take_sample(sample)?,
            NewLine::Other(line) => self.take_other(line, next),
        }
        self.at = next;
        Ok(())
    }

    /// The later row with this line's key.
    fn find_row_ahead(&mut self, key_end: usize) -> Option<Place> {
        if self.place.chunk as usize >= self.chunks.len() {
            return None;
        }
        let key = &self.body[self.at..key_end];
        if self.ahead.is_none() && self.misses < RESYNC_ROWS {
            return self.find_row_near(key);
        }
        if self.ahead.is_none() {
            self.ahead = Some(self.index_rows_ahead());
        }
        let found = self.ahead.as_ref()?.get(key)?;
        (found >= self.place).then_some(found)
    }

    fn find_row_near(&mut self, key: &[u8]) -> Option<Place> {
        let mut scratch = std::mem::take(&mut self.page.key);
        let found = self.walk_rows(&mut scratch, RESYNC_ROWS, |have, place| {
            (have == key).then_some(place)
        });
        self.page.key = scratch;
        found
    }

    fn index_rows_ahead(&self) -> RowsAhead {
        let mut rows = RowsAhead::default();
        let mut scratch = Vec::new();
        self.walk_rows(&mut scratch, usize::MAX, |key, place| {
            rows.add(key, place);
            None::<()>
        });
        rows
    }

    /// Calls `visit` with the full key of each row, from the expected one on.
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
                // A run of skipped lines has no key.
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
}

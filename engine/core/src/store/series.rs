//! The columns by series: the current run, where the history is, the labels; and the index from labels to id.
//!
//! A row is 32 bytes and holds the *current run*: the last value and the tick since which it stands. While a page
//! repeats, nothing here is touched. Labels are a stem's number and the values of one's own (`stems`), in one arena;
//! identity is a hash table of ids alone.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashSet, HashTable};

use super::apart::Apart;
use super::arena::{Arena, bytes_soon, make_room};
use super::codec::STALE;
use super::limbo::Limbo;
use super::slab::BlockId;
use super::stems::{self, Pair, Stems};
use super::symbol::Symbol;
use super::symbols::{SYMBOL_BYTES, Symbols};
use crate::ids::{ClockId, SeriesId};
use crate::labels::Labels;

/// One series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The current value; the stale marker where the series is absent now.
    pub(crate) bits: u64,
    /// Since which tick of its clock.
    pub(crate) since: i64,
    /// Whose ticks; `NONE` in a row without a series.
    pub(crate) clock: ClockId,
    /// The oldest block of its history.
    pub(crate) oldest: BlockId,
    /// Its newest block, which takes the next finished run unless it is sealed.
    pub(crate) newest: BlockId,
    labels: u32,
}

const _: () = assert!(size_of::<Row>() == 32);

impl Row {
    /// Whether the series is on its target's newest good page (or has a newest sample of its own).
    pub(crate) fn is_present(&self) -> bool {
        self.bits != STALE
    }
}

/// What a series takes beside texts, in the index too: a row, an entry of the hash table, ten values of its own, and what
/// tables hold in reserve.
const SERIES_BYTES: usize = 120;

/// All series.
#[derive(Default)]
pub(crate) struct Series {
    rows: Vec<Row>,
    by_labels: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Per series its stem, then its own values as symbols.
    words: Arena<u32>,
    stems: Stems,
    pub(crate) symbols: Symbols,
    pub(crate) ids: Limbo,
    symbol_numbers: Limbo,
    live: usize,
    /// The labels that the writer looked for last.
    apart: Apart,
}

impl Series {
    /// The series with exactly these labels.
    pub(crate) fn find(&self, labels: &Labels) -> Option<SeriesId> {
        self.find_words(Apart::default().words(labels, &self.symbols, &self.stems)?)
    }

    /// The same for the writer, to whom labels come that differ little from the ones before.
    pub(crate) fn seek(&mut self, labels: &Labels) -> Option<SeriesId> {
        let mut apart = std::mem::take(&mut self.apart);
        let words = apart.words(labels, &self.symbols, &self.stems);
        let found = words.and_then(|words| self.find_words(words));
        self.apart = apart;
        found
    }

    fn find_words(&self, words: &[u32]) -> Option<SeriesId> {
        let hash = self.hasher.hash_one(words);
        let found = self.by_labels.find(hash, |&id| {
            self.words(self.rows[id as usize].labels) == words
        });
        found.map(|&id| SeriesId(id))
    }

    /// A new series; the caller has made sure that there is none with these labels.
    pub(crate) fn create(
        &mut self,
        labels: &Labels,
        clock: ClockId,
        bits: u64,
        since: i64,
    ) -> SeriesId {
        let mut apart = std::mem::take(&mut self.apart);
        let numbers = &mut self.symbol_numbers;
        let words = apart.acquire(labels, &mut self.symbols, &mut self.stems, || {
            numbers.take()
        });
        let labels = self.words.put(words);
        self.apart = apart;
        let row = Row {
            bits,
            since,
            clock,
            oldest: BlockId::NONE,
            newest: BlockId::NONE,
            labels,
        };
        let id = self.ids.take().unwrap_or(self.rows.len() as u32);
        if id as usize == self.rows.len() {
            make_room(&mut self.rows, 1);
            self.rows.push(row);
        } else {
            self.rows[id as usize] = row;
        }
        let hash = self.hasher.hash_one(self.words(labels));
        let (rows, words, stems, hasher) = (&self.rows, &self.words, &self.stems, &self.hasher);
        self.by_labels.insert_unique(hash, id, |&id| {
            hasher.hash_one(list(words, stems, rows[id as usize].labels))
        });
        self.live += 1;
        SeriesId(id)
    }

    /// By how much new series with these labels make the store grow, at most: texts that are not known yet, and a row,
    /// an entry in the index and a place in every table for those that find none given up.
    pub(crate) fn growth_bytes<'a>(&self, labels: impl Iterator<Item = &'a Labels>) -> usize {
        let (mut series, mut texts) = (0usize, HashSet::new());
        for labels in labels {
            series += 1;
            texts.extend(labels.iter().flat_map(|(name, value)| [name, value]));
        }
        let new_texts = texts
            .iter()
            .filter(|text| self.symbols.find(text).is_none());
        let text_bytes: usize = new_texts.map(|text| text.len() + SYMBOL_BYTES).sum();
        text_bytes + series.saturating_sub(self.ids.ready()) * SERIES_BYTES
    }

    /// Forgets a series. Its number, and those of symbols that end with it, go into limbo.
    pub(crate) fn remove(&mut self, id: SeriesId) {
        self.apart.forget();
        let place = self.rows[id.index()].labels;
        let words = self.words(place).to_vec();
        let hash = self.hasher.hash_one(words.as_slice());
        if let Ok(found) = self.by_labels.find_entry(hash, |&have| have == id.0) {
            found.remove();
        }
        let (stem, values) = (words[0], &words[1..]);
        let ended = self.stems.release(stem).unwrap_or_default();
        for symbol in stems::symbols(&ended).chain(values.iter().map(|&value| Symbol(value))) {
            if self.symbols.release(symbol) {
                self.symbol_numbers.put(symbol.0);
            }
        }
        self.words.release(place, words.len());
        self.rows[id.index()].clock = ClockId::NONE;
        self.ids.put(id.0);
        self.live -= 1;
    }

    /// The stem's number and the values of a series' own, by their place.
    fn words(&self, place: u32) -> &[u32] {
        list(&self.words, &self.stems, place)
    }

    /// Lets freed numbers be used again once no reader can hold them.
    pub(crate) fn turn_limbo(&mut self) {
        self.ids.turn();
        // Symbols are only ever read under the lock, together with a live row that uses them; the limbo
        // still keeps a query's memo of symbol -> matched from meeting a different text.
        self.symbol_numbers.turn();
    }

    /// Pins for a reader: neither ids nor symbols that it sees are reused while it holds them.
    pub(crate) fn pin(&self) -> [super::limbo::Pin; 2] {
        [self.ids.pin(), self.symbol_numbers.pin()]
    }

    pub(crate) fn row(&self, id: SeriesId) -> &Row {
        &self.rows[id.index()]
    }

    pub(crate) fn row_mut(&mut self, id: SeriesId) -> &mut Row {
        &mut self.rows[id.index()]
    }

    /// One past the highest id.
    pub(crate) fn id_end(&self) -> u32 {
        self.rows.len() as u32
    }

    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// The labels of a series, ascending by name.
    #[inline]
    pub(crate) fn pairs(&self, id: SeriesId) -> impl Iterator<Item = Pair> + Clone + '_ {
        let words = self.words(self.rows[id.index()].labels);
        self.stems.join(words[0], &words[1..])
    }

    /// The value of one label of a series.
    #[inline]
    pub(crate) fn label(&self, id: SeriesId, name: Symbol) -> Option<Symbol> {
        self.pairs(id)
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1)
    }

    /// The labels of a series for use outside the store.
    pub(crate) fn labels(&self, id: SeriesId) -> Labels {
        Labels::from_sorted(
            self.pairs(id)
                .map(|(n, v)| (self.symbols.text(n), self.symbols.text(v))),
        )
    }

    /// Bytes by which tables grow with the next series or so: they double when they are full.
    pub(crate) fn bytes_soon(&self) -> usize {
        let labels = bytes_soon(
            self.by_labels.len(),
            self.by_labels.capacity(),
            self.by_labels.allocation_size(),
        );
        labels + self.symbols.bytes_soon()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.by_labels.allocation_size()
            + self.words.bytes()
            + self.stems.bytes()
            + self.symbols.bytes()
            + self.ids.bytes()
            + self.symbol_numbers.bytes()
            + self.apart.bytes()
    }
}

/// The list at a place: as long as its stem says.
#[inline]
fn list<'a>(words: &'a Arena<u32>, stems: &Stems, place: u32) -> &'a [u32] {
    let from = words.from(place);
    &from[..=stems.varying(from[0])]
}

//! The series: their rows (current run, place of the history, labels) and the table from label sets to ids.
//!
//! A row takes 32 bytes and holds the *current run*: the newest value and the tick since which it holds. While a page
//! repeats, no row is touched. The labels of a series are the id of its shape and its own values (`label_shapes`), in
//! one arena. Identity is a hash table of ids alone, without a second copy of the key.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use super::arena::{Arena, reserve_gradually};
use super::codec::STALE;
use super::epoch_reclaim::EpochReclaim;
use super::label_interner::LabelInterner;
use super::label_shapes::{self, LabelShapes, Pair};
use super::sharded_table::ShardedTable;
use super::slab::BlockId;
use super::symbol::Symbol;
use super::symbols::Symbols;
use crate::ids::{ClockId, SeriesId};
use crate::labels::Labels;

/// One series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The current value; the stale marker where the series is absent now.
    pub(crate) bits: u64,
    /// The tick of its clock since which the series has this value.
    pub(crate) since: i64,
    /// The clock of the series; `NONE` in a row without a series.
    pub(crate) clock: ClockId,
    /// The oldest block of its history.
    pub(crate) oldest: BlockId,
    /// The newest block, which takes the next finished run unless it is sealed.
    pub(crate) newest: BlockId,
    labels: u32,
}

const _: () = assert!(size_of::<Row>() == 32);

impl Row {
    /// Whether the series is on its target's newest good page, or has not ended if its timestamps are explicit.
    pub(crate) fn is_present(&self) -> bool {
        self.bits != STALE
    }
}

/// Bytes of a series beside its texts: a row, an entry of the hash table, index entries, ten values of its own, and the
/// spare capacity of tables.
pub(super) const SERIES_BYTES: usize = 120;

/// All series.
#[derive(Default)]
pub(crate) struct Series {
    rows: Vec<Row>,
    by_labels: ShardedTable,
    hasher: DefaultHashBuilder,
    /// Per series the id of its shape, then its own values as symbols.
    words: Arena<u32>,
    label_shapes: LabelShapes,
    pub(crate) symbols: Symbols,
    pub(crate) ids: EpochReclaim,
    symbol_numbers: EpochReclaim,
    live: usize,
    /// Per [`REMOVALS_CHUNK`] ids, how many series were removed among them.
    removals: Vec<u32>,
    /// Per id, how many series that it named were removed.
    generations: Vec<u8>,
    /// The labels of the writer's last lookup.
    interner: LabelInterner,
}

/// Ids whose removals are counted together.
pub(crate) const REMOVALS_CHUNK: u32 = 1_024;

impl Series {
    /// The series with exactly these labels.
    pub(crate) fn find(&self, labels: &Labels) -> Option<SeriesId> {
        self.find_words(LabelInterner::default().words(
            labels,
            &self.symbols,
            &self.label_shapes,
        )?)
    }

    /// The same for the writer, whose lookups come in page order: labels are compared with those of the last lookup.
    pub(crate) fn find_near_last(&mut self, labels: &Labels) -> Option<SeriesId> {
        let mut interner = std::mem::take(&mut self.interner);
        let words = interner.words(labels, &self.symbols, &self.label_shapes);
        let found = words.and_then(|words| self.find_words(words));
        self.interner = interner;
        found
    }

    fn find_words(&self, words: &[u32]) -> Option<SeriesId> {
        self.find_hashed(words, self.hasher.hash_one(words))
    }

    fn find_hashed(&self, words: &[u32], hash: u64) -> Option<SeriesId> {
        let found = self.by_labels.find(hash, |&id| {
            self.words(self.rows[id as usize].labels) == words
        });
        found.map(SeriesId)
    }

    /// Creates a series. The caller has checked that there is none with these labels.
    pub(crate) fn create(
        &mut self,
        labels: &Labels,
        clock: ClockId,
        bits: u64,
        since: i64,
    ) -> SeriesId {
        let mut interner = std::mem::take(&mut self.interner);
        let numbers = &mut self.symbol_numbers;
        let words = interner.acquire(labels, &mut self.symbols, &mut self.label_shapes, || {
            numbers.reuse()
        });
        let (labels, hash) = (self.words.put(words), self.hasher.hash_one(words));
        self.interner = interner;
        self.insert(labels, hash, clock, bits, since)
    }

    /// Creates a series if there is none with these labels.
    pub(crate) fn create_unless_known(
        &mut self,
        labels: &Labels,
        clock: ClockId,
        bits: u64,
        since: i64,
    ) -> Option<SeriesId> {
        let mut interner = std::mem::take(&mut self.interner);
        let words = interner.words(labels, &self.symbols, &self.label_shapes);
        let hash = words.map(|words| self.hasher.hash_one(words));
        if let (Some(words), Some(hash)) = (words, hash)
            && self.find_hashed(words, hash).is_some()
        {
            self.interner = interner;
            return None;
        }
        let numbers = &mut self.symbol_numbers;
        let words = interner.acquire(labels, &mut self.symbols, &mut self.label_shapes, || {
            numbers.reuse()
        });
        let hash = hash.unwrap_or_else(|| self.hasher.hash_one(words));
        let labels = self.words.put(words);
        self.interner = interner;
        Some(self.insert(labels, hash, clock, bits, since))
    }

    /// Adds a series by the place of its words and their hash.
    fn insert(
        &mut self,
        labels: u32,
        hash: u64,
        clock: ClockId,
        bits: u64,
        since: i64,
    ) -> SeriesId {
        let row = Row {
            bits,
            since,
            clock,
            oldest: BlockId::NONE,
            newest: BlockId::NONE,
            labels,
        };
        let id = self.ids.reuse().unwrap_or(self.rows.len() as u32);
        if id as usize == self.rows.len() {
            reserve_gradually(&mut self.rows, 1);
            self.rows.push(row);
        } else {
            self.rows[id as usize] = row;
        }
        let (rows, words, label_shapes, hasher) =
            (&self.rows, &self.words, &self.label_shapes, &self.hasher);
        self.by_labels.insert_unique(hash, id, |&id| {
            hasher.hash_one(list(words, label_shapes, rows[id as usize].labels))
        });
        self.live += 1;
        SeriesId(id)
    }

    /// Bytes of the rows of so many new series that cannot reuse a freed one.
    pub(crate) fn row_bytes(&self, series: usize) -> usize {
        series.saturating_sub(self.ids.reusable()) * SERIES_BYTES
    }

    /// Removes a series. Its id and the ids of symbols that end with it are retired (`epoch_reclaim`).
    pub(crate) fn remove(&mut self, id: SeriesId) {
        self.interner.forget();
        let place = self.rows[id.index()].labels;
        let words = self.words(place).to_vec();
        let hash = self.hasher.hash_one(words.as_slice());
        self.by_labels.remove(hash, |&have| have == id.0);
        let (shape, values) = (words[0], &words[1..]);
        let ended = self.label_shapes.release(shape).unwrap_or_default();
        for symbol in label_shapes::symbols(&ended).chain(values.iter().map(|&value| Symbol(value)))
        {
            if self.symbols.release(symbol) {
                self.symbol_numbers.retire(symbol.0);
            }
        }
        self.words.release(place, words.len());
        self.rows[id.index()].clock = ClockId::NONE;
        self.ids.retire(id.0);
        let chunk = (id.0 / REMOVALS_CHUNK) as usize;
        if chunk >= self.removals.len() {
            self.removals.resize(chunk + 1, 0);
        }
        self.removals[chunk] = self.removals[chunk].wrapping_add(1);
        if id.index() >= self.generations.len() {
            self.generations.resize(self.rows.len(), 0);
        }
        self.generations[id.index()] = self.generations[id.index()].wrapping_add(1);
        self.live -= 1;
    }

    /// The symbol of a text that is held beside series.
    pub(crate) fn hold_text(&mut self, text: &str) -> Symbol {
        let numbers = &mut self.symbol_numbers;
        self.symbols.acquire(None, text, || numbers.reuse())
    }

    /// A text is not held any more.
    pub(crate) fn release_text(&mut self, symbol: Symbol) {
        if self.symbols.release(symbol) {
            self.interner.forget();
            self.symbol_numbers.retire(symbol.0);
        }
    }

    /// The stored words of a series, by their place: the id of its shape, then its own values.
    fn words(&self, place: u32) -> &[u32] {
        list(&self.words, &self.label_shapes, place)
    }

    /// Advances one epoch: retired ids that no reader can hold become reusable.
    pub(crate) fn advance_epoch(&mut self) {
        self.ids.advance();
        // Symbols are only read under the lock, together with a live row that uses them. Retiring them still matters:
        // a query caches which symbols match, and must not see another text under a cached symbol.
        self.symbol_numbers.advance();
    }

    /// Pins for a reader: no id or symbol that it has seen is reused while it holds them.
    pub(crate) fn pin(&self) -> [super::epoch_reclaim::Pin; 2] {
        [self.ids.pin(), self.symbol_numbers.pin()]
    }

    pub(crate) fn row(&self, id: SeriesId) -> &Row {
        &self.rows[id.index()]
    }

    /// All rows, by id.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn row_mut(&mut self, id: SeriesId) -> &mut Row {
        &mut self.rows[id.index()]
    }

    /// Changes whenever an id near this one may come to name another series: whoever remembers something by id compares it.
    pub(crate) fn removals_near(&self, id: SeriesId) -> u32 {
        let chunk = (id.0 / REMOVALS_CHUNK) as usize;
        self.removals.get(chunk).copied().unwrap_or(0)
    }

    /// Changes when an id comes to name another series: whoever remembers a series by its id compares it. An id is given again
    /// after two epochs at the earliest, so the same number comes back after some minutes of nothing else.
    pub(crate) fn generation(&self, id: SeriesId) -> u8 {
        self.generations.get(id.index()).copied().unwrap_or(0)
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
        self.label_shapes.join(words[0], &words[1..])
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

    /// Bytes by which tables are about to grow: hash tables double when they are full.
    pub(crate) fn imminent_growth_bytes(&self) -> usize {
        self.by_labels.imminent_growth_bytes()
            + self.symbols.imminent_growth_bytes()
            + self.label_shapes.imminent_growth_bytes()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.by_labels.bytes()
            + self.words.bytes()
            + self.label_shapes.bytes()
            + self.symbols.bytes()
            + self.ids.bytes()
            + self.symbol_numbers.bytes()
            + self.removals.capacity() * size_of::<u32>()
            + self.generations.capacity()
            + self.interner.bytes()
    }
}

/// The words at a place; the shape determines their number.
#[inline]
fn list<'a>(words: &'a Arena<u32>, label_shapes: &LabelShapes, place: u32) -> &'a [u32] {
    let from = words.from(place);
    &from[..=label_shapes.varying(from[0])]
}

//! The columns by series: the current run, where the history is, the labels; and the index from labels to id.
//!
//! A row is 32 bytes and holds the *current run*: the last value and the tick since which it stands. While a page
//! repeats, nothing here is touched. Labels are pairs of symbols in one arena; identity is a hash table of ids alone.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::codec::STALE;
use super::ids::{ClockId, SeriesId, Symbol};
use super::limbo::Limbo;
use super::slab::BlockId;
use super::symbols::Symbols;
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

/// All series.
#[derive(Default)]
pub(crate) struct Series {
    rows: Vec<Row>,
    by_labels: HashTable<u32>,
    hasher: DefaultHashBuilder,
    arena: Arena,
    pub(crate) symbols: Symbols,
    pub(crate) ids: Limbo,
    symbol_numbers: Limbo,
    live: usize,
}

/// A label of a stored series.
pub(crate) type Pair = (Symbol, Symbol);

impl Series {
    /// The series with exactly these labels.
    pub(crate) fn find(&self, labels: &Labels) -> Option<SeriesId> {
        let mut pairs = Vec::with_capacity(16);
        for (name, value) in labels.iter() {
            pairs.push((self.symbols.find(name)?, self.symbols.find(value)?));
        }
        let hash = self.hasher.hash_one(pairs.as_slice());
        let found = self.by_labels.find(hash, |&id| {
            self.arena.get(self.rows[id as usize].labels) == pairs
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
        let mut pairs: Vec<Pair> = Vec::with_capacity(16);
        for (name, value) in labels.iter() {
            let name = self.symbols.acquire(name, || self.symbol_numbers.take());
            let value = self.symbols.acquire(value, || self.symbol_numbers.take());
            pairs.push((name, value));
        }
        let labels = self.arena.put(&pairs);
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
            self.rows.push(row);
        } else {
            self.rows[id as usize] = row;
        }
        let hash = self.hasher.hash_one(pairs.as_slice());
        let (rows, arena, hasher) = (&self.rows, &self.arena, &self.hasher);
        self.by_labels.insert_unique(hash, id, |&id| {
            hasher.hash_one(arena.get(rows[id as usize].labels))
        });
        self.live += 1;
        SeriesId(id)
    }

    /// Forgets a series. Its number, and those of symbols that end with it, go into limbo.
    pub(crate) fn remove(&mut self, id: SeriesId) {
        let labels = self.rows[id.index()].labels;
        let pairs = self.arena.get(labels).to_vec();
        let hash = self.hasher.hash_one(pairs.as_slice());
        if let Ok(found) = self.by_labels.find_entry(hash, |&have| have == id.0) {
            found.remove();
        }
        for (name, value) in pairs {
            for symbol in [name, value] {
                if self.symbols.release(symbol) {
                    self.symbol_numbers.put(symbol.0);
                }
            }
        }
        self.arena.release(labels);
        self.rows[id.index()].clock = ClockId::NONE;
        self.ids.put(id.0);
        self.live -= 1;
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
    pub(crate) fn pairs(&self, id: SeriesId) -> &[Pair] {
        self.arena.get(self.rows[id.index()].labels)
    }

    /// The value of one label of a series.
    pub(crate) fn label(&self, id: SeriesId, name: Symbol) -> Option<Symbol> {
        self.pairs(id)
            .iter()
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1)
    }

    /// The labels of a series for use outside the store.
    pub(crate) fn labels(&self, id: SeriesId) -> Labels {
        Labels::from_sorted(
            self.pairs(id)
                .iter()
                .map(|&(n, v)| (self.symbols.text(n), self.symbols.text(v))),
        )
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.by_labels.allocation_size()
            + self.arena.bytes()
            + self.symbols.bytes()
            + self.ids.bytes()
            + self.symbol_numbers.bytes()
    }
}

/// Label pairs of all series in one piece of memory; a place freed by a series is taken by the next of its length.
#[derive(Default)]
struct Arena {
    /// At each place: the number of pairs (as a symbol number, twice), then the pairs.
    words: Vec<Pair>,
    /// Free places by number of pairs.
    free: Vec<Vec<u32>>,
}

impl Arena {
    fn put(&mut self, pairs: &[Pair]) -> u32 {
        if let Some(place) = self.free.get_mut(pairs.len()).and_then(Vec::pop) {
            let at = place as usize + 1;
            self.words[at..at + pairs.len()].copy_from_slice(pairs);
            return place;
        }
        let place = self.words.len() as u32;
        self.words.push((Symbol(pairs.len() as u32), Symbol(0)));
        self.words.extend_from_slice(pairs);
        place
    }

    fn get(&self, place: u32) -> &[Pair] {
        let at = place as usize + 1;
        &self.words[at..at + self.words[at - 1].0.0 as usize]
    }

    fn release(&mut self, place: u32) {
        let len = self.words[place as usize].0.0 as usize;
        if self.free.len() <= len {
            self.free.resize_with(len + 1, Vec::new);
        }
        self.free[len].push(place);
    }

    fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<Pair>()
            + self
                .free
                .iter()
                .map(|places| places.capacity() * 4)
                .sum::<usize>()
    }
}

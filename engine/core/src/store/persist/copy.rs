//! Copies series out of the store. The lock is held for the copying alone, and for so little of it at a time that a commit
//! that comes meanwhile hardly notices; what is copied is encoded afterwards.
//!
//! One hold looks at [`READ_BATCH_ROWS`] rows, copies [`READ_BATCH_SERIES`] series or [`READ_BATCH_BYTES`] bytes, whatever comes
//! first, so that a series of any length takes several. Bench: `snapshot` (CPU of the longest hold).

use std::hash::Hasher;
use std::ops::Range;

use hashbrown::HashMap;
use twox_hash::XxHash64;

use super::Cut;
use crate::ids::{ClockId, SeriesId};
use crate::limits::{READ_BATCH_BYTES, READ_BATCH_ROWS, READ_BATCH_SERIES};
use crate::store::codec::{Encoded, STALE};
use crate::store::native_histograms::TimedHistogram;
use crate::store::series::Row;
use crate::store::slab::BlockId;
use crate::store::store::Store;
use crate::store::symbol::Symbol;
use crate::store::value_runs::ValueRun;

/// What a block costs beside its bytes: its header lies anywhere in memory.
const BLOCK_COST: usize = 64;
/// What a native histogram costs: it is shared, which touches it.
const HISTOGRAM_COST: usize = 32;

/// Series as they were when they were copied.
#[derive(Default)]
pub(super) struct Copied {
    pub(super) series: Vec<CopiedSeries>,
    pairs: Vec<(Symbol, Symbol)>,
    blocks: Vec<CopiedBlock>,
    data: Vec<u8>,
    histograms: Vec<TimedHistogram>,
}

/// One of them: where its labels and its history are, and its current run.
#[derive(Clone)]
pub(super) struct CopiedSeries {
    pub(super) id: SeriesId,
    /// That of its id.
    pub(super) generation: u8,
    /// What was written before: of its samples with timestamps of their own, those before this time.
    pub(super) own_before: i64,
    row: Option<Row>,
    pairs: Range<usize>,
    blocks: Range<usize>,
    histograms: Range<usize>,
}

/// The ops of one block: heads, then bodies.
struct CopiedBlock {
    clock: ClockId,
    first_tick: i64,
    heads: Range<usize>,
    end: usize,
}

/// Where a series goes on that was not copied at once.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// After this block, by which it is known again.
    Block(BlockId, ClockId, i64),
    /// After the histogram of this time.
    Histogram(i64),
}

/// Copies one series after the other.
#[derive(Default)]
pub(super) struct Copier {
    next: u32,
    /// Where the newest of the copied series goes on.
    place: Option<Place>,
    bytes_left: usize,
    /// The numbers of series that are gone.
    pub(super) gone: Vec<u32>,
}

impl Copied {
    pub(super) fn clear(&mut self) {
        self.series.clear();
        self.pairs.clear();
        self.blocks.clear();
        self.data.clear();
        self.histograms.clear();
    }

    pub(super) fn pairs(&self, series: &CopiedSeries) -> &[(Symbol, Symbol)] {
        &self.pairs[series.pairs.clone()]
    }

    pub(super) fn histograms(&self, series: &CopiedSeries) -> &[TimedHistogram] {
        &self.histograms[series.histograms.clone()]
    }

    /// Where the first run of a series begins.
    pub(super) fn first(&self, series: &CopiedSeries) -> Option<(ClockId, i64)> {
        let block = self.blocks[series.blocks.clone()].first();
        let block = block.map(|block| (block.clock, block.first_tick));
        block.or(series.row.map(|row| (row.clock, row.since)))
    }

    /// Calls `visit` for every run of a series, oldest first, the current one last.
    pub(super) fn each_run(&self, series: &CopiedSeries, mut visit: impl FnMut(ValueRun)) {
        for block in &self.blocks[series.blocks.clone()] {
            let ops = Encoded {
                heads: &self.data[block.heads.clone()],
                bodies: &self.data[block.heads.end..block.end],
            };
            let mut first_tick = block.first_tick;
            ops.each(|bits, gap| {
                let end_tick = first_tick.saturating_add(gap);
                visit(ValueRun {
                    clock: block.clock,
                    first_tick,
                    end_tick,
                    bits,
                });
                first_tick = end_tick;
            });
        }
        if let Some(row) = &series.row {
            visit(ValueRun {
                clock: row.clock,
                first_tick: row.since,
                end_tick: i64::MAX,
                bits: row.bits,
            });
        }
    }

    fn begin(&mut self, store: &Store, id: SeriesId, own_before: i64) -> usize {
        let first = self.pairs.len();
        self.pairs.extend(store.series.pairs(id));
        let pairs = first..self.pairs.len();
        let bytes = pairs.len() * size_of::<(Symbol, Symbol)>();
        self.series.push(CopiedSeries {
            id,
            generation: store.series.generation(id),
            own_before,
            row: None,
            pairs,
            blocks: self.blocks.len()..self.blocks.len(),
            histograms: self.histograms.len()..self.histograms.len(),
        });
        bytes
    }

    /// Leaves out what was copied of the history of the newest series.
    fn drop_history(&mut self) {
        let Some(series) = self.series.last_mut() else {
            return;
        };
        let first = self.blocks.get(series.blocks.start);
        let data = first.map_or(self.data.len(), |block| block.heads.start);
        self.data.truncate(data);
        self.blocks.truncate(series.blocks.start);
        self.histograms.truncate(series.histograms.start);
        series.blocks.end = series.blocks.start;
        series.histograms.end = series.histograms.start;
        series.row = None;
    }

    fn add_block(&mut self, store: &Store, block: BlockId) -> usize {
        let header = store.slab.header(block);
        let ops = store.slab.ops_alone(block);
        let start = self.data.len();
        self.data.extend_from_slice(ops.heads);
        let heads = start..self.data.len();
        self.data.extend_from_slice(ops.bodies);
        self.blocks.push(CopiedBlock {
            clock: header.clock,
            first_tick: header.first_tick,
            heads,
            end: self.data.len(),
        });
        self.data.len() - start
    }
}

/// What decides which part of a series is copied.
pub(super) struct Wanted<'a> {
    pub(super) before: &'a Cut,
    pub(super) cut: &'a mut Cut,
    /// Also what present series show that did not change.
    pub(super) is_start: bool,
}

impl Copier {
    /// Whether the newest of the copied series is there in part only.
    pub(super) fn is_within_series(&self) -> bool {
        self.place.is_some()
    }

    /// Copies the next series, or a part of one. False: there are no more.
    pub(super) fn copy(
        &mut self,
        store: &Store,
        wanted: &mut Wanted<'_>,
        copied: &mut Copied,
    ) -> bool {
        self.bytes_left = READ_BATCH_BYTES;
        let end = store
            .series
            .id_end()
            .min(self.next.saturating_add(READ_BATCH_ROWS));
        let mut series = 0;
        while self.next < end && series < READ_BATCH_SERIES && self.bytes_left > 0 {
            let id = SeriesId(self.next);
            let row = *store.series.row(id);
            let generation = store.series.generation(id);
            self.gone
                .extend(wanted.cut.numbers.take_gone(id, generation));
            if row.clock != ClockId::NONE {
                series += usize::from(self.series(store, (id, row), wanted, copied));
            } else if self.place.take().is_some() {
                copied.drop_history(); // it was removed meanwhile
            }
            if self.place.is_some() {
                return true;
            }
            self.next += 1;
        }
        self.next < store.series.id_end()
    }

    /// False: nothing of it is wanted, and its row alone was looked at.
    fn series(
        &mut self,
        store: &Store,
        (id, row): (SeriesId, Row),
        wanted: &mut Wanted<'_>,
        copied: &mut Copied,
    ) -> bool {
        let own_before = match (self.place, copied.series.last()) {
            (Some(_), Some(series)) => series.own_before,
            _ => explicit_before(store, id, wanted.before),
        };
        let before = match row.clock {
            ClockId::EXPLICIT => own_before,
            clock => wanted.before.end(clock),
        };
        let after_ms = histograms_after(store, row.clock, own_before, wanted);
        let histograms = store.native_histograms.get(id);
        let has_histograms = histograms
            .and_then(|all| all.back())
            .is_some_and(|(time_ms, _)| *time_ms > after_ms);
        let is_shown = wanted.is_start && row.bits != STALE;
        if self.place.is_none() {
            if row.since < before && !has_histograms && !is_shown {
                note_explicit(store, (id, row), wanted.cut);
                return row.clock == ClockId::EXPLICIT; // the run of the cut before goes on
            }
            let bytes = copied.begin(store, id, own_before);
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
        }
        if !matches!(self.place, Some(Place::Histogram(_))) {
            let is_changed = row.since >= before;
            if is_changed && !self.blocks(store, &row, before.saturating_sub(1), copied) {
                return true;
            }
            note_explicit(store, (id, row), wanted.cut);
            if let Some(series) = copied.series.last_mut() {
                series.row = Some(row);
            }
        }
        let after_ms = match self.place.take() {
            Some(Place::Histogram(after_ms)) => after_ms,
            _ => after_ms,
        };
        if has_histograms {
            self.histograms(store, id, after_ms, copied);
        }
        true
    }

    /// Copies blocks, but those on the series' present clock that end before `from_tick`. False: there are more.
    fn blocks(&mut self, store: &Store, row: &Row, from_tick: i64, copied: &mut Copied) -> bool {
        let newest = row.newest.some().filter(|block| {
            let header = store.slab.header(*block);
            header.clock == row.clock && header.first_tick <= from_tick
        });
        let mut at = match self.place.take() {
            Some(Place::Block(block, clock, first_tick)) => {
                let same = store.slab.find(block).filter(|header| {
                    (header.clock, header.first_tick) == (clock, first_tick)
                        && copied
                            .series
                            .last()
                            .is_some_and(|series| series.id == header.owner)
                });
                match same {
                    Some(header) => header.next(),
                    None => {
                        // It was moved, or dropped and all before it.
                        copied.drop_history();
                        row.oldest
                    }
                }
            }
            // Nothing before it is wanted.
            _ => newest.unwrap_or(row.oldest),
        };
        let mut last = None;
        while let Some(block) = at.some() {
            if let Some(place) = last.filter(|_| self.bytes_left == 0) {
                self.place = Some(place);
                return false;
            }
            let header = store.slab.header(block);
            last = Some(Place::Block(block, header.clock, header.first_tick));
            at = header.next();
            let end = match header.next().some().map(|next| store.slab.header(next)) {
                Some(next) if next.clock == header.clock => next.first_tick,
                None if row.clock == header.clock => row.since,
                _ => i64::MAX,
            };
            let mut cost = BLOCK_COST;
            if header.clock != row.clock || end > from_tick {
                cost += copied.add_block(store, block);
            }
            self.bytes_left = self.bytes_left.saturating_sub(cost);
        }
        if let Some(series) = copied.series.last_mut() {
            series.blocks.end = copied.blocks.len();
        }
        true
    }

    fn histograms(&mut self, store: &Store, id: SeriesId, after_ms: i64, copied: &mut Copied) {
        let Some(all) = store.native_histograms.get(id) else {
            return;
        };
        let first = all.partition_point(|(time_ms, _)| *time_ms <= after_ms);
        let most = 1 + self.bytes_left / HISTOGRAM_COST;
        let end = all.len().min(first + most);
        copied.histograms.extend(all.range(first..end).cloned());
        self.bytes_left = self
            .bytes_left
            .saturating_sub((end - first) * HISTOGRAM_COST);
        if let Some(series) = copied.series.last_mut() {
            series.histograms.end = copied.histograms.len();
        }
        if let Some((last_ms, _)) = all.get(end.saturating_sub(1)).filter(|_| end < all.len()) {
            self.place = Some(Place::Histogram(*last_ms));
        }
    }
}

/// Native histograms after this time are wanted.
fn histograms_after(store: &Store, clock: ClockId, own_before: i64, wanted: &Wanted<'_>) -> i64 {
    // Who reads a first part alone needs the histogram of the newest scrape before it, too.
    let more = i64::from(wanted.is_start);
    match clock {
        ClockId::EXPLICIT => own_before.saturating_sub(1 + more),
        clock => wanted.before.time_ms(store, clock, 1 + more),
    }
}

/// Of timestamps of a page's own there is no cut: each is a time of its own. The time after the newest that was written,
/// whatever the clock of the series is now.
fn explicit_before(store: &Store, id: SeriesId, before: &Cut) -> i64 {
    match before.explicit.get(&id.0) {
        Some((have, newest_ms)) if *have == labels_checksum(store, id) => {
            newest_ms.saturating_add(1)
        }
        _ => i64::MIN,
    }
}

/// Notes the newest time of such a series for the next part, also of one that a page gives no time of its own any more which is
/// being committed: in this part its history ends before that page.
fn note_explicit(store: &Store, (id, row): (SeriesId, Row), cut: &mut Cut) {
    let newest_ms = match row.clock {
        ClockId::EXPLICIT => row.since,
        clock if row.since < cut.end(clock) => return,
        _ => match row
            .newest
            .some()
            .map(|block| (block, store.slab.header(block)))
        {
            Some((block, header)) if header.clock == ClockId::EXPLICIT => {
                header.first_tick + store.slab.ops(block).gaps() - 1
            }
            _ => return,
        },
    };
    let labels = labels_checksum(store, id);
    cut.explicit.insert(id.0, (labels, newest_ms));
}

fn labels_checksum(store: &Store, id: SeriesId) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    for (name, value) in store.series.pairs(id) {
        for symbol in [name, value] {
            hasher.write(store.series.symbols.text(symbol).as_bytes());
            hasher.write_u8(0);
        }
    }
    hasher.finish()
}

/// Texts of symbols that are yet to be written.
#[derive(Default)]
pub(super) struct Texts {
    /// The numbers of those that were written, by symbol.
    numbers: HashMap<u32, u64>,
    /// Those that are needed next.
    copied: HashMap<u32, Box<str>>,
    missing: Vec<Symbol>,
}

impl Texts {
    /// Asks for a text where it was not written.
    pub(super) fn want(&mut self, symbol: Symbol) {
        if !self.numbers.contains_key(&symbol.0) && !self.copied.contains_key(&symbol.0) {
            self.missing.push(symbol);
            self.copied.insert(symbol.0, Box::default());
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Copies some of them: of symbols that are pinned.
    pub(super) fn copy(&mut self, store: &Store) {
        let mut bytes_left = READ_BATCH_BYTES;
        while let Some(symbol) = self.missing.pop() {
            let text = store.series.symbols.text(symbol);
            bytes_left = bytes_left.saturating_sub(text.len() + BLOCK_COST);
            self.copied.insert(symbol.0, text.into());
            if bytes_left == 0 {
                return;
            }
        }
    }

    /// The number of a text, and the text where it is written for the first time.
    pub(super) fn number(&mut self, symbol: Symbol) -> (u64, Option<Box<str>>) {
        let next = self.numbers.len() as u64;
        let number = *self.numbers.entry(symbol.0).or_insert(next);
        let text = (number == next).then(|| self.copied.remove(&symbol.0).unwrap_or_default());
        (number, text)
    }
}

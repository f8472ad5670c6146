//! What compiled signals read of a series beside its row: the runs of its history, and the part of its labels by
//! which it is grouped. Both are read only when the structure of a page changes.

use hashbrown::HashMap;

use super::slab::BlockId;
use super::store::Store;
use super::symbol::Symbol;
use crate::ids::{ClockId, SeriesId};
use crate::labels::Labels;

/// A run: consecutive ticks of one clock at which a series had one value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueRun {
    pub(crate) clock: ClockId,
    pub(crate) first_tick: i64,
    /// Exclusive; `i64::MAX` for the current run.
    pub(crate) end_tick: i64,
    pub(crate) bits: u64,
}

impl Store {
    /// Whether the newest block of a series, or its current run where it has none, is on its present clock and reaches back
    /// to `tick`: nothing older is of that tick or later.
    pub(crate) fn newest_block_reaches(&self, id: SeriesId, tick: i64) -> bool {
        let row = self.series.row(id);
        match row.newest.some().map(|block| self.slab.header(block)) {
            Some(header) => header.clock == row.clock && header.first_tick <= tick,
            None => true,
        }
    }

    /// The tick at which the oldest block of a series begins, where it is on its present clock.
    pub(crate) fn oldest_tick(&self, id: SeriesId) -> Option<i64> {
        let row = self.series.row(id);
        let header = self.slab.header(row.oldest.some()?);
        (header.clock == row.clock).then_some(header.first_tick)
    }

    /// Like [`Store::each_run`], for the newest block and the current run only.
    pub(crate) fn newest_runs(
        &self,
        id: SeriesId,
        from_tick: i64,
        mut visit: impl FnMut(ValueRun),
    ) {
        let row = self.series.row(id);
        if let Some(block) = row.newest.some().filter(|_| row.since > from_tick) {
            self.block_runs(block, &mut visit);
        }
        visit(self.current_run(id));
    }

    fn block_runs(&self, block: BlockId, visit: &mut impl FnMut(ValueRun)) {
        let header = self.slab.header(block);
        let mut first_tick = header.first_tick;
        self.slab.ops(block).each(|bits, gap| {
            let end_tick = first_tick + gap;
            visit(ValueRun {
                clock: header.clock,
                first_tick,
                end_tick,
                bits,
            });
            first_tick = end_tick;
        });
    }

    fn current_run(&self, id: SeriesId) -> ValueRun {
        let row = self.series.row(id);
        ValueRun {
            clock: row.clock,
            first_tick: row.since,
            end_tick: i64::MAX,
            bits: row.bits,
        }
    }

    /// Calls `visit` for every run of a series, oldest first, the current one last. Blocks on the series' present clock
    /// that end before `from_tick` are skipped.
    pub(crate) fn each_run(&self, id: SeriesId, from_tick: i64, mut visit: impl FnMut(ValueRun)) {
        let row = self.series.row(id);
        let mut at = row.oldest;
        while let Some(block) = at.some() {
            let header = self.slab.header(block);
            at = header.next();
            let end = match at.some().map(|next| self.slab.header(next)) {
                Some(next) if next.clock == header.clock => next.first_tick,
                None if row.clock == header.clock => row.since,
                _ => i64::MAX,
            };
            if header.clock == row.clock && end <= from_tick {
                continue;
            }
            self.block_runs(block, &mut visit);
        }
        visit(self.current_run(id));
    }
}

/// Groups series by some of their labels and numbers the groups in order of first appearance. It caches symbols, so it
/// must not outlive the commit in which it was created.
pub(crate) struct LabelGroups<K> {
    keep: K,
    kept: HashMap<Symbol, bool>,
    numbers: HashMap<Vec<(Symbol, Symbol)>, u32>,
    scratch: Vec<(Symbol, Symbol)>,
    labels: Vec<Labels>,
}

impl<K: FnMut(&str) -> bool> LabelGroups<K> {
    /// Groups by the label names that `keep` accepts.
    pub(crate) fn new(keep: K) -> LabelGroups<K> {
        LabelGroups {
            keep,
            kept: HashMap::new(),
            numbers: HashMap::new(),
            scratch: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// The number of a series' group.
    pub(crate) fn number(&mut self, store: &Store, id: SeriesId) -> u32 {
        let symbols = &store.series.symbols;
        let (keep, kept) = (&mut self.keep, &mut self.kept);
        let pairs = store.series.pairs(id);
        let mut counts =
            |name: Symbol| *kept.entry(name).or_insert_with(|| keep(symbols.text(name)));
        self.scratch.clear();
        self.scratch.extend(pairs.filter(|pair| counts(pair.0)));
        if let Some(&number) = self.numbers.get(self.scratch.as_slice()) {
            return number;
        }
        let number = self.labels.len() as u32;
        let texts = self.scratch.iter();
        self.labels.push(Labels::from_sorted(
            texts.map(|&(name, value)| (symbols.text(name), symbols.text(value))),
        ));
        self.numbers.insert(self.scratch.clone(), number);
        number
    }

    /// The label sets of the groups, by number.
    pub(crate) fn into_labels(self) -> Vec<Labels> {
        self.labels
    }
}

//! The samples of the store: how a change is appended to a series, and what retention and the memory limit drop.
//!
//! A series is its current run (in its row) and a chain of blocks with the runs before it. A change closes the
//! current run into the open block. A full block is sealed and joins one queue of all sealed blocks, oldest first.
//! Retention and the memory limit drop from the front of that queue, so the oldest history of all series is dropped
//! first and a last value never. A series that is absent and has no block left is removed.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::clock::{Clock, ScrapeEntry};
use super::codec::{Run, STALE};
use super::exemplars::Exemplars;
use super::families::Families;
use super::listed::Listed;
use super::native_histograms::{HISTOGRAM, NativeHistograms};
use super::postings::{Index, IndexRuns};
use super::series::{Row, Series};
use super::slab::{BlockId, Size, Slab};
use crate::histogram::FloatHistogram;
use crate::ids::{ClockId, SeriesId, TargetId};
use crate::labels::Labels;

/// Everything that readers see. It lies behind one read-write lock, which writer and readers share.
pub(crate) struct Store {
    pub(crate) series: Series,
    pub(crate) index: Index,
    pub(crate) clocks: Vec<Clock>,
    pub(crate) slab: Slab,
    /// Values of native histogram series.
    pub(crate) native_histograms: NativeHistograms,
    pub(crate) exemplars: Exemplars,
    /// Series with explicit timestamps that pages list.
    pub(crate) listed: Listed,
    /// The series of all sealed blocks, the oldest block first: those of one series are sealed in their order.
    pub(super) sealed: VecDeque<SeriesId>,
    /// Bytes of history above which growing requires dropping the oldest.
    pub(crate) history_bytes_max: usize,
    pub(crate) dropped: Dropped,
    /// Type and help of every family of every target.
    pub(crate) metadata: HashMap<TargetId, Families>,
    /// Bytes of the targets' templates, as the writer last counted them.
    pub(crate) stage_bytes: usize,
    /// Targets of which a page is being committed in steps: some of their series have values that nobody may see yet.
    committing: Vec<TargetId>,
}

/// History dropped for the memory limit so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dropped {
    /// Blocks dropped for the memory limit, not for their age.
    pub(crate) blocks_for_memory: u64,
    /// The newest time dropped for the memory limit from any series.
    pub(crate) history_until_ms: Option<i64>,
}

/// What happened to a sample with an explicit timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppendOutcome {
    Appended,
    /// Same time, same value: nothing to do (Prometheus takes it silently).
    Same,
    /// Same time, another value: the first stays.
    Duplicate,
    /// Older than the newest.
    OutOfOrder,
}

impl Store {
    pub(crate) fn new() -> Store {
        Store {
            series: Series::default(),
            index: Index::default(),
            clocks: Vec::new(),
            slab: Slab::new(),
            native_histograms: NativeHistograms::default(),
            exemplars: Exemplars::default(),
            listed: Listed::default(),
            sealed: VecDeque::new(),
            history_bytes_max: usize::MAX,
            dropped: Dropped::default(),
            metadata: HashMap::new(),
            stage_bytes: 0,
            committing: Vec::new(),
        }
    }

    /// Values of a page of this target are written from now on until its clock advances ([`Store::advance`]).
    pub(crate) fn begin_commit(&mut self, target: TargetId) {
        if !self.committing.contains(&target) {
            self.committing.push(target);
        }
    }

    /// Whether rows of this clock may have values that nobody may see yet.
    pub(crate) fn is_committing(&self, clock: ClockId) -> bool {
        let is_of = |target: &TargetId| clock.target() == Some(*target);
        !self.committing.is_empty() && self.committing.iter().any(is_of)
    }

    /// Whether there are such rows.
    pub(crate) fn is_any_committing(&self) -> bool {
        !self.committing.is_empty()
    }

    /// Whether readers may know of the newest value of a row: it is not one of a page that is being committed.
    pub(crate) fn is_shown(&self, row: &Row) -> bool {
        let clock = || &self.clocks[row.clock.index()];
        row.clock.target().is_none() || row.since < clock().next_tick()
    }

    /// Advances the clock of a target's pages, which makes what was written for it visible.
    pub(crate) fn advance(&mut self, target: TargetId, entry: ScrapeEntry) {
        self.clocks[ClockId::page_of(target).index()].push(entry);
        if !self.committing.is_empty() {
            self.committing.retain(|of| *of != target);
        }
    }

    /// A new series that has `bits` since tick `since`.
    pub(crate) fn create(
        &mut self,
        labels: &Labels,
        clock: ClockId,
        bits: u64,
        since: i64,
    ) -> SeriesId {
        let id = self.series.create(labels, clock, bits, since);
        for (name, value) in self.series.pairs(id) {
            self.index.insert(name, value, id);
        }
        id
    }

    /// A new series that has `bits` since tick `since`, if there is none with these labels. It is in the index after
    /// [`Index::finish`] only.
    pub(crate) fn create_unless_known(
        &mut self,
        labels: &Labels,
        clock: ClockId,
        bits: u64,
        since: i64,
        runs: &mut IndexRuns,
    ) -> Option<SeriesId> {
        let id = self
            .series
            .create_unless_known(labels, clock, bits, since)?;
        self.index.append(self.series.pairs(id), id, runs);
        Some(id)
    }

    /// Sets the value of a series from `tick` of its clock on. Ticks ascend.
    #[inline]
    pub(crate) fn change(&mut self, id: SeriesId, tick: i64, bits: u64) {
        let row = *self.series.row(id);
        if row.bits == bits {
            return;
        }
        if tick > row.since {
            self.close_run(id, tick);
        }
        let row = self.series.row_mut(id);
        row.bits = bits;
        row.since = tick;
        if bits == STALE {
            self.seal(id);
        }
    }

    /// Appends a sample with an explicit timestamp to a series on [`ClockId::EXPLICIT`] (order rules: Prometheus
    /// tsdb/head_append.go).
    pub(crate) fn append_explicit(
        &mut self,
        id: SeriesId,
        time_ms: i64,
        bits: u64,
    ) -> AppendOutcome {
        let row = *self.series.row(id);
        if time_ms < row.since {
            return AppendOutcome::OutOfOrder;
        }
        if time_ms == row.since {
            return if row.bits == bits {
                AppendOutcome::Same
            } else {
                AppendOutcome::Duplicate
            };
        }
        self.close_run(id, time_ms);
        let row = self.series.row_mut(id);
        row.bits = bits;
        row.since = time_ms;
        if bits == STALE {
            self.seal(id);
        }
        AppendOutcome::Appended
    }

    /// Appends a histogram with an explicit timestamp, under the same rules.
    pub(crate) fn append_explicit_histogram(
        &mut self,
        id: SeriesId,
        time_ms: i64,
        histogram: FloatHistogram,
    ) -> AppendOutcome {
        let before = self.series.row(id).bits;
        let appended = self.append_explicit(id, time_ms, HISTOGRAM);
        match appended {
            AppendOutcome::Appended => {
                let follows = before == HISTOGRAM;
                self.native_histograms.push(id, time_ms, histogram, follows);
            }
            AppendOutcome::Same => {
                let same = self
                    .native_histograms
                    .last(id)
                    .is_some_and(|(at_ms, have)| *at_ms == time_ms && **have == histogram);
                if !same {
                    return AppendOutcome::Duplicate;
                }
            }
            AppendOutcome::Duplicate | AppendOutcome::OutOfOrder => {}
        }
        appended
    }

    /// Sets a native histogram as the value of a series at `tick`, the next one of its page's clock.
    pub(crate) fn change_to_histogram(
        &mut self,
        id: SeriesId,
        tick: i64,
        time_ms: i64,
        histogram: &FloatHistogram,
    ) {
        let row = *self.series.row(id);
        // After a failed scrape, which ends the series, nothing is known of a reset.
        let follows = row.bits == HISTOGRAM
            && self.clocks[row.clock.index()].last().is_some_and(|last| {
                let newest = self.native_histograms.last(id);
                last.good && newest.is_some_and(|(newest_ms, _)| *newest_ms == last.time_ms)
            });
        self.change(id, tick, HISTOGRAM);
        self.native_histograms
            .push(id, time_ms, histogram.clone(), follows);
    }

    /// Writes the current run, which ends before `tick`, into history.
    pub(super) fn close_run(&mut self, id: SeriesId, tick: i64) {
        let row = *self.series.row(id);
        let run = Run {
            bits: row.bits,
            gap: tick - row.since,
        };
        if let Some(newest) = row
            .newest
            .some()
            .filter(|&newest| !self.slab.header(newest).sealed())
        {
            if self.slab.append(newest, run) {
                return;
            }
            self.seal(id);
        }
        let wanted = row
            .newest
            .some()
            .map_or(Size::Small, |newest| newest.size().next());
        let size = self.reserve_gradually(wanted);
        let block = self.slab.allocate(size, row.clock, id, row.since);
        // Making room may have taken this series' older blocks: look again.
        let row = self.series.row_mut(id);
        match row.newest.some() {
            Some(before) => self.slab.link(before, block),
            None => row.oldest = block,
        }
        row.newest = block;
        let fits = self.slab.append(block, run);
        debug_assert!(fits, "an empty block takes any op");
    }

    /// The series' newest block takes no more.
    pub(super) fn seal(&mut self, id: SeriesId) {
        let newest = self.series.row(id).newest;
        if newest
            .some()
            .is_some_and(|newest| !self.slab.header(newest).sealed())
        {
            self.slab.seal(newest);
            self.sealed.push_back(id);
        }
    }

    /// The size of a block that can be had within the limit: the wanted one where the slab may grow or has one free,
    /// else whatever is free once the oldest history has gone. Only where nothing is left to drop the slab grows past
    /// the limit.
    fn reserve_gradually(&mut self, wanted: Size) -> Size {
        loop {
            let growth = self.slab.growth_bytes(wanted);
            if growth == 0 || self.slab.bytes() + growth <= self.history_bytes_max {
                return wanted;
            }
            if let Some(size) = self.slab.free_size(wanted) {
                return size;
            }
            if !self.drop_oldest_for_memory() {
                return wanted;
            }
        }
    }

    /// Drops the oldest sealed block and records the loss. False: there is none, or readers see its last value as the newest of its
    /// series, whose end is on a page that is being committed.
    pub(super) fn drop_oldest_for_memory(&mut self) -> bool {
        let Some(front) = self.oldest_sealed().filter(|front| !self.is_newest(*front)) else {
            return false;
        };
        self.dropped.blocks_for_memory += 1;
        self.dropped.history_until_ms = self.dropped.history_until_ms.max(self.end_ms(front));
        self.drop_oldest();
        true
    }

    /// Drops sealed blocks that end before `time_ms`.
    pub(crate) fn drop_before(&mut self, time_ms: i64) {
        self.drop_blocks_before(time_ms, usize::MAX);
        for clock in &mut self.clocks {
            clock.drop_before(time_ms);
        }
        self.native_histograms.drop_before(time_ms);
        self.exemplars.drop_before(time_ms);
    }

    /// Drops up to so many sealed blocks that end before `time_ms`. True: there are no more.
    pub(crate) fn drop_blocks_before(&mut self, time_ms: i64, blocks_max: usize) -> bool {
        for _ in 0..blocks_max {
            match self.oldest_sealed() {
                Some(front) if self.end_ms(front).is_none_or(|end_ms| end_ms < time_ms) => {
                    self.drop_oldest()
                }
                _ => return true,
            }
        }
        false
    }

    /// When the last run of a sealed block ended; `None` where the clock has forgotten.
    pub(super) fn end_ms(&self, block: BlockId) -> Option<i64> {
        let header = self.slab.header(block);
        let gaps = self.slab.ops(block).gaps();
        let end_tick = header.first_tick + gaps;
        match header.clock {
            ClockId::EXPLICIT => Some(end_tick),
            clock => self.clocks[clock.index()]
                .at(end_tick - 1)
                .map(|entry| entry.time_ms),
        }
    }

    /// Whether the last run of a sealed block is the newest that readers know of its series.
    fn is_newest(&self, block: BlockId) -> bool {
        let header = self.slab.header(block);
        let end_tick = header.first_tick + self.slab.ops(block).gaps();
        let is_of_target = header.clock.target().is_some();
        is_of_target && end_tick >= self.clocks[header.clock.index()].next_tick()
    }

    fn oldest_sealed(&self) -> Option<BlockId> {
        let front = self.sealed.front()?;
        Some(self.series.row(*front).oldest)
    }

    fn drop_oldest(&mut self) {
        let Some(owner) = self.sealed.pop_front() else {
            return;
        };
        let row = self.series.row_mut(owner);
        let block = row.oldest;
        let header = self.slab.header(block);
        debug_assert!(
            header.sealed() && header.owner == owner,
            "blocks of a series are sealed oldest first"
        );
        row.oldest = header.next();
        if row.oldest == BlockId::NONE {
            row.newest = BlockId::NONE;
        }
        self.slab.release(block);
        let is_over = row.oldest == BlockId::NONE && !row.is_present();
        if is_over && !self.listed.contains(owner) {
            self.forget(owner);
        }
    }

    /// Ends a series with explicit timestamps if its last sample is older than `time_ms`; one of which nothing is left is
    /// forgotten, unless a page lists it. False: the series needs no further checks.
    pub(crate) fn retain_explicit(&mut self, id: SeriesId, time_ms: i64) -> bool {
        let row = *self.series.row(id);
        if row.clock != ClockId::EXPLICIT {
            return false;
        }
        if row.since >= time_ms {
            return true;
        }
        self.seal(id);
        self.series.row_mut(id).bits = STALE;
        if row.oldest == BlockId::NONE && !self.listed.contains(id) {
            self.forget(id);
            return false;
        }
        // A later sample may revive the series, which must then be ended again.
        true
    }

    /// Whether a series may have samples in `start_ms..=end_ms`.
    pub(crate) fn has_samples(&self, id: SeriesId, start_ms: i64, end_ms: i64) -> bool {
        let row = self.series.row(id);
        let (first, until) = self.ticks(row.clock, start_ms, end_ms);
        let current = match row.is_present() && row.clock != ClockId::EXPLICIT {
            true => row.since < until && first < until,
            false => row.is_present() && (first..until).contains(&row.since),
        };
        let mut at = row.oldest;
        while let (false, Some(block)) = (current, at.some()) {
            let header = self.slab.header(block);
            let (first, until) = self.ticks(header.clock, start_ms, end_ms);
            let gaps = self.slab.ops(block).gaps();
            if header.first_tick < until && header.first_tick + gaps > first && first < until {
                return true;
            }
            at = header.next();
        }
        current
    }

    fn ticks(&self, clock: ClockId, start_ms: i64, end_ms: i64) -> (i64, i64) {
        if clock == ClockId::EXPLICIT {
            return (start_ms, end_ms.saturating_add(1));
        }
        let clock = &self.clocks[clock.index()];
        (
            clock.tick_after(start_ms.saturating_sub(1)),
            clock.tick_after(end_ms),
        )
    }

    /// The oldest time that any clock still knows.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        let oldest = self
            .clocks
            .iter()
            .filter_map(|clock| clock.at(clock.first_tick()));
        oldest.map(|entry| entry.time_ms).min()
    }

    /// Takes a series out of the store.
    fn forget(&mut self, id: SeriesId) {
        for (name, value) in self.series.pairs(id) {
            self.index.remove(name, value, id);
        }
        self.series.remove(id);
        self.native_histograms.forget(id);
        self.exemplars.forget(id);
    }

    /// Bytes by which tables grow with the next series or so.
    pub(crate) fn imminent_growth_bytes(&self) -> usize {
        self.series.imminent_growth_bytes() + self.index.imminent_growth_bytes()
    }

    /// Bytes held, by part.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes {
            series: self.series.bytes(),
            index: self.index.bytes(),
            history: self.slab.bytes() + self.sealed.capacity() * size_of::<SeriesId>(),
            clocks: self.clocks.iter().map(Clock::bytes).sum(),
            histograms: self.native_histograms.bytes() + self.exemplars.bytes(),
        }
    }
}

/// Where the memory is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bytes {
    /// Rows, labels, identity.
    pub series: usize,
    /// The label index.
    pub index: usize,
    /// Blocks, free ones included.
    pub history: usize,
    /// Scrape times.
    pub clocks: usize,
    /// Native histograms and exemplars.
    pub histograms: usize,
}

impl Bytes {
    /// All of it.
    pub fn total(&self) -> usize {
        self.series + self.index + self.history + self.clocks + self.histograms
    }
}

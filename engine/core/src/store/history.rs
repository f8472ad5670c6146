//! The samples of the store: how a change is appended to a series.
//!
//! A series is its current run (in its row) and a chain of blocks with the runs before it. A change closes the
//! current run into the open block. A full block is sealed and joins one queue of all sealed blocks, oldest first, from whose
//! front `retention` drops.

use super::codec::{Run, STALE};
use super::native_histograms::HISTOGRAM;
use super::postings::IndexRuns;
use super::slab::Size;
use super::store::Store;
use crate::histogram::FloatHistogram;
use crate::ids::{ClockId, SeriesId};
use crate::labels::Labels;

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
}

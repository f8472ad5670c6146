//! What a page's lines make of series: new ones, ended ones, changed values, samples with their own time.
//!
//! All of it lies behind the end of the target's clock, so that no reader sees it before the commit is whole.

use hashbrown::HashSet;
use parking_lot::RwLockWriteGuard;

use super::Committed;
use crate::exposition::{Always, Placed, Staged};
use crate::labels::Labels;
use crate::limits::{AHEAD_MS_MAX, WRITE_BATCH_SERIES};
use crate::store::{ClockId, OwnSample, STALE, SeriesId, Store};
use crate::waits::Stopwatch;

/// One commit under way.
pub(super) struct Work<'a, 'lock> {
    pub(super) store: &'a mut RwLockWriteGuard<'lock, Store>,
    pub(super) stopwatch: &'a mut Stopwatch,
    pub(super) done: usize,
    pub(super) clock: ClockId,
    pub(super) at_ms: i64,
    /// The target's pages do not tell when its process started: falling counters do (S6a).
    pub(super) watch_counters: bool,
    pub(super) counters_fell: bool,
}

impl Work<'_, '_> {
    /// Counts a series worked on; now and then lets the readers in.
    fn breathe(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(WRITE_BATCH_SERIES) {
            self.stopwatch
                .waiting(|| RwLockWriteGuard::bump(self.store));
        }
    }

    fn tick(&self) -> i64 {
        self.store.clocks[self.clock.index()].next_tick()
    }

    fn watch_counter(&mut self, id: SeriesId, bits: u64) {
        if self.watch_counters && !self.counters_fell {
            self.counters_fell = self.store.is_fallen_counter(id, bits);
        }
    }

    /// A timestamp from a future that retention would never reach.
    fn is_ahead(&self, time_ms: i64) -> bool {
        time_ms > self.at_ms.saturating_add(AHEAD_MS_MAX)
    }

    /// Lines that the template does not have, then the series of those it no longer has.
    pub(super) fn place_new(
        &mut self,
        staged: &Staged<'_>,
        placed: &mut Vec<Placed>,
        own_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) {
        let gone = &staged.page().gone;
        let leaving: HashSet<SeriesId> = gone.iter().copied().collect();
        let mut claimed = HashSet::new();
        for sample in staged.new_samples() {
            let at = match sample.labels {
                None => Placed::Dropped,
                Some(labels) => self.place(
                    labels,
                    sample.bits,
                    sample.time_ms,
                    &leaving,
                    &mut claimed,
                    own_series,
                    committed,
                ),
            };
            match at {
                // A page that is taken as a whole brings back what was there.
                Placed::Series(id) | Placed::Own(id) if leaving.contains(&id) => {}
                Placed::Series(_) | Placed::Own(_) => committed.series_added += 1,
                Placed::Duplicate => committed.duplicates += 1,
                Placed::Conflict => committed.conflicts += 1,
                Placed::Dropped => {}
            }
            placed.push(at);
            self.breathe();
        }
        let tick = self.tick();
        for &id in gone {
            if !claimed.contains(&id) && self.store.series.row(id).clock == self.clock {
                self.store.change(id, tick, STALE);
                self.breathe();
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the state of one pass over the new lines"
    )]
    fn place(
        &mut self,
        labels: &Labels,
        bits: u64,
        time_ms: Option<i64>,
        leaving: &HashSet<SeriesId>,
        claimed: &mut HashSet<SeriesId>,
        own_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) -> Placed {
        let tick = self.tick();
        if time_ms.is_some_and(|time_ms| self.is_ahead(time_ms)) {
            committed.out_of_order += 1;
            return Placed::Dropped;
        }
        let Some(id) = self.store.series.seek(labels) else {
            let (clock, since) = match time_ms {
                Some(time_ms) => (ClockId::OWN, time_ms),
                None => (self.clock, tick),
            };
            let id = self.store.create(labels, clock, bits, since);
            claimed.insert(id);
            if time_ms.is_some() {
                own_series.push(id);
                return Placed::Own(id);
            }
            return Placed::Series(id);
        };
        let row = *self.store.series.row(id);
        if row.clock == ClockId::OWN || time_ms.is_some() {
            if row.clock != ClockId::OWN && row.clock != self.clock && row.is_present() {
                return Placed::Conflict;
            }
            claimed.insert(id);
            self.append_own(id, time_ms, bits, own_series, committed);
            return Placed::Own(id);
        }
        if row.clock == self.clock {
            let is_free = !row.is_present() || leaving.contains(&id);
            if !is_free || !claimed.insert(id) {
                return Placed::Duplicate;
            }
            self.watch_counter(id, bits);
            self.store.change(id, tick, bits);
            return Placed::Series(id);
        }
        if row.is_present() {
            return Placed::Conflict;
        }
        claimed.insert(id);
        self.store
            .change_clock(id, row.since, self.clock, tick, bits);
        Placed::Series(id)
    }

    /// Values that moved, and samples that are handed over every time.
    pub(super) fn change(
        &mut self,
        staged: &Staged<'_>,
        own_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) {
        let tick = self.tick();
        for change in &staged.page().changes {
            if let Some(id) = change.series {
                self.watch_counter(id, change.bits);
                self.store.change(id, tick, change.bits);
                self.breathe();
            }
        }
        for &Always {
            series,
            time_ms,
            bits,
        } in &staged.page().always
        {
            self.append_own(series, time_ms, bits, own_series, committed);
            self.breathe();
        }
    }

    /// A sample with its own time, moving its series to its own clock if need be.
    fn append_own(
        &mut self,
        id: SeriesId,
        time_ms: Option<i64>,
        bits: u64,
        own_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) {
        let time_ms = time_ms.unwrap_or(self.at_ms);
        if self.is_ahead(time_ms) {
            committed.out_of_order += 1;
            return;
        }
        let row = *self.store.series.row(id);
        if row.clock == ClockId::OWN {
            let appended = self.store.append_own(id, time_ms, bits);
            match appended {
                OwnSample::Appended | OwnSample::Same => {}
                OwnSample::Duplicate => committed.duplicates += 1,
                OwnSample::OutOfOrder => committed.out_of_order += 1,
            }
            return;
        }
        let clock = &self.store.clocks[row.clock.index()];
        if clock
            .last()
            .is_some_and(|last| row.is_present() && last.time_ms >= time_ms)
        {
            committed.out_of_order += 1;
            return;
        }
        let old_tick = clock.next_tick();
        self.store
            .change_clock(id, old_tick, ClockId::OWN, time_ms, bits);
        own_series.push(id);
    }
}

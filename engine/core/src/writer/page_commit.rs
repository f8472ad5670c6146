//! Applies the lines of a page to series: new series, ended series, changed values, samples with explicit timestamps.
//!
//! Everything is written beyond the end of the target's clock, so readers see none of it before the commit is
//! complete.

use hashbrown::HashSet;
use parking_lot::RwLockWriteGuard;

use super::outcome::Committed;
use super::own_times::OwnTimes;
use crate::exposition::{
    AddedSample, ExemplarOf, ExplicitSample, Families, HistogramSample, NewSample, Placement,
    Staged,
};
use crate::histogram::FloatHistogram;
use crate::labels::Labels;
use crate::limits::WRITE_BATCH_SERIES;
use crate::signal::PageFacts;
use crate::store::{AppendOutcome, ClockId, HISTOGRAM, IdSet, STALE, SeriesId, Store, TargetId};
use crate::waits::Stopwatch;

/// Where the samples of new lines went.
#[derive(Default)]
pub(super) struct Placed {
    /// One for each new sample, in page order.
    pub(super) placements: Vec<Placement>,
    /// What the series that were added for the page tell; `None` where none were, or not all of them are the page's.
    pub(super) page_facts: Option<PageFacts>,
    /// What the page says of families, all of it.
    pub(super) families: Option<Families>,
    /// Where series were added for the page: the other new samples, by their lines.
    pub(super) others: Vec<(u32, Placement)>,
}

/// The state of one commit.
pub(super) struct PageCommit<'a, 'lock> {
    pub(super) store: &'a mut RwLockWriteGuard<'lock, Store>,
    pub(super) stopwatch: &'a mut Stopwatch,
    pub(super) done: usize,
    pub(super) clock: ClockId,
    pub(super) at_ms: i64,
    pub(super) target: TargetId,
    pub(super) times: OwnTimes,
    /// The target's pages do not report a process start time, so counter resets are detected (rule S6a).
    pub(super) detect_counter_drops: bool,
    pub(super) counter_dropped: bool,
}

impl PageCommit<'_, '_> {
    /// Counts a series and yields the lock to readers after every batch.
    fn yield_to_readers(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(WRITE_BATCH_SERIES) {
            self.stopwatch
                .waiting(|| RwLockWriteGuard::bump(self.store));
        }
    }

    fn tick(&self) -> i64 {
        self.store.clocks[self.clock.index()].next_tick()
    }

    fn detect_counter_drop(&mut self, id: SeriesId, bits: u64) {
        if self.detect_counter_drops && !self.counter_dropped {
            self.counter_dropped = self.store.is_counter_drop(id, bits);
        }
    }

    /// Stores new lines, then ends the series of removed lines.
    pub(super) fn place_new(
        &mut self,
        staged: &Staged<'_>,
        placed: &mut Placed,
        explicit_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) {
        let removed = &staged.page().removed;
        let leaving = IdSet::new(removed);
        let mut claimed = HashSet::new();
        let mut place = |commit: &mut Self, sample: &NewSample<'_>| {
            let at = match sample.labels {
                None => Placement::Dropped,
                Some(labels) => commit.place(
                    labels,
                    sample,
                    sample.histogram.and_then(|index| staged.histogram(index)),
                    &leaving,
                    &mut claimed,
                    explicit_series,
                    committed,
                ),
            };
            match at {
                // A page compared as if it were the first adds removed series again.
                Placement::Series(id) | Placement::Own(id) if leaving.contains(id) => {}
                Placement::Series(_) | Placement::Own(_) => committed.series_added += 1,
                Placement::Duplicate => committed.duplicates += 1,
                Placement::Conflict => committed.conflicts += 1,
                Placement::Dropped => {}
            }
            commit.yield_to_readers();
            at
        };
        let (added, lines) = staged.added_samples();
        let mut set = 0;
        for (sample, placement) in added.iter().zip(&mut placed.placements) {
            if self.set_first(staged, sample) {
                set += 1;
                self.yield_to_readers();
                continue;
            }
            if sample.series().is_some() {
                placed.page_facts = None; // another target has taken it: what was gathered is not so
            }
            if let Some(new) = staged.new_sample(sample.line()) {
                *placement = place(self, &new);
                placed.others.push((sample.line(), *placement));
            }
        }
        for line in lines..staged.new_lines() {
            if let Some(new) = staged.new_sample(line as u32) {
                let placement = place(self, &new);
                placed.placements.push(placement);
                if !added.is_empty() {
                    placed.others.push((line as u32, placement));
                }
            }
        }
        committed.series_added += set;
        self.end(removed, &claimed);
    }

    /// Ends the series of removed lines, but for those that new lines have claimed.
    fn end(&mut self, removed: &[SeriesId], claimed: &HashSet<SeriesId>) {
        let tick = self.tick();
        for &id in removed {
            if !claimed.contains(&id) {
                self.store.listed.remove(id, self.target);
            }
            if !claimed.contains(&id) && self.store.series.row(id).clock == self.clock {
                self.store.change(id, tick, STALE);
                self.yield_to_readers();
            }
        }
    }

    /// Sets the first value of a series that was added for this page, if it is still the page's own and has none.
    #[inline]
    fn set_first(&mut self, staged: &Staged<'_>, sample: &AddedSample) -> bool {
        let (Some(id), tick) = (sample.series(), self.tick()) else {
            return false;
        };
        if sample.has_own_time() {
            let own_ms = staged.new_sample(sample.line()).and_then(|new| new.time_ms);
            let Some(own_ms) = self.times.steady_ms(own_ms) else {
                return false;
            };
            let waiting_since_ms = self.times.waiting_since_ms();
            let row = self.store.series.row_mut(id);
            let is_free = row.clock == ClockId::EXPLICIT && !row.is_present();
            let is_added = is_free && row.since == waiting_since_ms;
            if is_added {
                (row.bits, row.since) = (sample.bits, own_ms);
            }
            return is_added;
        }
        let row = self.store.series.row_mut(id);
        if row.clock != self.clock || row.is_present() {
            return false;
        }
        if row.since == tick {
            row.bits = sample.bits;
        } else {
            self.store.change(id, tick, sample.bits);
        }
        true
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the state of one pass over the new lines"
    )]
    fn place(
        &mut self,
        labels: &Labels,
        sample: &NewSample<'_>,
        histogram: Option<&FloatHistogram>,
        leaving: &IdSet,
        claimed: &mut HashSet<SeriesId>,
        explicit_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) -> Placement {
        let tick = self.tick();
        let (bits, time_ms) = (sample.bits, self.times.steady_ms(sample.time_ms));
        if time_ms.is_some_and(|time_ms| self.times.is_ahead(time_ms)) {
            committed.out_of_order += 1;
            return Placement::Dropped;
        }
        let Some(id) = self.store.series.find_near_last(labels) else {
            let (id, placement) = self.create(labels, sample, histogram, committed);
            claimed.insert(id);
            if time_ms.is_some() {
                explicit_series.push(id);
                self.store.listed.add(id, self.target);
            }
            return placement;
        };
        let row = *self.store.series.row(id);
        if row.clock == ClockId::EXPLICIT || time_ms.is_some() {
            if row.clock != ClockId::EXPLICIT && row.clock != self.clock && row.is_present() {
                return Placement::Conflict;
            }
            // One that was added before the commit has its first value as of now.
            let is_new = row.clock == self.clock && row.since == tick && row.is_present();
            if !claimed.insert(id) || is_new {
                self.store.listed.add(id, self.target); // beside a line without a timestamp, which stands
            }
            match histogram {
                Some(one) => self.append_histogram(id, time_ms, one, explicit_series, committed),
                None => self.append_explicit(id, time_ms, bits, explicit_series, committed),
            }
            self.store.listed.add(id, self.target);
            return Placement::Own(id);
        }
        if row.clock == self.clock {
            let is_free = !row.is_present() || leaving.contains(id);
            if !is_free || !claimed.insert(id) {
                return Placement::Duplicate;
            }
            let Some(histogram) = histogram else {
                self.detect_counter_drop(id, bits);
                self.store.change(id, tick, bits);
                return Placement::Series(id);
            };
            self.store
                .change_to_histogram(id, tick, self.at_ms, histogram);
            return Placement::Own(id);
        }
        if row.is_present() {
            return Placement::Conflict;
        }
        claimed.insert(id);
        self.take_over(id, bits, histogram)
    }

    /// Moves a series that another target has left to the page's clock.
    fn take_over(
        &mut self,
        id: SeriesId,
        bits: u64,
        histogram: Option<&FloatHistogram>,
    ) -> Placement {
        let (tick, since) = (self.tick(), self.store.series.row(id).since);
        self.store.move_to_clock(id, since, self.clock, tick, bits);
        let Some(histogram) = histogram.cloned() else {
            return Placement::Series(id);
        };
        let at_ms = self.at_ms;
        self.store
            .native_histograms
            .push(id, at_ms, histogram, false);
        Placement::Own(id)
    }

    /// Creates the series of a new line.
    fn create(
        &mut self,
        labels: &Labels,
        sample: &NewSample<'_>,
        histogram: Option<&FloatHistogram>,
        committed: &mut Committed,
    ) -> (SeriesId, Placement) {
        let own_ms = self.times.steady_ms(sample.time_ms);
        let (clock, since) = match own_ms {
            Some(own_ms) => (ClockId::EXPLICIT, own_ms),
            None => (self.clock, self.tick()),
        };
        // A sample that is too old is left out; its series waits for a younger one.
        let is_behind = own_ms.is_some_and(|ms| self.times.is_behind(ms));
        let bits = if is_behind { STALE } else { sample.bits };
        committed.out_of_order += u64::from(is_behind);
        let id = self.store.create(labels, clock, bits, since);
        if let Some(histogram) = histogram.filter(|_| !is_behind) {
            let time_ms = own_ms.unwrap_or(self.at_ms);
            self.store
                .native_histograms
                .push(id, time_ms, histogram.clone(), false);
        }
        match sample.time_ms.is_some() || histogram.is_some() {
            true => (id, Placement::Own(id)),
            false => (id, Placement::Series(id)),
        }
    }

    /// Stores changed values, and samples with explicit timestamps.
    pub(super) fn change(
        &mut self,
        staged: &Staged<'_>,
        explicit_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) {
        let tick = self.tick();
        for change in &staged.page().changes {
            if let Some(id) = change.series {
                self.detect_counter_drop(id, change.bits);
                self.store.change(id, tick, change.bits);
                self.yield_to_readers();
            }
        }
        let mut stating = None;
        for &ExplicitSample {
            series,
            time_ms,
            bits,
        } in &staged.page().explicit
        {
            if time_ms.is_none() {
                self.take_back(series, staged, &mut stating);
            }
            let time_ms = self.times.steady_ms(time_ms);
            self.append_explicit(series, time_ms, bits, explicit_series, committed);
            self.yield_to_readers();
        }
        for &HistogramSample {
            series,
            time_ms,
            index,
        } in &staged.page().histograms
        {
            if time_ms.is_none() {
                self.take_back(series, staged, &mut stating);
            }
            if let Some(histogram) = staged.histogram(index) {
                let time_ms = self.times.steady_ms(time_ms);
                self.append_histogram(series, time_ms, histogram, explicit_series, committed);
            }
            self.yield_to_readers();
        }
    }

    /// Moves a series whose line has no timestamp any more back to the page's clock, unless another line or page states one.
    /// `stating`: the series with timestamps on this page, once they were asked for.
    fn take_back(&mut self, id: SeriesId, staged: &Staged<'_>, stating: &mut Option<IdSet>) {
        let row = *self.store.series.row(id);
        let is_last = row.clock == ClockId::EXPLICIT
            && row.since < self.at_ms
            && self.store.listed.is_only_by(id, self.target);
        if !is_last {
            return;
        }
        let page = staged.page();
        let stating = stating.get_or_insert_with(|| {
            let floats = page.explicit.iter().map(|of| (of.series, of.time_ms));
            let histograms = page.histograms.iter().map(|of| (of.series, of.time_ms));
            let all = floats.chain(histograms);
            let ids: Vec<SeriesId> = all.filter(|of| of.1.is_some()).map(|of| of.0).collect();
            IdSet::new(&ids)
        });
        if !stating.contains(id) {
            let tick = self.tick();
            self.store
                .move_to_clock(id, self.at_ms, self.clock, tick, STALE);
            self.store.listed.remove(id, self.target);
        }
    }

    /// Stores the exemplars of samples that have a series. `placements` are those of the new samples.
    pub(super) fn add_exemplars(&mut self, staged: &Staged<'_>, placements: &[Placement]) {
        for (of, exemplar) in staged.exemplars() {
            let id = match of {
                ExemplarOf::Series(id) => id,
                ExemplarOf::New(at) => match placements.get(at as usize) {
                    Some(Placement::Series(id) | Placement::Own(id)) => *id,
                    _ => continue,
                },
            };
            let Store {
                exemplars, series, ..
            } = &mut **self.store;
            exemplars.add(
                id,
                || series.labels(id),
                &exemplar.labels,
                exemplar.value,
                exemplar.time_ms,
                self.at_ms,
            );
        }
    }

    /// Stores a native histogram: with a timestamp of its own on the explicit clock, otherwise on the page's.
    fn append_histogram(
        &mut self,
        id: SeriesId,
        time_ms: Option<i64>,
        histogram: &FloatHistogram,
        explicit_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) {
        let row = *self.store.series.row(id);
        if time_ms.is_none() && row.clock == self.clock {
            let tick = self.tick();
            self.store
                .change_to_histogram(id, tick, self.at_ms, histogram);
            return;
        }
        let own_ms = time_ms.unwrap_or(self.at_ms);
        if row.clock == ClockId::EXPLICIT
            && !self.times.is_ahead(own_ms)
            && !self.times.is_behind(own_ms)
        {
            let appended = self
                .store
                .append_explicit_histogram(id, own_ms, histogram.clone());
            count(appended, committed);
            return;
        }
        // Moves the series to the explicit clock, or counts the sample as left out.
        self.append_explicit(id, time_ms, HISTOGRAM, explicit_series, committed);
        let row = *self.store.series.row(id);
        if row.clock == ClockId::EXPLICIT && row.bits == HISTOGRAM && row.since == own_ms {
            let histogram = histogram.clone();
            self.store
                .native_histograms
                .push(id, own_ms, histogram, false);
        }
    }

    /// Stores a sample with an explicit timestamp and moves its series to the explicit clock if needed.
    fn append_explicit(
        &mut self,
        id: SeriesId,
        time_ms: Option<i64>,
        bits: u64,
        explicit_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) {
        if time_ms.is_none() && self.store.series.row(id).clock == self.clock {
            // It was a native histogram before.
            let tick = self.tick();
            self.store.change(id, tick, bits);
            return;
        }
        let time_ms = time_ms.unwrap_or(self.at_ms);
        let is_ahead = self.times.is_ahead(time_ms);
        let is_outside = is_ahead || self.times.is_behind(time_ms);
        let row = *self.store.series.row(id);
        if row.clock == ClockId::EXPLICIT {
            if is_outside {
                committed.out_of_order += 1;
                return;
            }
            let appended = self.store.append_explicit(id, time_ms, bits);
            count(appended, committed);
            return;
        }
        let clock = &self.store.clocks[row.clock.index()];
        let stands = row.is_present();
        let is_late = stands && clock.last().is_some_and(|last| last.time_ms >= time_ms);
        let is_left_out = is_late || is_outside;
        committed.out_of_order += u64::from(is_left_out);
        if is_left_out && stands && self.store.listed.contains(id) {
            return; // the page has a line without a timestamp, too
        }
        let old_tick = clock.next_tick();
        // A sample that is left out ends what pages have said without a timestamp, as in Prometheus' scrape loop.
        let (since, bits) = match is_left_out {
            false => (time_ms, bits),
            true if stands || is_ahead => (self.at_ms, STALE),
            true => (time_ms, STALE),
        };
        self.store
            .move_to_clock(id, old_tick, ClockId::EXPLICIT, since, bits);
        explicit_series.push(id);
        self.store.listed.add(id, self.target);
    }
}

fn count(appended: AppendOutcome, committed: &mut Committed) {
    match appended {
        AppendOutcome::Appended | AppendOutcome::Same => {}
        AppendOutcome::Duplicate => committed.duplicates += 1,
        AppendOutcome::OutOfOrder => committed.out_of_order += 1,
    }
}

//! Applies the lines of a page to series: new series, ended series, changed values, samples with explicit timestamps.
//!
//! Everything is written beyond the end of the target's clock, so readers see none of it before the commit is
//! complete.

use parking_lot::RwLockWriteGuard;

use super::outcome::Committed;
use super::process::is_counter;
use super::progress::Progress;
use crate::exposition::{
    AddedSample, Change, ExemplarOf, ExplicitSample, HistogramSample, NewSample, Placement, Staged,
};
use crate::histogram::FloatHistogram;
use crate::labels::{Labels, RelabelRule};
use crate::limits::WRITE_BATCH_SERIES;
use crate::scrape::TargetSpec;
use crate::signal::WhyLeftOut;
use crate::store::{AppendOutcome, ClockId, HISTOGRAM, IdSet, Onward, Row, STALE, SeriesId, Store};
use crate::waits::Stopwatch;

/// One hold of the store by a commit.
pub(super) struct PageCommit<'a, 'lock> {
    pub(super) store: &'a mut RwLockWriteGuard<'lock, Store>,
    pub(super) stopwatch: &'a mut Stopwatch,
    /// Those of the writer.
    pub(super) explicit_series: &'a mut Vec<SeriesId>,
    pub(super) done: usize,
    /// How far the commit has come.
    pub(super) of: &'a mut Progress,
}

impl PageCommit<'_, '_> {
    /// Counts a series and yields the lock to readers after every batch.
    pub(super) fn yield_to_readers(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(WRITE_BATCH_SERIES) {
            self.stopwatch
                .waiting(|| RwLockWriteGuard::bump(self.store));
        }
    }

    fn tick(&self) -> i64 {
        self.store.clocks[self.of.clock.index()].next_tick()
    }

    /// Looks how a counter moves, where that may say something new: of thousands that rise the first is enough.
    #[inline]
    fn watch_counter(&mut self, id: SeriesId, bits: u64) {
        if !self.of.watches_counters {
            return;
        }
        let row = self.store.series.row(id);
        let (before, now) = (f64::from_bits(row.bits), f64::from_bits(bits));
        let counters = &mut self.of.counters;
        let says_more = (now < before && !counters.fell) || (now > before && !counters.rose);
        if says_more && before > 0.0 && row.is_present() && is_counter(self.store, id) {
            counters.fell |= now < before;
            counters.rose |= now > before;
        }
    }

    /// Stores the sample of a line for which a series was added before.
    pub(super) fn place_added(
        &mut self,
        staged: &Staged<'_>,
        sample: &AddedSample,
    ) -> Option<Placement> {
        if let Some(id) = sample.series()
            && self.set_first(staged, sample)
        {
            self.of.committed.series_added += 1;
            return Some(match sample.has_own_time() {
                true => Placement::Own(id),
                false => Placement::Series(id),
            });
        }
        let new = staged.new_sample(sample.line())?;
        Some(self.place_new(staged, &new))
    }

    /// Stores the sample of a new line, and counts where it went.
    pub(super) fn place_new(&mut self, staged: &Staged<'_>, sample: &NewSample<'_>) -> Placement {
        let at = match sample.labels {
            None => Placement::Dropped,
            Some(labels) => {
                let histogram = sample.histogram.and_then(|index| staged.histogram(index));
                self.place(labels, sample, histogram)
            }
        };
        let committed = &mut self.of.committed;
        match at {
            // A page compared as if it were the first adds removed series again.
            Placement::Series(id) | Placement::Own(id) if self.of.leaving.contains(id) => {}
            Placement::Series(_) | Placement::Own(_) => committed.series_added += 1,
            Placement::Duplicate { .. } => committed.duplicates += 1,
            Placement::Conflict => committed.conflicts += 1,
            Placement::Dropped => {}
        }
        if let Some(labels) = sample.labels {
            match stands_for_another(at, labels, staged.spec()) {
                Some(why) => self.of.left_out.add(labels, why),
                None if at == Placement::Conflict => {
                    self.of.replicated.add(labels, WhyLeftOut::OfTarget);
                }
                None => {}
            }
        }
        at
    }

    /// Ends the series of a removed line, but for one that a new line has claimed.
    pub(super) fn end(&mut self, id: SeriesId) {
        if self.of.claimed.contains(id) {
            return;
        }
        let (tick, target) = (self.tick(), self.of.target);
        self.store.listed.remove(id, target);
        if self.store.series.row(id).clock == self.of.clock {
            self.store.change(id, tick, STALE);
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
            let Some(own_ms) = self.of.times.steady_ms(own_ms) else {
                return false;
            };
            let waiting_since_ms = self.of.times.waiting_since_ms();
            let row = self.store.series.row_mut(id);
            let is_free = row.clock == ClockId::EXPLICIT && !row.is_present();
            let is_added = is_free && row.since == waiting_since_ms;
            if is_added {
                self.of.claimed.insert(id);
                (row.bits, row.since) = (sample.bits, own_ms);
            }
            return is_added;
        }
        let row = self.store.series.row_mut(id);
        if row.clock != self.of.clock || row.is_present() {
            return false;
        }
        if row.since == tick {
            row.bits = sample.bits;
        } else {
            self.store.change(id, tick, sample.bits);
        }
        true
    }

    fn place(
        &mut self,
        labels: &Labels,
        sample: &NewSample<'_>,
        histogram: Option<&FloatHistogram>,
    ) -> Placement {
        let tick = self.tick();
        let (bits, time_ms) = (sample.bits, self.of.times.steady_ms(sample.time_ms));
        if time_ms.is_some_and(|time_ms| self.of.times.is_ahead(time_ms)) {
            self.of.committed.out_of_order += 1;
            return Placement::Dropped;
        }
        let Some(id) = self.store.series.find_near_last(labels) else {
            let (id, placement) = self.create(labels, sample, histogram);
            self.of.claimed.insert(id);
            if time_ms.is_some() {
                self.explicit_series.push(id);
                self.store.listed.add(id, self.of.target);
            }
            return placement;
        };
        let row = *self.store.series.row(id);
        if row.clock == ClockId::EXPLICIT || time_ms.is_some() {
            if row.clock != ClockId::EXPLICIT && row.clock != self.of.clock && row.is_present() {
                return Placement::Conflict;
            }
            // One that was added before the commit has its first value as of now.
            let is_new = row.clock == self.of.clock && row.since == tick && row.is_present();
            let is_again = !self.of.claimed.insert(id) || is_new;
            match time_ms {
                // Prometheus' scrape loop (scrape.go, `append`): of two lines the second must have a timestamp, and ...
                None if is_again => return duplicate(id, &row, bits),
                // ... must be later than the first, which has the time of the scrape.
                Some(time_ms)
                    if is_again && row.clock == self.of.clock && time_ms <= self.of.at_ms =>
                {
                    self.of.committed.out_of_order += 1;
                    self.store.listed.add(id, self.of.target);
                    return Placement::Own(id);
                }
                _ if is_again => self.store.listed.add(id, self.of.target),
                _ => {}
            }
            match histogram {
                Some(one) => self.append_histogram(id, time_ms, one),
                None => self.append_explicit(id, time_ms, bits),
            }
            self.store.listed.add(id, self.of.target);
            return Placement::Own(id);
        }
        if row.clock == self.of.clock {
            let is_free = !row.is_present() || self.of.leaving.contains(id);
            if !is_free || !self.of.claimed.insert(id) {
                return duplicate(id, &row, bits);
            }
            let Some(histogram) = histogram else {
                self.watch_counter(id, bits);
                self.store.change(id, tick, bits);
                return Placement::Series(id);
            };
            self.store
                .change_to_histogram(id, tick, self.of.at_ms, histogram);
            return Placement::Own(id);
        }
        if row.is_present() {
            return Placement::Conflict;
        }
        self.of.claimed.insert(id);
        self.take_over(id, bits, histogram)
    }

    /// Moves a series that another target has left to the page's clock.
    fn take_over(
        &mut self,
        id: SeriesId,
        bits: u64,
        histogram: Option<&FloatHistogram>,
    ) -> Placement {
        let onward = self.onward(bits);
        if !self.store.move_to_clock(id, onward) {
            self.of.committed.out_of_order += 1;
            self.of.is_late = true;
            return Placement::Dropped;
        }
        let Some(histogram) = histogram.cloned() else {
            return Placement::Series(id);
        };
        let at_ms = self.of.at_ms;
        self.store
            .native_histograms
            .push(id, at_ms, histogram, false);
        Placement::Own(id)
    }

    /// A sample of this page without a timestamp.
    fn onward(&self, bits: u64) -> Onward {
        Onward {
            clock: self.of.clock,
            since: self.tick(),
            bits,
            time_ms: self.of.at_ms,
        }
    }

    /// Creates the series of a new line.
    fn create(
        &mut self,
        labels: &Labels,
        sample: &NewSample<'_>,
        histogram: Option<&FloatHistogram>,
    ) -> (SeriesId, Placement) {
        let own_ms = self.of.times.steady_ms(sample.time_ms);
        let (clock, since) = match own_ms {
            Some(own_ms) => (ClockId::EXPLICIT, own_ms),
            None => (self.of.clock, self.tick()),
        };
        // A sample that is too old is left out; its series waits for a younger one.
        let is_behind = own_ms.is_some_and(|ms| self.of.times.is_behind(ms));
        let bits = if is_behind { STALE } else { sample.bits };
        self.of.committed.out_of_order += u64::from(is_behind);
        let id = self.store.create(labels, clock, bits, since);
        if let Some(histogram) = histogram.filter(|_| !is_behind) {
            let time_ms = own_ms.unwrap_or(self.of.at_ms);
            self.store
                .native_histograms
                .push(id, time_ms, histogram.clone(), false);
        }
        match sample.time_ms.is_some() || histogram.is_some() {
            true => (id, Placement::Own(id)),
            false => (id, Placement::Series(id)),
        }
    }

    /// Stores a changed value.
    #[inline]
    pub(super) fn change(&mut self, change: &Change) {
        if let Some(id) = change.series {
            let tick = self.tick();
            self.watch_counter(id, change.bits);
            self.store.change(id, tick, change.bits);
            self.yield_to_readers();
        }
    }

    /// Stores a sample that has a timestamp of its own, or had one before.
    pub(super) fn store_explicit(&mut self, staged: &Staged<'_>, sample: &ExplicitSample) {
        if sample.time_ms.is_none() {
            self.take_back(sample.series, staged);
        }
        let time_ms = self.of.times.steady_ms(sample.time_ms);
        self.append_explicit(sample.series, time_ms, sample.bits);
    }

    /// Stores a native histogram of a line that the template has.
    pub(super) fn store_histogram(&mut self, staged: &Staged<'_>, sample: &HistogramSample) {
        if sample.time_ms.is_none() {
            self.take_back(sample.series, staged);
        }
        if let Some(histogram) = staged.histogram(sample.index) {
            let time_ms = self.of.times.steady_ms(sample.time_ms);
            self.append_histogram(sample.series, time_ms, histogram);
        }
    }

    /// Moves a series whose line has no timestamp any more to the page's clock: back, unless another line or page states one, or
    /// from that of another target which has left it.
    fn take_back(&mut self, id: SeriesId, staged: &Staged<'_>) {
        let row = *self.store.series.row(id);
        let is_free = match row.clock {
            ClockId::EXPLICIT => self.store.listed.is_only_by(id, self.of.target),
            clock => clock != self.of.clock && !row.is_present(),
        };
        if !is_free {
            return;
        }
        let page = staged.page();
        let stating = self.of.stating.get_or_insert_with(|| {
            let floats = page.explicit.iter().map(|of| (of.series, of.time_ms));
            let histograms = page.histograms.iter().map(|of| (of.series, of.time_ms));
            let all = floats.chain(histograms);
            let ids: Vec<SeriesId> = all.filter(|of| of.1.is_some()).map(|of| of.0).collect();
            IdSet::new(&ids)
        });
        if stating.contains(id) {
            return;
        }
        let onward = self.onward(STALE);
        if self.store.move_to_clock(id, onward) {
            self.store.listed.remove(id, self.of.target);
            self.note_move(id);
        }
    }

    /// A series has moved to another clock: what selects series by their clocks has to look again.
    fn note_move(&mut self, id: SeriesId) {
        if let Some(metric) = self.store.metric_name(id)
            && !self.of.moved.contains(metric)
        {
            self.of.moved.insert(metric.into());
        }
    }

    /// Stores the exemplars at a place of the page's list, if they can be read and their sample has a series.
    pub(super) fn add_exemplars(&mut self, staged: &Staged<'_>, at: usize) {
        let Some((of, found)) = staged.exemplars(at) else {
            return;
        };
        let id = match of {
            ExemplarOf::Series(id) => id,
            ExemplarOf::New(at) => match self.of.placements.get(at as usize) {
                Some(Placement::Series(id) | Placement::Own(id)) => *id,
                _ => return,
            },
        };
        let Store {
            exemplars, series, ..
        } = &mut **self.store;
        for exemplar in found {
            exemplars.add(
                id,
                || series.labels(id),
                &exemplar.labels,
                exemplar.value,
                exemplar.time_ms,
                self.of.at_ms,
            );
        }
    }

    /// Stores a native histogram: with a timestamp of its own on the explicit clock, otherwise on the page's.
    fn append_histogram(&mut self, id: SeriesId, time_ms: Option<i64>, histogram: &FloatHistogram) {
        let row = *self.store.series.row(id);
        if time_ms.is_none() && row.clock == self.of.clock {
            let tick = self.tick();
            self.store
                .change_to_histogram(id, tick, self.of.at_ms, histogram);
            return;
        }
        let own_ms = time_ms.unwrap_or(self.of.at_ms);
        if row.clock == ClockId::EXPLICIT
            && !self.of.times.is_ahead(own_ms)
            && !self.of.times.is_behind(own_ms)
        {
            let appended = self
                .store
                .append_explicit_histogram(id, own_ms, histogram.clone());
            count(appended, &mut self.of.committed);
            return;
        }
        // Moves the series to the explicit clock, or counts the sample as left out.
        self.append_explicit(id, time_ms, HISTOGRAM);
        let row = *self.store.series.row(id);
        if row.clock == ClockId::EXPLICIT && row.bits == HISTOGRAM && row.since == own_ms {
            let histogram = histogram.clone();
            self.store
                .native_histograms
                .push(id, own_ms, histogram, false);
        }
    }

    /// Stores a sample with an explicit timestamp and moves its series to the explicit clock if needed.
    fn append_explicit(&mut self, id: SeriesId, time_ms: Option<i64>, bits: u64) {
        if time_ms.is_none() && self.store.series.row(id).clock == self.of.clock {
            // It was a native histogram before.
            let tick = self.tick();
            self.store.change(id, tick, bits);
            return;
        }
        let time_ms = time_ms.unwrap_or(self.of.at_ms);
        let is_ahead = self.of.times.is_ahead(time_ms);
        let is_outside = is_ahead || self.of.times.is_behind(time_ms);
        let row = *self.store.series.row(id);
        if row.clock == ClockId::EXPLICIT {
            if is_outside {
                self.of.committed.out_of_order += 1;
                return;
            }
            let appended = self.store.append_explicit(id, time_ms, bits);
            count(appended, &mut self.of.committed);
            return;
        }
        let stands = row.is_present();
        if stands && row.clock != self.of.clock {
            self.of.committed.conflicts += 1;
            return;
        }
        // A page that has a line without a timestamp, too, says something of this scrape's time.
        let has_both = stands && self.store.listed.contains(id);
        let newest_ms = match has_both {
            true => Some(self.of.at_ms),
            false => self.store.newest_ms(id),
        };
        let is_late = newest_ms >= Some(time_ms);
        self.note_move(id);
        match is_late || is_outside {
            false => self.go_on_explicit(id, Onward::explicit(time_ms, bits), has_both),
            true => self.leave_out(id, stands, has_both),
        }
    }

    /// Stores a sample with a timestamp of its own that is later than all others of its series.
    fn go_on_explicit(&mut self, id: SeriesId, onward: Onward, has_both: bool) {
        match has_both {
            true => self.store.move_after_page(id, onward),
            false => drop(self.store.move_to_clock(id, onward)),
        }
        self.explicit_series.push(id);
        self.store.listed.add(id, self.of.target);
    }

    /// Leaves out a sample with a timestamp of its own. It ends what pages have said without one, as in Prometheus' scrape loop.
    fn leave_out(&mut self, id: SeriesId, stands: bool, has_both: bool) {
        self.of.committed.out_of_order += 1;
        if has_both {
            return; // the page has a line without a timestamp, too
        }
        let end = Onward::explicit(self.of.at_ms, STALE);
        if !stands || !self.store.move_to_clock(id, end) {
            let since_ms = self.of.times.waiting_since_ms();
            self.store.wait_for_explicit(id, since_ms);
        }
        self.explicit_series.push(id);
        self.store.listed.add(id, self.of.target);
    }
}

/// Why a sample that has no series of its own says something else than the one that is stored: a line that relabelling has
/// made equal to another, one that the page itself says twice with several values, and a target whose labels are another's. What
/// a page says twice with one value is one sample, and replicas of a collector, whose labels are honoured, say the same of the
/// same sources.
fn stands_for_another(at: Placement, labels: &Labels, spec: &TargetSpec) -> Option<WhyLeftOut> {
    match at {
        Placement::Duplicate { differs, .. } => {
            match spec.metric_relabel.iter().any(RelabelRule::changes_labels) {
                true => Some(WhyLeftOut::Relabelled),
                false => differs.then_some(WhyLeftOut::SaidTwice),
            }
        }
        Placement::Conflict => {
            let mut own = spec.labels.iter();
            let is_other =
                !spec.honor_labels || own.all(|(name, value)| labels.get(name) == Some(value));
            is_other.then_some(WhyLeftOut::OfTarget)
        }
        Placement::Series(_) | Placement::Own(_) | Placement::Dropped => None,
    }
}

/// A line whose series an earlier one has with the sample of the row.
fn duplicate(of: SeriesId, row: &Row, bits: u64) -> Placement {
    let is_equal = row.bits == bits || f64::from_bits(row.bits) == f64::from_bits(bits);
    Placement::Duplicate {
        of,
        differs: !is_equal && row.bits != HISTOGRAM && bits != HISTOGRAM,
    }
}

fn count(appended: AppendOutcome, committed: &mut Committed) {
    match appended {
        AppendOutcome::Appended | AppendOutcome::Same => {}
        AppendOutcome::Duplicate => committed.duplicates += 1,
        AppendOutcome::OutOfOrder => committed.out_of_order += 1,
    }
}

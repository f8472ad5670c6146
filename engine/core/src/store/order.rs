//! The order of a series' samples in time, which is decided here alone: as in the head of Prometheus' TSDB, nothing is stored that
//! is not later than the newest sample of its series, a stale marker included.
//!
//! The ticks of a clock ascend, and so do timestamps of a series' own ([`Store::append_explicit`]). What is left is a series that
//! goes from one clock to another: their times do not follow from one another. Every such move is one of those of this file.

use super::codec::STALE;
use super::store::Store;
use crate::ids::{ClockId, SeriesId};

/// Where a series goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Onward {
    pub(crate) clock: ClockId,
    /// The tick of its first sample there, or its time where timestamps are its own.
    pub(crate) since: i64,
    pub(crate) bits: u64,
    /// The time of that sample.
    pub(crate) time_ms: i64,
}

impl Onward {
    /// A sample with a timestamp of its own.
    pub(crate) fn explicit(time_ms: i64, bits: u64) -> Onward {
        Onward {
            clock: ClockId::EXPLICIT,
            since: time_ms,
            bits,
            time_ms,
        }
    }
}

impl Store {
    /// The time of the newest sample of a series, its stale marker included. `None`: it has none, or its clock has forgotten when
    /// that was.
    pub(crate) fn newest_ms(&self, id: SeriesId) -> Option<i64> {
        self.newest_before(id, self.end_tick(id))
    }

    /// The same where its present run ends before this tick of its clock.
    pub(super) fn newest_before(&self, id: SeriesId, end_tick: i64) -> Option<i64> {
        let row = self.series.row(id);
        if row.clock == ClockId::EXPLICIT {
            return Some(row.since);
        }
        let is_seen = row.since < end_tick;
        if !is_seen && row.newest.some().is_none() {
            return None; // a page that is being committed is the first that shows it
        }
        let tick = match is_seen && !row.is_present() {
            true => row.since,
            false => end_tick - 1,
        };
        let scrape = self.clocks[row.clock.index()].at(tick);
        scrape.map(|scrape| scrape.time_ms)
    }

    /// The tick before which the present run of a series ends, if it ends now.
    pub(super) fn end_tick(&self, id: SeriesId) -> i64 {
        let row = self.series.row(id);
        match row.clock {
            ClockId::EXPLICIT => row.since.saturating_add(1),
            clock => self.clocks[clock.index()].next_tick(),
        }
    }

    /// Moves a series to another clock; its history stays on the old one. False: it has a sample that is not older, and stays where
    /// it is.
    pub(crate) fn move_to_clock(&mut self, id: SeriesId, onward: Onward) -> bool {
        self.move_from(id, self.end_tick(id), onward)
    }

    /// The same for a series that the page has without a timestamp, too, which is being committed at a time before: that sample
    /// stays.
    pub(crate) fn move_after_page(&mut self, id: SeriesId, onward: Onward) {
        self.move_from(id, self.end_tick(id).saturating_add(1), onward);
    }

    /// The same for a series whose present run ends before this tick.
    pub(super) fn move_from(&mut self, id: SeriesId, end_tick: i64, onward: Onward) -> bool {
        let newest_ms = self.newest_before(id, end_tick);
        if newest_ms.is_some_and(|newest_ms| newest_ms >= onward.time_ms) {
            return false;
        }
        let row = *self.series.row(id);
        // What a page has that is being committed leaves nothing behind: nobody has seen it.
        let is_seen = row.clock == ClockId::EXPLICIT || row.since < end_tick;
        match row.is_present() {
            true if is_seen => self.close_run(id, end_tick),
            // A marker is of use where there is something before it.
            false if is_seen && row.newest.some().is_some() => {
                self.close_run(id, row.since.saturating_add(1));
            }
            _ => {}
        }
        self.seal(id);
        let row = self.series.row_mut(id);
        (row.clock, row.since, row.bits) = (onward.clock, onward.since, onward.bits);
        true
    }

    /// Lets a series that is absent wait for a sample with a timestamp of its own; one that has no sample waits since `since_ms`. Its
    /// stale marker stays where it is in time.
    pub(crate) fn wait_for_explicit(&mut self, id: SeriesId, since_ms: i64) {
        // The marker of a page that is being committed has no time yet.
        let is_seen = self.series.row(id).since < self.end_tick(id);
        let newest_ms = self.newest_ms(id);
        let marker_ms = newest_ms.map(|newest_ms| newest_ms + i64::from(!is_seen));
        self.seal(id);
        let row = self.series.row_mut(id);
        let since = marker_ms.unwrap_or(since_ms);
        (row.clock, row.since, row.bits) = (ClockId::EXPLICIT, since, STALE);
    }
}

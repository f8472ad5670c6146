//! Adds the series of a large page batch by batch, before its commit.
//!
//! Adding 1,000,000 series takes more than a second, most of it the label index and the hash table. Series without a sample are
//! invisible, so they can be added beforehand; the commit then only sets their values: some 5 ns for each.

use super::Writer;
use super::make_room::beside_series_bytes;
use super::outcome::CommitError;
use crate::exposition::{Added, AddedSample, Staged};
use crate::limits::WRITE_BATCH_SERIES;
use crate::store::{ClockId, IndexRuns, STALE};
use crate::time::Timestamp;

/// Fewer new series are added one by one.
const BATCH_SERIES_MIN: usize = 64;

impl Writer {
    /// Adds the next [`WRITE_BATCH_SERIES`] series that a page's new lines name, without a sample. Returns whether there are
    /// more. Optional: `commit` adds what is missing.
    ///
    /// Errors are those of [`Writer::commit`]; the memory for all series is reserved by the first call. A page of which series were
    /// added must be committed: dropping it leaves rows that nothing frees.
    pub fn add_series(
        &mut self,
        staged: &mut Staged<'_>,
        at: Timestamp,
    ) -> Result<bool, CommitError> {
        if staged.added.is_none() {
            self.check(staged, at)?;
        }
        Ok(self.add_batch(staged, at))
    }

    /// The next batch of a page that was checked, and whether there are more.
    fn add_batch(&mut self, staged: &mut Staged<'_>, at: Timestamp) -> bool {
        let mut added = staged.added.take().unwrap_or_else(|| Added {
            samples: Vec::with_capacity(staged.new_lines()),
            beside_series_bytes: beside_series_bytes(staged),
            ..Added::default()
        });
        let until = (added.lines + WRITE_BATCH_SERIES).min(staged.new_lines());
        let clock = ClockId::page_of(staged.target());
        let times = self.own_times(at);
        let mut store = self.store.write();
        let tick = store.clocks[clock.index()].next_tick();
        let mut runs = IndexRuns::default();
        for line in added.lines..until {
            let Some(sample) = staged.new_sample(line as u32) else {
                continue;
            };
            let own_ms = times.steady_ms(sample.time_ms);
            let is_kept = own_ms.is_none_or(|ms| !times.is_ahead(ms) && !times.is_behind(ms));
            let (on, since) = match own_ms {
                Some(_) => (ClockId::EXPLICIT, times.waiting_since_ms()),
                None => (clock, tick),
            };
            let created = match sample.labels {
                Some(labels) if is_kept && sample.histogram.is_none() => {
                    store.create_unless_known(labels, on, STALE, since, &mut runs)
                }
                _ => None,
            };
            if let (Some(id), Some(_)) = (created, own_ms) {
                self.explicit_series.push(id);
                store.listed.add(id, staged.target());
            }
            let has_own_time = own_ms.is_some();
            let sample = AddedSample::new(created, line, sample.bits, has_own_time);
            added.samples.push(sample);
        }
        store.index.finish(&mut runs);
        drop(store);
        let reserved = &mut self.targets[staged.target().index()].reserved_bytes;
        let left = staged.new_lines() - added.lines;
        lower(
            reserved,
            added.beside_series_bytes,
            (until - added.lines, left),
        );
        added.lines = until;
        let more = until < staged.new_lines();
        staged.added = Some(added);
        more
    }

    /// Adds the series of a page with many new lines; a page that is committed by itself comes here.
    pub(super) fn add_all(&mut self, staged: &mut Staged<'_>, at: Timestamp) {
        if staged.added.is_none() && staged.new_series() >= BATCH_SERIES_MIN {
            while self.add_batch(staged, at) {}
        }
    }
}

/// Takes the share of the lines of a batch, of those that were left, from what was reserved for a page: their series are counted with
/// the store from now on.
fn lower(reserved: &mut usize, beside_series_bytes: usize, (lines, left): (usize, usize)) {
    let of_series = reserved.saturating_sub(beside_series_bytes);
    *reserved -= of_series * lines / left.max(1);
}

//! Adds the series of a large page in batches before the page is committed.
//!
//! Adding 1,000,000 series takes more than a second, most of it the label index and the hash table. Done inside the
//! commit it holds the writer for as long, and no other page is committed. Series without a sample are invisible, so they
//! can be added beforehand, batch by batch, with other commits in between; the commit then only sets their values.

use super::Writer;
use super::outcome::CommitError;
use crate::exposition::Staged;
use crate::limits::WRITE_BATCH_SERIES;
use crate::store::{ClockId, STALE};
use crate::time::Timestamp;

impl Writer {
    /// Adds the next [`WRITE_BATCH_SERIES`] series that a page's new lines name, without a sample. Returns whether there are
    /// more. Optional: `commit` adds what is missing. Whoever shares the writer calls it for pages with more new lines
    /// than a batch, and lets others have the writer between two calls.
    ///
    /// Errors are those of `commit`; the memory for all series is reserved by the first call. A page of which series were
    /// added must be committed: dropping it leaves rows that nothing frees.
    pub fn add_series(
        &mut self,
        staged: &mut Staged<'_>,
        at: Timestamp,
    ) -> Result<bool, CommitError> {
        if staged.added.is_none() {
            self.check(staged, at)?;
        }
        let mut added = staged.added.take().unwrap_or_default();
        let until = (added.lines + WRITE_BATCH_SERIES).min(staged.new_lines());
        let clock = ClockId::page_of(staged.target());
        let mut store = self.store.write();
        let tick = store.clocks[clock.index()].next_tick();
        for sample in staged.new_samples_in(added.lines..until) {
            let is_plain = sample.time_ms.is_none() && sample.histogram.is_none();
            let created = match sample.labels {
                Some(labels) if is_plain && store.series.find_near_last(labels).is_none() => {
                    Some(store.create(labels, clock, STALE, tick))
                }
                _ => None,
            };
            added.series.push(created);
        }
        drop(store);
        added.lines = until;
        let more = until < staged.new_lines();
        staged.added = Some(added);
        Ok(more)
    }
}

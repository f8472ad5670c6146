//! Commits a large page in steps, with other commits in between.
//!
//! Adding 1,000,000 series takes more than a second, most of it the label index and the hash table. Done inside the
//! commit it holds the writer for as long, and no other page is committed. Series without a sample are invisible, so they
//! can be added beforehand, batch by batch, and what they tell can be gathered without the writer; the commit then only
//! sets their values and learns what was gathered, all at once: some 5 ns for each.

use parking_lot::{Mutex, MutexGuard};

use super::Writer;
use super::outcome::{CommitError, Committed, ScrapeFacts};
use crate::exposition::{Added, AddedSample, Staged};
use crate::limits::WRITE_BATCH_SERIES;
use crate::store::{ClockId, IndexRuns, STALE};
use crate::time::Timestamp;

/// Fewer new series are added one by one.
const BATCH_SERIES_MIN: usize = 64;

impl Staged<'_> {
    /// The same as [`Writer::commit`] for a writer that others wait for: nothing keeps them for longer than a batch of
    /// [`WRITE_BATCH_SERIES`] series takes, or for what is to be done at once (bench: `hold`).
    pub fn commit_in_steps(
        mut self,
        writer: &Mutex<Writer>,
        at: Timestamp,
        facts: ScrapeFacts,
    ) -> Result<Committed, CommitError> {
        self.make_room(writer);
        if self.new_lines() > WRITE_BATCH_SERIES {
            loop {
                let mut held = writer.lock();
                let more = held.add_series(&mut self, at);
                MutexGuard::unlock_fair(held); // whoever waits is next
                if !more? {
                    break;
                }
            }
            self.gather();
        }
        let committed = writer.lock().commit_values(self, at, facts);
        let (committed, page) = committed?;
        let template = page.into_template();
        writer.lock().take_template(template);
        Ok(committed)
    }
}

impl Writer {
    /// Adds the next [`WRITE_BATCH_SERIES`] series that a page's new lines name, without a sample. Returns whether there are
    /// more. Optional: `commit` adds what is missing.
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
        Ok(self.add_batch(staged, at))
    }

    /// The next batch of a page that was checked, and whether there are more.
    fn add_batch(&mut self, staged: &mut Staged<'_>, at: Timestamp) -> bool {
        let mut added = staged.added.take().unwrap_or_else(|| Added {
            remembered: self.registry.read().facts.remembered_labels(),
            samples: Vec::with_capacity(staged.new_lines()),
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
        added.lines = until;
        let more = until < staged.new_lines();
        staged.added = Some(added);
        more
    }

    /// Adds the series of a page with many new lines; a page that is committed by itself comes here.
    pub(super) fn add_all(&mut self, staged: &mut Staged<'_>, at: Timestamp) {
        if staged.added.is_none() && staged.new_series().0 >= BATCH_SERIES_MIN {
            while self.add_batch(staged, at) {}
        }
    }
}

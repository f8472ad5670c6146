//! What a query may hold, and for how long it may compute: samples and bytes are counted where they are held, and long work
//! asks in between whether to stop.

use std::sync::atomic::Ordering;

use super::Eval;
use crate::select::{SelectRequest, Selection};
use crate::{MemoryLease, QueryError, Stop};

/// A sample with its time, in bytes.
pub(crate) const SAMPLE_BYTES: u64 = 16;

/// Samples that are added up between two questions whether to stop: a millisecond.
const WORK_BETWEEN_POLLS: usize = 1 << 19;

impl Eval<'_> {
    /// Counts samples that the query holds from now on; an error above the limit.
    pub(crate) fn hold(&self, samples: u64) -> Result<(), QueryError> {
        let now = self.samples.fetch_add(samples, Ordering::Relaxed) + samples;
        if let Some(tally) = self.options.tally {
            tally.held(now);
        }
        if now > self.options.samples_max {
            let message =
                "query processing would load too many samples into memory in query execution";
            return Err(QueryError::Execution(message.to_owned()));
        }
        self.memory.hold(samples.saturating_mul(SAMPLE_BYTES))
    }

    /// Releases samples counted by `hold`.
    pub(crate) fn release(&self, samples: u64) {
        self.samples.fetch_sub(samples, Ordering::Relaxed);
        self.memory.release(samples.saturating_mul(SAMPLE_BYTES));
    }

    /// Counts bytes beside samples that the query now holds: labels, texts.
    pub(crate) fn hold_bytes(&self, bytes: usize) -> Result<(), QueryError> {
        self.memory.hold(bytes as u64)
    }

    /// Takes back what `hold_bytes` counted.
    pub(crate) fn release_bytes(&self, bytes: usize) {
        self.memory.release(bytes as u64);
    }

    /// Reads a selector. What the view copies for it is counted for as long as the selection is there.
    pub(crate) fn select(&self, request: SelectRequest<'_>) -> Result<Selected<'_>, QueryError> {
        self.poll_now()?;
        let held_before = self.memory.held();
        let stop = || self.poll_now();
        let selection = self.view.select(&SelectRequest {
            memory: Some(&self.memory),
            stop: Some(&stop),
            ..request
        })?;
        Ok(Selected {
            selection,
            memory: &self.memory,
            bytes: self.memory.held().saturating_sub(held_before),
        })
    }

    /// Checks whether the query must stop, on every 64th call; called once per series, and per step where a step is more
    /// than an addition.
    pub(crate) fn poll(&self) -> Result<(), QueryError> {
        let polls = self.polls.get().wrapping_add(1);
        self.polls.set(polls);
        match polls % 64 {
            0 => self.poll_now(),
            _ => Ok(()),
        }
    }

    /// Asks whether to stop once for every [`WORK_BETWEEN_POLLS`] samples that were added up: for work on one series that may
    /// take seconds.
    pub(crate) fn poll_after(&self, samples: usize) -> Result<(), QueryError> {
        let work = self.work.get().saturating_add(samples);
        if work < WORK_BETWEEN_POLLS {
            self.work.set(work);
            return Ok(());
        }
        self.work.set(0);
        self.poll_now()
    }

    /// Asks whether to stop.
    pub(crate) fn poll_now(&self) -> Result<(), QueryError> {
        match self.options.stop {
            Some(stop) => match stop() {
                None => Ok(()),
                Some(Stop::Timeout) => Err(QueryError::Timeout(
                    "query timed out in expression evaluation".to_owned(),
                )),
                Some(Stop::Canceled) => Err(QueryError::Canceled(
                    "query was canceled in expression evaluation".to_owned(),
                )),
            },
            None => Ok(()),
        }
    }
}

/// A selection, and what it holds of the query's memory.
pub(crate) struct Selected<'m> {
    selection: Box<dyn Selection>,
    memory: &'m MemoryLease,
    bytes: u64,
}

impl std::ops::Deref for Selected<'_> {
    type Target = dyn Selection;

    fn deref(&self) -> &(dyn Selection + 'static) {
        &*self.selection
    }
}

impl Drop for Selected<'_> {
    fn drop(&mut self) {
        self.memory.release(self.bytes);
    }
}

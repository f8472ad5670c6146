//! One page of one target, whole or not at all.
//!
//! Everything that can refuse a page comes first. After that nothing fails: the series about the scrape, the page's
//! own, then the clock that makes them visible, and only then what signals see of it.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashSet;

use super::Writer;
use super::target::page_clock;
use super::work::Work;
use crate::exposition::{Metadata, PageError, Staged};
use crate::labels::Labels;
use crate::store::{Entry, SeriesId, TargetId};
use crate::time::Timestamp;

/// What is known of a scrape beside its page.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScrapeFacts {
    /// How long it took, in seconds.
    pub duration_s: f64,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Sample lines on the page.
    pub samples_scraped: u64,
    /// Of these, what relabelling left and is kept.
    pub samples_post_relabel: u64,
    /// Lines passed over, because no signal needs them.
    pub lines_skipped: u64,
    /// Lines that the page before did not have and that became series.
    pub series_added: u64,
    /// Lines whose series another line of the page has: the first wins.
    pub duplicates: u64,
    /// Lines whose series another live target has: that target wins.
    pub conflicts: u64,
    /// Samples with timestamps older than what is held.
    pub out_of_order: u64,
}

/// Why a page that parses is not taken. Nothing of it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// More samples than `sample_limit`.
    SampleLimit {
        /// Samples after relabelling.
        samples: u64,
        /// The limit.
        limit: u64,
    },
    /// Its new series do not fit `memory_bytes_max`.
    Memory {
        /// Series on the page that are not held yet.
        new_series: usize,
        /// Bytes held.
        held_bytes: usize,
        /// The limit.
        limit_bytes: u64,
    },
    /// It breaks (where it had to be read again as a whole).
    Page(PageError),
    /// Its time is not after the target's last scrape.
    NotAscending {
        /// The time of this scrape.
        at_ms: i64,
        /// The time of the last one.
        last_ms: i64,
    },
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommitError::SampleLimit { samples, limit } => write!(
                f,
                "sample_limit exceeded: {samples} samples after relabelling, the limit is {limit}"
            ),
            CommitError::Memory {
                new_series,
                held_bytes,
                limit_bytes,
            } => write!(
                f,
                "memory limit reached: {new_series} new series do not fit, {held_bytes} of {limit_bytes} bytes are \
                 held; raise --storage.memory.max or drop series by metric_relabel_configs"
            ),
            CommitError::Page(error) => error.fmt(f),
            CommitError::NotAscending { at_ms, last_ms } => {
                write!(
                    f,
                    "a scrape at {at_ms} ms cannot follow one at {last_ms} ms"
                )
            }
        }
    }
}

impl std::error::Error for CommitError {}

impl Writer {
    /// Takes a page, whole or not at all.
    pub fn commit(
        &mut self,
        staged: Staged<'_>,
        at: Timestamp,
        facts: ScrapeFacts,
    ) -> Result<Committed, CommitError> {
        let target = staged.target();
        self.check(&staged, at)?;
        let mut staged = self.settle(staged)?;
        let (samples_scraped, samples_post_relabel) = staged.samples();
        let mut committed = Committed {
            samples_scraped,
            samples_post_relabel,
            lines_skipped: staged.skipped(),
            ..Committed::default()
        };
        let store = Arc::clone(&self.store);
        let mut placed = std::mem::take(&mut self.placed);
        placed.clear();
        let room = self.stopwatch.waiting(|| self.room.read());
        let watch_counters = !room.facts.tells_start(target);
        drop(room);
        let mut store = self.stopwatch.waiting(|| store.write());
        // Before the page, so that what it says of itself (an `up` of its own) hides nothing of what we know.
        let (scraped, post_relabel) = (samples_scraped as f64, samples_post_relabel as f64);
        let report = [1.0, facts.duration_s, scraped, post_relabel];
        self.report(&mut store, target, 0, &report);
        let mut stopwatch = std::mem::take(&mut self.stopwatch);
        let mut work = Work {
            store: &mut store,
            stopwatch: &mut stopwatch,
            done: 0,
            clock: page_clock(target),
            at_ms: at.ms(),
            watch_counters,
            counters_fell: false,
        };
        work.place_new(&staged, &mut placed, &mut self.own_series, &mut committed);
        work.change(&staged, &mut self.own_series, &mut committed);
        let counters_fell = work.counters_fell;
        self.stopwatch = stopwatch;
        store.clocks[page_clock(target).index()].push(Entry {
            time_ms: at.ms(),
            good: true,
        });
        for metadata in staged.metadata() {
            match metadata {
                Metadata::Help(family, help) => store.set_help(target, family, help),
                Metadata::Type(family, family_type) => {
                    store.set_type(target, family, *family_type);
                }
            }
        }
        let added = committed.series_added as f64;
        self.report(&mut store, target, report.len(), &[added]);
        self.reported(&mut store, target, at);
        drop(store);
        self.observe(&mut staged, &placed, at, counters_fell);
        let waited_ns = self.stopwatch.take_ns();
        if self.stopwatch.now_ns.is_some() {
            self.waits.record(waited_ns);
        }
        self.endings += staged.page().gone.len() as u64;
        staged.stage.contest(self.endings);
        let target = &mut self.targets[target.index()];
        self.others_bytes = self.others_bytes.saturating_sub(target.stage_bytes);
        staged.apply(&placed, &mut target.stage_bytes);
        self.others_bytes += target.stage_bytes;
        self.placed = placed;
        Ok(committed)
    }

    fn check(&mut self, staged: &Staged<'_>, at: Timestamp) -> Result<(), CommitError> {
        self.check_time(staged.target(), at)?;
        let spec = staged.stage.spec();
        let (_, samples) = staged.samples();
        if spec.sample_limit > 0 && samples > spec.sample_limit {
            return Err(CommitError::SampleLimit {
                samples,
                limit: spec.sample_limit,
            });
        }
        let labels = || staged.new_samples().filter_map(|sample| sample.labels);
        self.admit(labels, 0).map_err(|_| CommitError::Memory {
            new_series: labels().count(),
            held_bytes: self.held_bytes(),
            limit_bytes: self.limits.memory_bytes_max,
        })
    }

    /// Of two lines with one series the first wins. Where a new line has the series of a line that stayed, which is
    /// first is only seen by taking the page as a whole.
    fn settle<'a>(&self, staged: Staged<'a>) -> Result<Staged<'a>, CommitError> {
        if !staged.mixes() {
            return Ok(staged);
        }
        let clock = page_clock(staged.target());
        let leaving: HashSet<SeriesId> = staged.page().gone.iter().copied().collect();
        let store = self.store.read();
        let stayed = |labels: &Labels| {
            let Some(id) = store.series.find(labels) else {
                return false;
            };
            let row = store.series.row(id);
            row.clock == clock && row.is_present() && !leaving.contains(&id)
        };
        let contested = staged
            .new_samples()
            .any(|sample| sample.labels.is_some_and(stayed));
        drop(store);
        if contested {
            return staged.whole().map_err(CommitError::Page);
        }
        Ok(staged)
    }

    pub(super) fn check_time(&self, target: TargetId, at: Timestamp) -> Result<(), CommitError> {
        match self.targets[target.index()].last_ms {
            Some(last_ms) if at.ms() <= last_ms => Err(CommitError::NotAscending {
                at_ms: at.ms(),
                last_ms,
            }),
            _ => Ok(()),
        }
    }
}

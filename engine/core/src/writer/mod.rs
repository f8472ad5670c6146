//! The writer: the only part that changes the store. Targets, pages, failed scrapes, samples from remote write,
//! retention.
//!
//! * `target`: adding targets, failed scrapes; `remove`: a target that has left, some series at a time.
//! * `commit`: one page of one target; `page_commit` applies its lines to series, `steps` some of them at a time, `progress`
//!   is what is known between two; `report` writes the series about the scrape (`up` and others); `own_times`: timestamps of pages.
//! * `commit_in_steps`: a large page with other commits in between, its series added in batches before (`add_series`).
//! * `append`: samples with explicit timestamps.
//! * `observe`: passes a committed page on to the signals; `process`: what it tells of another process than before.
//! * `persist`: targets of a snapshot.
//! * `admit`: the memory limit; `maintain`: retention and accounting.
//!
//! A commit touches only what changed on a page. Readers see it completely or not at all: what it writes lies beyond
//! the end of the target's clock until the clock advances, as the last step. The lock is released between batches, so
//! that a first page of 200,000 series does not block readers for its whole length.

mod add_series;
mod admit;
mod append;
mod commit;
mod commit_in_steps;
mod in_turn;
mod maintain;
mod make_room;
mod observe;
mod outcome;
mod own_times;
mod page_commit;
mod persist;
mod process;
mod progress;
mod remove;
mod report;
mod steps;
mod target;

use std::sync::Arc;

use parking_lot::RwLock;

use crate::exposition::Placement;
use crate::limits::{Limits, WINDOW_BYTES_MAX};
use crate::reader::Reader;
use crate::signal::SignalRegistry;
use crate::store::{SeriesId, Store, TargetId};
use crate::waits::{Durations, Stopwatch};

use persist::Unclaimed;
use target::Target;

pub(crate) use persist::{TargetRecord, clocks_of};

pub use append::{AppendError, Appended, AppendedSeries, Refusal, Refused};
pub use commit::{CommittedPage, PageTemplate};
pub use commit_in_steps::CommitInSteps;
pub use outcome::{CommitError, Committed, ScrapeFacts};

/// Constructor of an engine: one [`Writer`], which changes it, and any number of [`Reader`]s, which are cheap to
/// clone.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// An empty engine with these limits.
    #[expect(clippy::new_ret_no_self, reason = "the two halves are all there is")]
    pub fn new(limits: Limits) -> (Writer, Reader) {
        let mut store = Store::new();
        store.history_bytes_max = usize::try_from(limits.memory_bytes_max).unwrap_or(usize::MAX);
        let window_bytes_max = WINDOW_BYTES_MAX.min(store.history_bytes_max / 4);
        let store = Arc::new(RwLock::new(store));
        let registry = Arc::new(RwLock::new(SignalRegistry::new(window_bytes_max)));
        let reader = Reader::new(
            Arc::clone(&store),
            Arc::clone(&registry),
            limits.memory_bytes_max,
        );
        let writer = Writer {
            store,
            registry,
            limits,
            targets: Vec::new(),
            free_targets: Vec::new(),
            unclaimed: Unclaimed::default(),
            explicit_series: Vec::new(),
            non_history_bytes: 0,
            reserved_bytes: 0,
            placements: Vec::new(),
            endings: 0,
            reports_appeared: false,
            adds_targets: false,
            stopwatch: Stopwatch::default(),
            waits: Arc::default(),
            wall_offset_ms: 0,
        };
        (writer, reader)
    }
}

/// Changes the store. There is one per engine; to feed it from several threads, put a lock around it. Parsing
/// ([`crate::Stage::parse`]) needs no lock.
pub struct Writer {
    store: Arc<RwLock<Store>>,
    /// Lock order: before the store.
    registry: Arc<RwLock<SignalRegistry>>,
    limits: Limits,
    targets: Vec<Target>,
    /// Ids of removed targets of which no sample is held: they can be reused.
    free_targets: Vec<TargetId>,
    unclaimed: Unclaimed,
    /// Series with explicit timestamps, which no clock ends.
    explicit_series: Vec<SeriesId>,
    /// Bytes held beside history: counted by the last `maintain`, plus what was added since.
    non_history_bytes: usize,
    /// Bytes that were reserved for series of requests which are not added yet.
    reserved_bytes: usize,
    placements: Vec<Placement>,
    /// Counts series that ended: a target whose line conflicted with one may have it now.
    endings: u64,
    /// Series about scrapes were added since signals were last told.
    reports_appeared: bool,
    /// Several targets are added: signals are told of them together.
    adds_targets: bool,
    stopwatch: Stopwatch,
    waits: Arc<Durations>,
    /// What must be added to a time for the wall clock's.
    wall_offset_ms: i64,
}

impl Writer {
    /// Measures from now on how long each commit waits for locks. `now_ns` is a monotonic clock in nanoseconds; the engine
    /// itself reads none.
    pub fn time_waits(&mut self, now_ns: fn() -> u64) -> Arc<Durations> {
        self.stopwatch.now_ns = Some(now_ns);
        Arc::clone(&self.waits)
    }

    /// Says by how much the wall clock is ahead of the times that the engine is given, after it has stepped. Timestamps on
    /// pages, start times of processes and `time()` are about the wall clock. 0 at first.
    pub fn set_wall_offset(&mut self, wall_offset_ms: i64) {
        if self.wall_offset_ms != wall_offset_ms {
            self.wall_offset_ms = wall_offset_ms;
            self.registry.write().facts.wall_offset_ms = wall_offset_ms;
        }
    }
}

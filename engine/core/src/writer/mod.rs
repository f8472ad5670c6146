//! The one writer: targets, pages, failures, retention.
//!
//! `target` is who comes and goes, `commit` one page of one, `work` what its lines make of series; `report` writes the
//! series about scrapes, `append` what others measured; `observe` tells the signals, `admit` holds the memory limit,
//! `maintain` forgets.
//!
//! A commit touches what a page changed and nothing else. It happens whole or not at all for readers, because what
//! it writes lies behind the end of the target's clock until the clock moves, last of all. The lock is let go between
//! batches, so that a first page of 200,000 series does not stop readers.

mod admit;
mod append;
mod commit;
mod maintain;
mod observe;
mod report;
mod target;
mod work;

use std::sync::Arc;

use parking_lot::RwLock;

use crate::exposition::Placed;
use crate::limits::{Limits, WINDOW_BYTES_MAX};
use crate::reader::Reader;
use crate::signal::Room;
use crate::store::{SeriesId, Store, TargetId};
use crate::waits::{Durations, Stopwatch};

use target::Target;

pub use append::{AppendError, Appended, AppendedSeries, Refusal, Refused};
pub use commit::{CommitError, Committed, ScrapeFacts};

/// What the engine is made of: one [`Writer`] and as many [`Reader`]s as you clone.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// An empty engine.
    #[expect(clippy::new_ret_no_self, reason = "the two halves are all there is")]
    pub fn new(limits: Limits) -> (Writer, Reader) {
        let mut store = Store::new();
        store.history_bytes_max = usize::try_from(limits.memory_bytes_max).unwrap_or(usize::MAX);
        let window_bytes_max = WINDOW_BYTES_MAX.min(store.history_bytes_max / 4);
        let store = Arc::new(RwLock::new(store));
        let room = Arc::new(RwLock::new(Room::new(window_bytes_max)));
        let reader = Reader::new(
            Arc::clone(&store),
            Arc::clone(&room),
            limits.memory_bytes_max,
        );
        let writer = Writer {
            store,
            room,
            limits,
            targets: Vec::new(),
            free_targets: Vec::new(),
            own_series: Vec::new(),
            others_bytes: 0,
            placed: Vec::new(),
            endings: 0,
            stopwatch: Stopwatch::default(),
            waits: Arc::default(),
        };
        (writer, reader)
    }
}

/// Changes the store. There is one; put a lock around it if several threads feed it.
pub struct Writer {
    store: Arc<RwLock<Store>>,
    /// Locked before the store where both are.
    room: Arc<RwLock<Room>>,
    limits: Limits,
    targets: Vec<Target>,
    /// Removed, and older than every sample: their numbers can be used again.
    free_targets: Vec<TargetId>,
    /// Series with timestamps of their own, which no clock ends.
    own_series: Vec<SeriesId>,
    /// What is held beside history, as of the last `maintain`, plus what was added since.
    others_bytes: usize,
    placed: Vec<Placed>,
    /// Grows whenever a series ends: another target that was refused it may have it now.
    endings: u64,
    stopwatch: Stopwatch,
    waits: Arc<Durations>,
}

impl Writer {
    /// Times from now on how long each commit waits for locks, by a clock of nanoseconds.
    pub fn time_waits(&mut self, now_ns: fn() -> u64) -> Arc<Durations> {
        self.stopwatch.now_ns = Some(now_ns);
        Arc::clone(&self.waits)
    }
}

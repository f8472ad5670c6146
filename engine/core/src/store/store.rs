//! The type [`Store`]: its parts, and which of their values readers may see.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::clock::{Clock, ScrapeEntry};
use super::exemplars::Exemplars;
use super::families::Families;
use super::listed::Listed;
use super::native_histograms::NativeHistograms;
use super::postings::Index;
use super::series::{Row, Series};
use super::slab::Slab;
use crate::ids::{ClockId, SeriesId, TargetId};

/// Everything that readers see. It lies behind one read-write lock, which writer and readers share.
pub(crate) struct Store {
    pub(crate) series: Series,
    pub(crate) index: Index,
    pub(crate) clocks: Vec<Clock>,
    pub(crate) slab: Slab,
    /// Values of native histogram series.
    pub(crate) native_histograms: NativeHistograms,
    pub(crate) exemplars: Exemplars,
    /// Series with explicit timestamps that pages list.
    pub(crate) listed: Listed,
    /// The series of all sealed blocks, the oldest block first: those of one series are sealed in their order.
    pub(super) sealed: VecDeque<SeriesId>,
    /// Bytes of history above which growing requires dropping the oldest.
    pub(crate) history_bytes_max: usize,
    pub(crate) dropped: Dropped,
    /// Type and help of every family of every target.
    pub(crate) metadata: HashMap<TargetId, Families>,
    /// Bytes of the targets' templates, as the writer last counted them.
    pub(crate) stage_bytes: usize,
    /// Targets of which a page is being committed in steps: some of their series have values that nobody may see yet.
    committing: Vec<TargetId>,
}

/// History dropped for the memory limit so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dropped {
    /// Blocks dropped for the memory limit, not for their age.
    pub(crate) blocks_for_memory: u64,
    /// The newest time dropped for the memory limit from any series.
    pub(crate) history_until_ms: Option<i64>,
}

impl Store {
    pub(crate) fn new() -> Store {
        Store {
            series: Series::default(),
            index: Index::default(),
            clocks: Vec::new(),
            slab: Slab::new(),
            native_histograms: NativeHistograms::default(),
            exemplars: Exemplars::default(),
            listed: Listed::default(),
            sealed: VecDeque::new(),
            history_bytes_max: usize::MAX,
            dropped: Dropped::default(),
            metadata: HashMap::new(),
            stage_bytes: 0,
            committing: Vec::new(),
        }
    }

    /// Values of a page of this target are written from now on until its clock advances ([`Store::advance`]).
    pub(crate) fn begin_commit(&mut self, target: TargetId) {
        if !self.committing.contains(&target) {
            self.committing.push(target);
        }
    }

    /// Whether rows of this clock may have values that nobody may see yet.
    pub(crate) fn is_committing(&self, clock: ClockId) -> bool {
        let is_of = |target: &TargetId| clock.target() == Some(*target);
        !self.committing.is_empty() && self.committing.iter().any(is_of)
    }

    /// Whether there are such rows.
    pub(crate) fn is_any_committing(&self) -> bool {
        !self.committing.is_empty()
    }

    /// Whether readers may know of the newest value of a row: it is not one of a page that is being committed.
    pub(crate) fn is_shown(&self, row: &Row) -> bool {
        let clock = || &self.clocks[row.clock.index()];
        row.clock.target().is_none() || row.since < clock().next_tick()
    }

    /// Advances the clock of a target's pages, which makes what was written for it visible.
    pub(crate) fn advance(&mut self, target: TargetId, entry: ScrapeEntry) {
        self.clocks[ClockId::page_of(target).index()].push(entry);
        if !self.committing.is_empty() {
            self.committing.retain(|of| *of != target);
        }
    }

    /// Bytes by which tables grow with the next series or so.
    pub(crate) fn imminent_growth_bytes(&self) -> usize {
        self.series.imminent_growth_bytes() + self.index.imminent_growth_bytes()
    }

    /// Bytes held, by part.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes {
            series: self.series.bytes(),
            index: self.index.bytes(),
            history: self.slab.bytes() + self.sealed.capacity() * size_of::<SeriesId>(),
            clocks: self.clocks.iter().map(Clock::bytes).sum(),
            histograms: self.native_histograms.bytes() + self.exemplars.bytes(),
        }
    }
}

/// Where the memory is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bytes {
    /// Rows, labels, identity.
    pub series: usize,
    /// The label index.
    pub index: usize,
    /// Blocks, free ones included.
    pub history: usize,
    /// Scrape times.
    pub clocks: usize,
    /// Native histograms and exemplars.
    pub histograms: usize,
}

impl Bytes {
    /// All of it.
    pub fn total(&self) -> usize {
        self.series + self.index + self.history + self.clocks + self.histograms
    }
}

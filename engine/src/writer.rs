//! The one writer: targets, pages, failures, retention.
//!
//! A commit touches what a page changed and nothing else. It happens whole or not at all for readers, because what
//! it writes lies behind the end of the target's clock until the clock moves, last of all. The lock is let go between
//! batches, so that a first page of 200,000 series does not stop readers.

mod append;

use std::fmt;
use std::sync::Arc;

use hashbrown::HashSet;
use parking_lot::{RwLock, RwLockWriteGuard};

pub use append::{AppendError, Appended, AppendedSeries, Refusal, Refused};

use crate::exposition::{Always, Mapper, Metadata, PageError, Placed, Stage, Staged, TargetSpec};
use crate::labels::{Labels, METRIC_NAME};
use crate::limits::{
    AHEAD_MS_MAX, Limits, RESTART_GRACE_MS_DEFAULT, WINDOW_BYTES_MAX, WRITE_BATCH_SERIES,
};
use crate::promql::QueryError;
use crate::reader::Reader;
use crate::signal::{ChangeKind, Policy, Room, SignalId};
use crate::store::{ClockId, Entry, OwnSample, STALE, SeriesId, Store, TargetId};
use crate::time::Timestamp;
use crate::waits::{Durations, Stopwatch};

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
            held_bytes: 0,
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
    /// What is held, as of the last `maintain`, plus what was added since.
    held_bytes: usize,
    placed: Vec<Placed>,
    /// Grows whenever a series ends: another target that was refused it may have it now.
    endings: u64,
    stopwatch: Stopwatch,
    waits: Arc<Durations>,
}

#[derive(Default)]
struct Target {
    report: [Option<SeriesId>; REPORT.len()],
    report_labels: Vec<Labels>,
    last_ms: Option<i64>,
    removed_ms: Option<i64>,
    stage_bytes: usize,
}

/// The series about a scrape, as Prometheus writes them (scrape/scrape.go `report`).
pub(crate) const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// Where series need history's memory, this part of the limit is made free beyond what they need.
const MEMORY_SLACK_PART: usize = 32;

/// What a new series costs at most, beside its label texts (rows, index, identity, symbols), for the memory limit.
const NEW_SERIES_BYTES: usize = 300;

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

fn page_clock(target: TargetId) -> ClockId {
    ClockId(target.0 * 2)
}

fn report_clock(target: TargetId) -> ClockId {
    ClockId(target.0 * 2 + 1)
}

impl Writer {
    /// Times from now on how long each commit waits for locks, by a clock of nanoseconds.
    pub fn time_waits(&mut self, now_ns: fn() -> u64) -> Arc<Durations> {
        self.stopwatch.now_ns = Some(now_ns);
        Arc::clone(&self.waits)
    }

    /// A new target, and the stage for its pages.
    pub fn add_target(&mut self, spec: TargetSpec) -> (TargetId, Stage) {
        let target = self
            .free_targets
            .pop()
            .unwrap_or(TargetId(self.targets.len() as u32));
        let state = Target {
            report_labels: REPORT
                .iter()
                .map(|name| Mapper::report_labels(&spec, name))
                .collect(),
            ..Target::default()
        };
        if target.index() == self.targets.len() {
            self.targets.push(state);
        } else {
            self.targets[target.index()] = state;
        }
        let mut store = self.store.write();
        let clocks_end = report_clock(target).index() + 1;
        if store.clocks.len() < clocks_end {
            store.clocks.resize_with(clocks_end, Default::default);
        }
        let entries =
            self.limits.retention_ms / i64::try_from(spec.interval_ms.max(1)).unwrap_or(i64::MAX);
        // One maintenance may be late: a second's worth more.
        let entries = usize::try_from(entries + 1000).unwrap_or(0);
        for clock in [page_clock(target), report_clock(target)] {
            store.clocks[clock.index()].reserve(entries);
        }
        store.metadata.insert(target, Default::default());
        drop(store);
        let mut room = self.room.write();
        room.facts.add(
            target,
            &spec.labels,
            i64::try_from(spec.interval_ms).unwrap_or(i64::MAX),
            spec.retain,
        );
        room.rescope();
        let needed = room.facts.needs.board();
        drop(room);
        (target, Stage::new(target, spec, needed))
    }

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
            store.learn(target, metadata);
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
        self.held_bytes = self.held_bytes.saturating_sub(target.stage_bytes);
        staged.apply(&placed, &mut target.stage_bytes);
        self.held_bytes += target.stage_bytes;
        self.placed = placed;
        Ok(committed)
    }

    /// A scrape failed: `up` is 0, and the page's series end here (for the plain view).
    pub fn fail(
        &mut self,
        target: TargetId,
        at: Timestamp,
        facts: ScrapeFacts,
        error: &str,
    ) -> Result<(), CommitError> {
        self.check_time(target, at)?;
        let store = Arc::clone(&self.store);
        let mut store = store.write();
        store.clocks[page_clock(target).index()].push(Entry {
            time_ms: at.ms(),
            good: false,
        });
        self.report(
            &mut store,
            target,
            0,
            &[0.0, facts.duration_s, 0.0, 0.0, 0.0],
        );
        self.reported(&mut store, target, at);
        drop(store);
        self.room.write().facts.failed(target, at.ms(), error);
        Ok(())
    }

    /// A target is no longer scraped: all of its series end now.
    pub fn remove_target(&mut self, stage: Stage, at: Timestamp) {
        let target = stage.target();
        let state = &mut self.targets[target.index()];
        let at_ms = state
            .last_ms
            .map_or(at.ms(), |last_ms| at.ms().max(last_ms + 1));
        state.removed_ms = Some(at_ms);
        self.held_bytes = self.held_bytes.saturating_sub(state.stage_bytes);
        state.stage_bytes = 0;
        let reports = state.report.iter().flatten().copied();
        let mut store = self.store.write();
        for (clock, good) in [(page_clock(target), false), (report_clock(target), true)] {
            store.clocks[clock.index()].push(Entry {
                time_ms: at_ms,
                good,
            });
        }
        for (done, id) in stage.series().chain(reports).enumerate() {
            let clock = store.series.row(id).clock;
            if clock == page_clock(target) || clock == report_clock(target) {
                let tick = store.clocks[clock.index()].next_tick() - 1;
                store.change(id, tick, STALE);
            }
            if done % WRITE_BATCH_SERIES == WRITE_BATCH_SERIES - 1 {
                RwLockWriteGuard::bump(&mut store);
            }
        }
        store.metadata.remove(&target);
        drop(store);
        self.endings += 1;
        let mut room = self.room.write();
        let name = room
            .facts
            .target(target)
            .map(|facts| facts.name.clone())
            .unwrap_or_default();
        room.changed(target, &name, &ChangeKind::LeftDiscovery, at_ms);
        room.facts.remove(target, at_ms);
        room.rescope();
    }

    /// A query whose answer is kept up to date, and told only when it is true.
    pub fn watch(&mut self, query: &str, policy: Policy) -> Result<SignalId, QueryError> {
        self.room.write().watch(&self.store, query, policy)
    }

    /// What the page says of its target, and what signals make of it.
    fn observe(
        &mut self,
        staged: &mut Staged<'_>,
        placed: &[Placed],
        at: Timestamp,
        counters_fell: bool,
    ) {
        let target = staged.target();
        let mut room = self.stopwatch.waiting(|| self.room.write());
        let room = &mut *room;
        if !placed.is_empty() || !staged.page().gone.is_empty() {
            let store = self.store.read();
            // A line that moved, or a page that was taken as a whole, gives up a series and has it again.
            let gone: HashSet<SeriesId> = staged.page().gone.iter().copied().collect();
            let stays = |placed: &Placed| match placed {
                Placed::Series(id) if gone.contains(id) => Some(*id),
                _ => None,
            };
            let stay: HashSet<SeriesId> = placed.iter().filter_map(stays).collect();
            for &id in gone.difference(&stay) {
                room.facts
                    .series_went(target, id, store.metric_name(id).unwrap_or(""));
            }
            for (sample, placed) in staged.new_samples().zip(placed) {
                if let (Some(labels), Placed::Series(id) | Placed::Own(id)) =
                    (sample.labels, placed)
                    && !stay.contains(id)
                {
                    room.facts.series_came(target, *id, labels, &room.names);
                }
            }
            room.facts.settle_names(target);
        }
        if let Some(sieve) = staged.sieve() {
            for name in sieve.new_names() {
                room.facts.name_skipped(target, name, &room.names);
            }
            for labels in &staged.page().looked_at {
                room.facts.series_looked_at(target, labels, &room.names);
            }
            room.needs_taken(target, sieve.version(), at.ms());
            staged.set_tells_start(room.facts.tells_start(target));
        }
        let value = |id: SeriesId| f64::from_bits(self.store.read().series.row(id).bits);
        let change = room.facts.good_page(target, at.ms(), value, counters_fell);
        if let Some(kind) = change {
            let name = room
                .facts
                .target(target)
                .map(|facts| facts.name.clone())
                .unwrap_or_default();
            room.changed(target, &name, &kind, at.ms());
        }
        room.rescope();
        room.evaluate(&self.store, target, at);
    }

    /// Drops what is too old or too much. Call it about once a second.
    pub fn maintain(&mut self, now: Timestamp) {
        let cutoff_ms = now.minus_ms(self.limits.retention_ms).ms();
        let windows = self.room.read().window_bytes;
        let mut store = self.store.write();
        store.drop_before(cutoff_ms);
        let own_series = &mut self.own_series;
        own_series.retain(|&id| store.keep_own(id, cutoff_ms));
        store.series.turn_limbo();
        for (index, target) in self.targets.iter_mut().enumerate() {
            if target
                .removed_ms
                .is_some_and(|removed_ms| removed_ms < cutoff_ms)
            {
                target.removed_ms = None;
                self.free_targets.push(TargetId(index as u32));
            }
        }
        let stages: usize = self.targets.iter().map(|target| target.stage_bytes).sum();
        let bytes = store.bytes();
        self.held_bytes = bytes.total() + store.bytes_soon() + stages + windows;
        let limit = usize::try_from(self.limits.memory_bytes_max).unwrap_or(usize::MAX);
        let others = self.held_bytes - bytes.history;
        store.history_bytes_max = (limit / 4 * 3).min(limit.saturating_sub(others));
        store.stage_bytes = stages;
        if store.slab.bytes() > store.history_bytes_max {
            let (before, bytes_max) = (store.slab.bytes(), store.history_bytes_max);
            shrink(&mut store, bytes_max);
            self.held_bytes -= before.saturating_sub(store.slab.bytes());
        }
        drop(store);
        let mut room = self.room.write();
        room.facts
            .forget_empty_groups(now.ms(), RESTART_GRACE_MS_DEFAULT);
        room.rescope();
        room.note(now.ms());
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
            held_bytes: self.held_bytes,
            limit_bytes: self.limits.memory_bytes_max,
        })
    }

    /// Lets series with these labels, and `more_bytes` beside them, in where they fit the memory limit, if need be in
    /// place of old history; else says how many bytes they would take.
    fn admit<'a, I>(&mut self, labels: impl Fn() -> I, more_bytes: usize) -> Result<(), usize>
    where
        I: Iterator<Item = &'a Labels>,
    {
        let at_most: usize = labels()
            .map(|labels| labels.bytes() + NEW_SERIES_BYTES)
            .sum();
        let limit = usize::try_from(self.limits.memory_bytes_max).unwrap_or(usize::MAX);
        if at_most + more_bytes == 0 || self.held_bytes + at_most + more_bytes <= limit {
            self.held_bytes += at_most + more_bytes;
            return Ok(());
        }
        // Most texts are known already, and places of series that ended are taken again.
        let new_bytes = more_bytes + self.store.read().series.growth_bytes(labels());
        if self.makes_room(new_bytes) {
            self.held_bytes += new_bytes;
            return Ok(());
        }
        Err(new_bytes)
    }

    /// Whether `new_bytes` fit, if need be in place of old history.
    fn makes_room(&mut self, new_bytes: usize) -> bool {
        let limit = usize::try_from(self.limits.memory_bytes_max).unwrap_or(usize::MAX);
        if new_bytes == 0 || self.held_bytes.saturating_add(new_bytes) <= limit {
            return true;
        }
        let store = Arc::clone(&self.store);
        let mut store = store.write();
        let before = store.slab.bytes();
        // Somewhat more than is needed, so that not every page with a new line comes to this.
        let more = new_bytes + limit / MEMORY_SLACK_PART;
        let others = self.held_bytes.saturating_sub(before);
        shrink(&mut store, limit.saturating_sub(others + more));
        self.held_bytes -= before.saturating_sub(store.slab.bytes());
        self.held_bytes.saturating_add(new_bytes) <= limit
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

    fn check_time(&self, target: TargetId, at: Timestamp) -> Result<(), CommitError> {
        match self.targets[target.index()].last_ms {
            Some(last_ms) if at.ms() <= last_ms => Err(CommitError::NotAscending {
                at_ms: at.ms(),
                last_ms,
            }),
            _ => Ok(()),
        }
    }

    /// Writes values of the series about the scrape, from the `from`th of [`REPORT`] on; [`Writer::reported`] makes them
    /// visible.
    fn report(&mut self, store: &mut Store, target: TargetId, from: usize, values: &[f64]) {
        let state = &mut self.targets[target.index()];
        let clock = report_clock(target);
        let tick = store.clocks[clock.index()].next_tick();
        let labels = &state.report_labels[from..];
        for ((value, labels), id) in values.iter().zip(labels).zip(&mut state.report[from..]) {
            match *id {
                Some(id) => store.change(id, tick, value.to_bits()),
                None => *id = store.adopt(labels, clock, tick, value.to_bits()),
            }
        }
    }

    fn reported(&mut self, store: &mut Store, target: TargetId, at: Timestamp) {
        self.targets[target.index()].last_ms = Some(at.ms());
        store.clocks[report_clock(target).index()].push(Entry {
            time_ms: at.ms(),
            good: true,
        });
    }
}

/// Drops the oldest history until at most `bytes_max` are left, letting the readers in now and then.
fn shrink(store: &mut RwLockWriteGuard<'_, Store>, bytes_max: usize) {
    while !store.shrink_history(bytes_max, WRITE_BATCH_SERIES) {
        RwLockWriteGuard::bump(store);
    }
}

/// One commit under way.
struct Work<'a, 'lock> {
    store: &'a mut RwLockWriteGuard<'lock, Store>,
    stopwatch: &'a mut Stopwatch,
    done: usize,
    clock: ClockId,
    at_ms: i64,
    /// The target's pages do not tell when its process started: falling counters do (S6a).
    watch_counters: bool,
    counters_fell: bool,
}

impl Work<'_, '_> {
    /// Counts a series worked on; now and then lets the readers in.
    fn breathe(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(WRITE_BATCH_SERIES) {
            self.stopwatch
                .waiting(|| RwLockWriteGuard::bump(self.store));
        }
    }

    fn tick(&self) -> i64 {
        self.store.clocks[self.clock.index()].next_tick()
    }

    fn watch_counter(&mut self, id: SeriesId, bits: u64) {
        if self.watch_counters && !self.counters_fell {
            self.counters_fell = self.store.is_fallen_counter(id, bits);
        }
    }

    /// A timestamp from a future that retention would never reach.
    fn is_ahead(&self, time_ms: i64) -> bool {
        time_ms > self.at_ms.saturating_add(AHEAD_MS_MAX)
    }

    /// Lines that the template does not have, then the series of those it no longer has.
    fn place_new(
        &mut self,
        staged: &Staged<'_>,
        placed: &mut Vec<Placed>,
        own_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) {
        let gone = &staged.page().gone;
        let leaving: HashSet<SeriesId> = gone.iter().copied().collect();
        let mut claimed = HashSet::new();
        for sample in staged.new_samples() {
            let at = match sample.labels {
                None => Placed::Dropped,
                Some(labels) => self.place(
                    labels,
                    sample.bits,
                    sample.time_ms,
                    &leaving,
                    &mut claimed,
                    own_series,
                    committed,
                ),
            };
            match at {
                // A page that is taken as a whole brings back what was there.
                Placed::Series(id) | Placed::Own(id) if leaving.contains(&id) => {}
                Placed::Series(_) | Placed::Own(_) => committed.series_added += 1,
                Placed::Duplicate => committed.duplicates += 1,
                Placed::Conflict => committed.conflicts += 1,
                Placed::Dropped => {}
            }
            placed.push(at);
            self.breathe();
        }
        let tick = self.tick();
        for &id in gone {
            if !claimed.contains(&id) && self.store.series.row(id).clock == self.clock {
                self.store.change(id, tick, STALE);
                self.breathe();
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the state of one pass over the new lines"
    )]
    fn place(
        &mut self,
        labels: &Labels,
        bits: u64,
        time_ms: Option<i64>,
        leaving: &HashSet<SeriesId>,
        claimed: &mut HashSet<SeriesId>,
        own_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) -> Placed {
        let tick = self.tick();
        if time_ms.is_some_and(|time_ms| self.is_ahead(time_ms)) {
            committed.out_of_order += 1;
            return Placed::Dropped;
        }
        let Some(id) = self.store.series.seek(labels) else {
            let (clock, since) = match time_ms {
                Some(time_ms) => (ClockId::OWN, time_ms),
                None => (self.clock, tick),
            };
            let id = self.store.create(labels, clock, bits, since);
            claimed.insert(id);
            if time_ms.is_some() {
                own_series.push(id);
                return Placed::Own(id);
            }
            return Placed::Series(id);
        };
        let row = *self.store.series.row(id);
        if row.clock == ClockId::OWN || time_ms.is_some() {
            if row.clock != ClockId::OWN && row.clock != self.clock && row.is_present() {
                return Placed::Conflict;
            }
            claimed.insert(id);
            self.append_own(id, time_ms, bits, own_series, committed);
            return Placed::Own(id);
        }
        if row.clock == self.clock {
            let is_free = !row.is_present() || leaving.contains(&id);
            if !is_free || !claimed.insert(id) {
                return Placed::Duplicate;
            }
            self.watch_counter(id, bits);
            self.store.change(id, tick, bits);
            return Placed::Series(id);
        }
        if row.is_present() {
            return Placed::Conflict;
        }
        claimed.insert(id);
        self.store
            .change_clock(id, row.since, self.clock, tick, bits);
        Placed::Series(id)
    }

    /// Values that moved, and samples that are handed over every time.
    fn change(
        &mut self,
        staged: &Staged<'_>,
        own_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) {
        let tick = self.tick();
        for change in &staged.page().changes {
            if let Some(id) = change.series {
                self.watch_counter(id, change.bits);
                self.store.change(id, tick, change.bits);
                self.breathe();
            }
        }
        for &Always {
            series,
            time_ms,
            bits,
        } in &staged.page().always
        {
            self.append_own(series, time_ms, bits, own_series, committed);
            self.breathe();
        }
    }

    /// A sample with its own time, moving its series to its own clock if need be.
    fn append_own(
        &mut self,
        id: SeriesId,
        time_ms: Option<i64>,
        bits: u64,
        own_series: &mut Vec<SeriesId>,
        committed: &mut Committed,
    ) {
        let time_ms = time_ms.unwrap_or(self.at_ms);
        if self.is_ahead(time_ms) {
            committed.out_of_order += 1;
            return;
        }
        let row = *self.store.series.row(id);
        if row.clock == ClockId::OWN {
            let appended = self.store.append_own(id, time_ms, bits);
            match appended {
                OwnSample::Appended | OwnSample::Same => {}
                OwnSample::Duplicate => committed.duplicates += 1,
                OwnSample::OutOfOrder => committed.out_of_order += 1,
            }
            return;
        }
        let clock = &self.store.clocks[row.clock.index()];
        if clock
            .last()
            .is_some_and(|last| row.is_present() && last.time_ms >= time_ms)
        {
            committed.out_of_order += 1;
            return;
        }
        let old_tick = clock.next_tick();
        self.store
            .change_clock(id, old_tick, ClockId::OWN, time_ms, bits);
        own_series.push(id);
    }
}

impl Store {
    /// The series with these labels, on this clock from `tick` on; none where another live target has it.
    fn adopt(&mut self, labels: &Labels, clock: ClockId, tick: i64, bits: u64) -> Option<SeriesId> {
        let Some(id) = self.series.seek(labels) else {
            return Some(self.create(labels, clock, bits, tick));
        };
        let row = *self.series.row(id);
        if row.clock == clock {
            self.change(id, tick, bits);
        } else if row.is_present() {
            return None;
        } else {
            self.change_clock(id, row.since, clock, tick, bits);
        }
        Some(id)
    }

    /// The metric name of a series.
    pub(crate) fn metric_name(&self, id: SeriesId) -> Option<&str> {
        let name = self.series.symbols.find(METRIC_NAME)?;
        Some(self.series.symbols.text(self.series.label(id, name)?))
    }

    /// Every value of a label with every target that has it.
    pub(crate) fn each_value(&self, label: &str, mut visit: impl FnMut(TargetId, &str)) {
        let Some(name) = self.series.symbols.find(label) else {
            return;
        };
        let Some(values) = self.index.values(name) else {
            return;
        };
        for &value in values.list() {
            let mut targets = HashSet::new();
            let ranges = values
                .get(value)
                .map_or(&[][..], |postings| postings.ranges());
            for id in ranges.iter().flat_map(|&(start, end)| start..end) {
                let clock = self.series.row(SeriesId(id)).clock;
                if clock != ClockId::OWN && clock != ClockId::NONE {
                    targets.insert(TargetId(clock.0 / 2));
                }
            }
            for target in targets {
                visit(target, self.series.symbols.text(value));
            }
        }
    }

    /// Whether `bits` is less than what a counter (by its name) has now.
    fn is_fallen_counter(&self, id: SeriesId, bits: u64) -> bool {
        let row = self.series.row(id);
        row.is_present()
            && f64::from_bits(bits) < f64::from_bits(row.bits)
            && self
                .metric_name(id)
                .is_some_and(|name| name.ends_with("_total") || name.ends_with("_count"))
    }

    fn learn(&mut self, target: TargetId, metadata: &Metadata) {
        let families = self.metadata.entry(target).or_default();
        match metadata {
            Metadata::Help(family, help) => {
                families
                    .entry(family.as_str().into())
                    .or_default()
                    .help
                    .clone_from(help);
            }
            Metadata::Type(family, family_type) => {
                families
                    .entry(family.as_str().into())
                    .or_default()
                    .family_type = *family_type;
            }
        }
    }
}

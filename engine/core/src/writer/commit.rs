//! Commits one page of one target, completely or not at all.
//!
//! Everything that can refuse a page comes first; after that nothing fails. The order is: series about the scrape,
//! the page's series, the clock that makes both visible, then the signals.

use std::sync::Arc;

use parking_lot::{RwLock, RwLockWriteGuard};

use super::Writer;
use super::make_room::{at_most_bytes, beside_series_bytes};
use super::outcome::{CommitError, Committed, ScrapeFacts};
use super::own_times::OwnTimes;
use super::page_commit::PageCommit;
use super::progress::Progress;
use crate::exposition::{Placement, Staged};
use crate::labels::Labels;
use crate::limits::WRITE_BATCH_SERIES;
use crate::store::{ClockId, Growth, IdSet, ScrapeEntry, Store, TargetId};
use crate::time::Timestamp;
use crate::waits::write_soon;

/// How many of the series about a scrape are written before its page is: all but how many series it has added, and the extra
/// ones.
const PAGE_REPORTS: usize = 4;

impl Writer {
    /// Stores a page of a good scrape at time `at`, completely or not at all, and brings the signals up to date.
    pub fn commit(
        &mut self,
        staged: Staged<'_>,
        at: Timestamp,
        facts: ScrapeFacts,
    ) -> Result<Committed, CommitError> {
        let (committed, page) = self.commit_values(staged, at, facts)?;
        self.take_template(page.into_template());
        Ok(committed)
    }

    /// The part of [`Writer::commit`] that needs the writer. Whoever shares the writer lets others have it while a large page
    /// becomes its target's template ([`CommittedPage::into_template`]), and then calls [`Writer::take_template`].
    pub fn commit_values<'s>(
        &mut self,
        staged: Staged<'s>,
        at: Timestamp,
        facts: ScrapeFacts,
    ) -> Result<(Committed, CommittedPage<'s>), CommitError> {
        self.check(&staged, at)?;
        let mut staged = without_conflicts(&self.store, staged)?;
        self.add_all(&mut staged, at);
        let mut progress = self.progress(&staged, at);
        let store = Arc::clone(&self.store);
        let mut locked = self.stopwatch.waiting(|| write_soon(&store));
        self.report_page(&mut locked, (&staged, at), facts);
        progress.find_staying(&staged);
        while self.step(&mut locked, &staged, &mut progress, usize::MAX) {
            progress.find_staying(&staged);
        }
        if progress.remembered.is_some() {
            drop(locked); // nobody sees the page yet
            progress.gather(&staged);
            locked = self.stopwatch.waiting(|| write_soon(&store));
        }
        Ok(self.show(locked, staged, progress, facts))
    }

    /// The state of a commit that begins.
    pub(super) fn progress(&mut self, staged: &Staged<'_>, at: Timestamp) -> Progress {
        let (samples_scraped, samples_post_relabel) = staged.samples();
        let committed = Committed {
            samples_scraped,
            samples_post_relabel,
            lines_skipped: staged.skipped(),
            ..Committed::default()
        };
        let placements = std::mem::take(&mut self.placements);
        let mut progress = Progress::new(staged, self.own_times(at), committed, placements);
        progress.endings = self.endings;
        let registry = self.stopwatch.waiting(|| self.registry.read());
        progress.watches_counters = !registry.facts.reports_start_time(staged.target());
        progress.is_back = registry.facts.is_back(staged.target(), at.ms());
        if Progress::is_gathered(staged) {
            progress.remembered = Some(registry.facts.remembered_labels());
        }
        progress
    }

    /// Writes the series about a good scrape, before its page: so that series of the page with the same names (an `up` of its
    /// own) do not take their place.
    pub(super) fn report_page(
        &mut self,
        store: &mut Store,
        (staged, at): (&Staged<'_>, Timestamp),
        facts: ScrapeFacts,
    ) {
        let (scraped, post_relabel) = staged.samples();
        let report = [1.0, facts.duration_s, scraped as f64, post_relabel as f64];
        self.report(store, (staged.target(), at), 0, &report);
    }

    /// Applies up to so many lines; see [`PageCommit::step`].
    pub(super) fn step(
        &mut self,
        store: &mut RwLockWriteGuard<'_, Store>,
        staged: &Staged<'_>,
        progress: &mut Progress,
        lines_max: usize,
    ) -> bool {
        let mut page_commit = PageCommit {
            store,
            stopwatch: &mut self.stopwatch,
            explicit_series: &mut self.explicit_series,
            done: 0,
            of: progress,
        };
        page_commit.step(staged, lines_max)
    }

    /// Makes a page visible of which every line was applied, and tells the signals.
    pub(super) fn show<'s>(
        &mut self,
        mut store: RwLockWriteGuard<'_, Store>,
        mut staged: Staged<'s>,
        mut progress: Progress,
        facts: ScrapeFacts,
    ) -> (Committed, CommittedPage<'s>) {
        let (target, at) = (staged.target(), Timestamp::from_ms(progress.at_ms));
        let entry = ScrapeEntry {
            time_ms: at.ms(),
            good: true,
        };
        store.advance(target, entry);
        let committed = progress.committed;
        let added = committed.series_added as f64;
        self.report(&mut store, (target, at), PAGE_REPORTS, &[added]);
        self.report_extra(&mut store, (target, at), facts);
        self.reported(&mut store, target, at);
        drop(store);
        self.observe(&mut staged, &mut progress, at);
        (committed, self.committed(staged, progress))
    }

    /// What timestamps of a page at this time are compared with.
    pub(super) fn own_times(&self, at: Timestamp) -> OwnTimes {
        OwnTimes {
            at_ms: at.ms(),
            wall_offset_ms: self.wall_offset_ms,
            cutoff_ms: at.minus_ms(self.limits.retention_ms).ms(),
        }
    }

    fn committed<'s>(&mut self, mut staged: Staged<'s>, progress: Progress) -> CommittedPage<'s> {
        let waited_ns = self.stopwatch.take_ns();
        if self.stopwatch.now_ns.is_some() {
            self.waits.record(waited_ns);
        }
        let ended = staged.page().removed.len() as u64;
        self.endings += ended;
        // What others ended meanwhile may be what a line of this page conflicted with before.
        let endings = progress.endings + ended;
        staged.stage.retry_conflicts(endings, progress.is_late);
        CommittedPage {
            stage_bytes: self.targets[staged.target().index()].stage_bytes,
            staged,
            placements: progress.placements,
        }
    }

    /// Accounts for what a target's template holds.
    pub fn take_template(&mut self, template: PageTemplate) {
        let PageTemplate {
            target,
            stage_bytes,
            placements,
        } = template;
        let held = &mut self.targets[target.index()].stage_bytes;
        self.non_history_bytes = self.non_history_bytes.saturating_sub(*held) + stage_bytes;
        *held = stage_bytes;
        self.targets[target.index()].reserved_bytes = 0;
        self.placements = placements;
    }

    pub(super) fn check(&mut self, staged: &Staged<'_>, at: Timestamp) -> Result<(), CommitError> {
        self.check_time(staged.target(), at)?;
        let spec = staged.stage.spec();
        let (_, samples) = staged.samples();
        if spec.sample_limit > 0 && samples > spec.sample_limit {
            return Err(CommitError::SampleLimit {
                samples,
                limit: spec.sample_limit,
            });
        }
        if staged.added.is_some() {
            return Ok(()); // memory was reserved before the first of them
        }
        self.admit_new_lines(staged)
    }

    fn admit_new_lines(&mut self, staged: &Staged<'_>) -> Result<(), CommitError> {
        let labels = || staged.new_samples().filter_map(|sample| sample.labels);
        let at_most = at_most_bytes(staged);
        let counted = staged.growth;
        let admitted = self.admit(at_most, |store| match counted {
            Some(growth) => growth.bytes(store),
            None => store.growth_bytes(&Growth::of(labels())) + beside_series_bytes(staged),
        });
        let reserved = admitted.map_err(|_| CommitError::Memory {
            new_series: counted.map_or_else(|| labels().count(), |growth| growth.series),
            held_bytes: self.held_bytes(),
            limit_bytes: self.limits.memory_bytes_max,
        })?;
        self.targets[staged.target().index()].reserved_bytes = reserved;
        Ok(())
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

/// Of two lines with the same series the first wins. If a new line has the series of a kept line, their order is only known by
/// comparing the page as if it were the first. Holds the store for [`WRITE_BATCH_SERIES`] lines at a time: no other target's
/// page and no request takes a series that is on this target's page.
pub(super) fn without_conflicts<'s>(
    store: &RwLock<Store>,
    staged: Staged<'s>,
) -> Result<Staged<'s>, CommitError> {
    if staged.has_no_conflicts || !staged.is_partial_edit() {
        return Ok(staged);
    }
    let target = staged.target();
    let clock = ClockId::page_of(target);
    let leaving = IdSet::new(&staged.page().removed);
    // A series that was added for the page is no kept line's.
    let (added, lines) = staged.added_samples();
    let others = added.iter().filter(|sample| sample.series().is_none());
    let others = others.map(|sample| sample.line());
    let rest = (lines..staged.new_lines()).map(|line| line as u32);
    let mut lines = others.chain(rest).peekable();
    let mut has_conflicts = false;
    while !has_conflicts && lines.peek().is_some() {
        let store = store.read();
        let stays = |labels: &Labels| {
            let Some(id) = store.series.find(labels) else {
                return false;
            };
            let row = store.series.row(id);
            let is_own = row.clock == clock && row.is_present();
            let has_own_times = row.clock == ClockId::EXPLICIT && store.listed.is_by(id, target);
            (is_own || has_own_times) && !leaving.contains(id)
        };
        let mut batch = lines.by_ref().take(WRITE_BATCH_SERIES);
        has_conflicts = batch.any(|line| staged.new_labels(line).is_some_and(stays));
    }
    drop(lines);
    match has_conflicts {
        true => staged.compared_as_first().map_err(CommitError::Page),
        false => Ok(staged),
    }
}

/// A page whose values are stored, and which is not its target's template yet. It must become it, or the target's next page
/// is compared with the one before.
#[must_use = "the page has to become the template"]
pub struct CommittedPage<'s> {
    staged: Staged<'s>,
    placements: Vec<Placement>,
    stage_bytes: usize,
}

/// What a target's template holds, for [`Writer::take_template`].
pub struct PageTemplate {
    target: TargetId,
    stage_bytes: usize,
    placements: Vec<Placement>,
}

impl CommittedPage<'_> {
    /// Makes the page the target's template: 0.2 us for a new line, and nothing that others wait for.
    pub fn into_template(self) -> PageTemplate {
        let CommittedPage {
            staged,
            placements,
            mut stage_bytes,
        } = self;
        let target = staged.target();
        staged.apply(&placements, &mut stage_bytes);
        PageTemplate {
            target,
            stage_bytes,
            placements,
        }
    }
}

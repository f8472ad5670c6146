//! Commits one page of one target, completely or not at all.
//!
//! Everything that can refuse a page comes first; after that nothing fails. The order is: series about the scrape,
//! the page's series, the clock that makes both visible, then the signals.

use std::sync::Arc;

use super::Writer;
use super::make_room::at_most_bytes;
use super::outcome::{CommitError, Committed, ScrapeFacts};
use super::own_times::OwnTimes;
use super::page_commit::PageCommit;
use super::page_commit::Placed;
use crate::exposition::{Placement, Staged};
use crate::labels::Labels;
use crate::store::{ClockId, Growth, IdSet, ScrapeEntry, TargetId};
use crate::time::Timestamp;

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
        let target = staged.target();
        self.check(&staged, at)?;
        let mut staged = self.resolve_duplicates(staged)?;
        self.add_all(&mut staged, at);
        let (samples_scraped, samples_post_relabel) = staged.samples();
        let mut committed = Committed {
            samples_scraped,
            samples_post_relabel,
            lines_skipped: staged.skipped(),
            ..Committed::default()
        };
        let store = Arc::clone(&self.store);
        let mut placed = self.placed(&mut staged);
        let registry = self.stopwatch.waiting(|| self.registry.read());
        let detect_counter_drops = !registry.facts.reports_start_time(target);
        drop(registry);
        let mut store = self.stopwatch.waiting(|| store.write());
        // Before the page, so that series of the page with the same names (an `up` of its own) do not take their place.
        let (scraped, post_relabel) = (samples_scraped as f64, samples_post_relabel as f64);
        let report = [1.0, facts.duration_s, scraped, post_relabel];
        self.report(&mut store, target, 0, &report);
        let mut stopwatch = std::mem::take(&mut self.stopwatch);
        let mut page_commit = PageCommit {
            store: &mut store,
            stopwatch: &mut stopwatch,
            done: 0,
            clock: ClockId::page_of(target),
            at_ms: at.ms(),
            target,
            times: self.own_times(at),
            detect_counter_drops,
            counter_dropped: false,
        };
        page_commit.place_new(
            &staged,
            &mut placed,
            &mut self.explicit_series,
            &mut committed,
        );
        page_commit.change(&staged, &mut self.explicit_series, &mut committed);
        page_commit.add_exemplars(&staged, &placed.placements);
        let counter_dropped = page_commit.counter_dropped;
        self.stopwatch = stopwatch;
        store.clocks[ClockId::page_of(target).index()].push(ScrapeEntry {
            time_ms: at.ms(),
            good: true,
        });
        let known = store.metadata.entry(target).or_default();
        match known.is_empty() {
            true if placed.families.is_some() => {
                *known = placed.families.take().unwrap_or_default()
            }
            _ => staged.metadata().iter().for_each(|of| of.write_to(known)),
        }
        let added = committed.series_added as f64;
        self.report(&mut store, target, report.len(), &[added]);
        self.report_extra(&mut store, target, facts);
        self.reported(&mut store, target, at);
        drop(store);
        self.observe(&mut staged, &mut placed, at, counter_dropped);
        Ok((committed, self.committed(staged, placed.placements)))
    }

    /// What is known of where the lines of a page go, before any of them is stored.
    fn placed(&mut self, staged: &mut Staged<'_>) -> Placed {
        if let Some(gathered) = staged.take_gathered() {
            return Placed {
                placements: gathered.placements,
                page_facts: Some(gathered.page_facts),
                families: Some(gathered.families),
                others: Vec::new(),
            };
        }
        let mut placements = std::mem::take(&mut self.placements);
        placements.clear();
        Placed {
            placements,
            ..Placed::default()
        }
    }

    /// What timestamps of a page at this time are compared with.
    pub(super) fn own_times(&self, at: Timestamp) -> OwnTimes {
        OwnTimes {
            at_ms: at.ms(),
            wall_offset_ms: self.wall_offset_ms,
            cutoff_ms: at.minus_ms(self.limits.retention_ms).ms(),
        }
    }

    fn committed<'s>(
        &mut self,
        mut staged: Staged<'s>,
        placements: Vec<Placement>,
    ) -> CommittedPage<'s> {
        let waited_ns = self.stopwatch.take_ns();
        if self.stopwatch.now_ns.is_some() {
            self.waits.record(waited_ns);
        }
        self.endings += staged.page().removed.len() as u64;
        staged.stage.retry_conflicts(self.endings);
        CommittedPage {
            stage_bytes: self.targets[staged.target().index()].stage_bytes,
            staged,
            placements,
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
        let counted = staged.growth_bytes;
        let admitted = self.admit_counted(at_most, |store| {
            let count = || store.series.growth_bytes(&Growth::of(labels()));
            counted.unwrap_or_else(count) + staged.histogram_bytes()
        });
        admitted.map_err(|_| CommitError::Memory {
            new_series: labels().count(),
            held_bytes: self.held_bytes(),
            limit_bytes: self.limits.memory_bytes_max,
        })
    }

    /// Of two lines with the same series the first wins. If a new line has the series of a kept line, their order is only
    /// known by comparing the page as if it were the first.
    fn resolve_duplicates<'a>(&self, staged: Staged<'a>) -> Result<Staged<'a>, CommitError> {
        if !staged.is_partial_edit() {
            return Ok(staged);
        }
        let clock = ClockId::page_of(staged.target());
        let leaving = IdSet::new(&staged.page().removed);
        let store = self.store.read();
        let stayed = |labels: &Labels| {
            let Some(id) = store.series.find(labels) else {
                return false;
            };
            let row = store.series.row(id);
            row.clock == clock && row.is_present() && !leaving.contains(id)
        };
        // A series that was added for the page is no kept line's.
        let (added, lines) = staged.added_samples();
        let others = added.iter().filter(|sample| sample.series().is_none());
        let others = others.map(|sample| sample.line());
        let rest = (lines..staged.new_lines()).map(|line| line as u32);
        let has_conflicts = others
            .chain(rest)
            .any(|line| staged.new_labels(line).is_some_and(stayed));
        drop(store);
        if has_conflicts {
            return staged.compared_as_first().map_err(CommitError::Page);
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

//! Targets come, fail and go.
//!
//! Each has two clocks: that of its page's series, which a failed scrape ends for the plain view, and that of the series
//! about its scrapes, which it does not end. Its number is used again only once every sample of it has been forgotten:
//! until then its clocks say when those samples were.

use std::sync::Arc;

use parking_lot::RwLockWriteGuard;

use super::{CommitError, ScrapeFacts, Writer};
use crate::exposition::{Mapper, Stage};
use crate::labels::Labels;
use crate::limits::WRITE_BATCH_SERIES;
use crate::scrape::REPORT;
use crate::scrape::TargetSpec;
use crate::signal::ChangeKind;
use crate::store::{ClockId, Entry, STALE, SeriesId, TargetId};
use crate::time::Timestamp;

/// What the writer knows of one target.
#[derive(Default)]
pub(super) struct Target {
    pub(super) report: [Option<SeriesId>; REPORT.len()],
    pub(super) report_labels: Vec<Labels>,
    pub(super) last_ms: Option<i64>,
    pub(super) removed_ms: Option<i64>,
    pub(super) stage_bytes: usize,
}

pub(super) fn page_clock(target: TargetId) -> ClockId {
    ClockId(target.0 * 2)
}

pub(super) fn report_clock(target: TargetId) -> ClockId {
    ClockId(target.0 * 2 + 1)
}

impl Writer {
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
        room.facts.add(target, &spec);
        room.rescope();
        let needed = room.facts.needs.board();
        drop(room);
        (target, Stage::new(target, spec, needed))
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
        let mut room = self.room.write();
        room.failed(&self.store, target, at, error);
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
        self.others_bytes = self.others_bytes.saturating_sub(state.stage_bytes);
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
        room.changed(target, &ChangeKind::LeftDiscovery, at_ms);
        room.facts.remove(target, at_ms);
        room.rescope();
    }
}

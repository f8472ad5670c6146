//! Removes a target, with other commits in between.
//!
//! All of its series end at one time. That is written beyond the end of its clocks, as the values of a page are
//! (`commit_in_steps`), some series at a time, and shown at once by one entry of each clock. So nobody sees a part of a target
//! that has left, and of 400,000 series no hold takes longer than of 1,000.

use parking_lot::Mutex;

use super::Writer;
use super::in_turn::in_turn;
use crate::exposition::Stage;
use crate::limits::WRITE_BATCH_SERIES;
use crate::signal::ChangeKind;
use crate::store::{ClockId, Families, Pin, STALE, ScrapeEntry, SeriesId, TargetId};
use crate::time::Timestamp;

/// A target that is being removed.
struct Removal {
    target: TargetId,
    at_ms: i64,
    /// Its series, and those about its scrapes.
    series: Vec<SeriesId>,
    next: usize,
    /// No id of a series that has ended is given to another one meanwhile.
    _pins: [Pin; 2],
}

impl Writer {
    /// Removes a target: all of its series end at `at`.
    pub fn remove_target(&mut self, stage: Stage, at: Timestamp) {
        let mut removal = self.begin_removal(&stage, at);
        removal.series.extend(stage.series());
        while self.removal_step(&mut removal) {}
        self.finish_removal(removal);
    }

    /// The same for a writer that others wait for: nobody waits for longer than [`WRITE_BATCH_SERIES`] series take.
    pub fn remove_in_steps(writer: &Mutex<Writer>, stage: Stage, at: Timestamp) {
        let mut removal = in_turn(writer, |writer| writer.begin_removal(&stage, at));
        removal.series.extend(stage.series()); // nobody waits for this
        while in_turn(writer, |writer| writer.removal_step(&mut removal)) {}
        drop(in_turn(writer, |writer| writer.finish_removal(removal)));
    }

    /// Begins to remove a target, whose scrapes are over. Its series are yet to be listed.
    fn begin_removal(&mut self, stage: &Stage, at: Timestamp) -> Removal {
        let target = stage.target();
        let state = &mut self.targets[target.index()];
        let last_ms = state.last_ms;
        let at_ms = last_ms.map_or(at.ms(), |last_ms| at.ms().max(last_ms + 1));
        let reports = state.report.iter().flatten().copied().collect();
        let mut store = self.store.write();
        store.begin_commit(target);
        Removal {
            target,
            at_ms,
            series: reports,
            next: 0,
            _pins: store.series.pin(),
        }
    }

    /// Ends up to [`WRITE_BATCH_SERIES`] series. Whether there are more.
    fn removal_step(&mut self, removal: &mut Removal) -> bool {
        let target = removal.target;
        let clocks = [ClockId::page_of(target), ClockId::report_of(target)];
        let mut store = self.store.write();
        let ticks = clocks.map(|clock| store.clocks[clock.index()].next_tick());
        let end = removal.series.len().min(removal.next + WRITE_BATCH_SERIES);
        for &id in &removal.series[removal.next..end] {
            store.listed.remove(id, target);
            let clock = store.series.row(id).clock;
            for (of, tick) in clocks.iter().zip(ticks) {
                if clock == *of {
                    store.change(id, tick, STALE);
                }
            }
        }
        removal.next = end;
        end < removal.series.len()
    }

    /// Shows that all series have ended, and tells the signals. Answers what is left to be dropped.
    fn finish_removal(&mut self, removal: Removal) -> Option<Families> {
        let Removal { target, at_ms, .. } = removal;
        let state = &mut self.targets[target.index()];
        state.removed_ms = Some(at_ms);
        self.non_history_bytes = self.non_history_bytes.saturating_sub(state.stage_bytes);
        state.stage_bytes = 0;
        let entry = |good| ScrapeEntry {
            time_ms: at_ms,
            good,
        };
        let mut store = self.store.write();
        store.advance(target, entry(false));
        store.clocks[ClockId::report_of(target).index()].push(entry(true));
        let metadata = store.metadata.remove(&target);
        drop(store);
        self.endings += 1;
        let mut registry = self.registry.write();
        registry.process_changed(target, &ChangeKind::LeftDiscovery, at_ms);
        registry.target_leaves(target, at_ms);
        registry.facts.remove(target, at_ms);
        registry.rescope();
        metadata
    }
}

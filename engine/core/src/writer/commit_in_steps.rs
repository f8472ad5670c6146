//! Commits a large page in steps, with other commits in between.
//!
//! The values of a page lie beyond the end of its target's clock until the clock advances, so nobody sees some of them before all:
//! they are written batch by batch, and each time whoever waits for the writer has it first. What reads newest values without the
//! clock (compiled signals) leaves a target alone whose page is being committed, and is evaluated from history meanwhile.
//! What remains to be done at once takes time by metric, not by line (bench: `hold`).

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::Writer;
use super::commit::{CommittedPage, without_conflicts};
use super::in_turn::in_turn;
use super::outcome::{CommitError, Committed, ScrapeFacts};
use super::process;
use super::progress::Progress;
use crate::exposition::Staged;
use crate::limits::WRITE_BATCH_SERIES;
use crate::signal::SignalRegistry;
use crate::store::{Pin, Store};
use crate::time::Timestamp;
use crate::waits::write_soon;

/// A page that is being committed: some of its values may be stored, and none of them is visible.
///
/// It must be finished ([`Writer::finish_commit`]), and the target's scrapes must neither fail nor be committed meanwhile.
#[must_use = "the page has to be finished"]
pub struct CommitInSteps<'s> {
    registry: Arc<RwLock<SignalRegistry>>,
    store: Arc<RwLock<Store>>,
    staged: Staged<'s>,
    progress: Progress,
    facts: ScrapeFacts,
    /// No id of a series that has left the page is given to another one meanwhile.
    _pins: [Pin; 2],
}

impl<'s> Staged<'s> {
    /// The same as [`Writer::commit`] for a writer that others wait for: nothing keeps them for longer than a batch of
    /// [`WRITE_BATCH_SERIES`] lines takes, or for what is to be done at once.
    pub fn commit_in_steps(
        mut self,
        writer: &Mutex<Writer>,
        at: Timestamp,
        facts: ScrapeFacts,
    ) -> Result<Committed, CommitError> {
        let store = Arc::clone(&writer.lock().store);
        self.make_room(writer);
        self.add_in_steps(writer, at)?;
        let mut staged = self.resolved(&store)?;
        if staged.added.is_none() {
            staged.make_room(writer);
            staged.add_in_steps(writer, at)?;
        }
        let mut commit = in_turn(writer, |writer| writer.begin_commit(staged, at, facts))?;
        while commit.step(writer) {
            commit.prepare();
        }
        commit.gather();
        let (committed, page) = in_turn(writer, |writer| writer.finish_commit(commit));
        let template = page.into_template();
        in_turn(writer, |writer| writer.take_template(template));
        Ok(committed)
    }

    /// Adds the series of a page with many new lines.
    fn add_in_steps(&mut self, writer: &Mutex<Writer>, at: Timestamp) -> Result<(), CommitError> {
        if self.new_lines() > WRITE_BATCH_SERIES {
            while in_turn(writer, |writer| writer.add_series(self, at))? {}
        }
        Ok(())
    }

    /// The page, compared as if it were the first where that is needed.
    fn resolved(self, store: &RwLock<Store>) -> Result<Staged<'s>, CommitError> {
        let mut staged = without_conflicts(store, self)?;
        staged.has_no_conflicts = true;
        Ok(staged)
    }
}

impl CommitInSteps<'_> {
    fn step(&mut self, writer: &Mutex<Writer>) -> bool {
        in_turn(writer, |writer| {
            writer.commit_step(self, WRITE_BATCH_SERIES)
        })
    }

    /// What is to be done between two steps, without the writer.
    pub fn prepare(&mut self) {
        self.progress.find_staying(&self.staged);
    }

    /// What is to be done after the last step, without the writer: gathers what the page tells of its target.
    pub fn gather(&mut self) {
        let CommitInSteps {
            registry,
            store,
            staged,
            progress,
            ..
        } = self;
        progress.find_staying(staged);
        progress.gather(staged);
        progress.process_facts = process::gather(registry, store, staged, progress);
        process::look_at_counters(store, staged, progress);
    }
}

impl Writer {
    /// Begins to commit a page in steps. Errors are those of [`Writer::commit`]; nothing refuses the page after this.
    pub fn begin_commit<'s>(
        &mut self,
        staged: Staged<'s>,
        at: Timestamp,
        facts: ScrapeFacts,
    ) -> Result<CommitInSteps<'s>, CommitError> {
        self.check(&staged, at)?;
        let mut staged = without_conflicts(&self.store, staged)?;
        self.add_all(&mut staged, at);
        let progress = self.progress(&staged, at);
        let shared = Arc::clone(&self.store);
        let mut store = shared.write();
        self.report_page(&mut store, (&staged, at), facts);
        store.begin_commit(staged.target());
        let pins = store.series.pin();
        drop(store);
        Ok(CommitInSteps {
            registry: Arc::clone(&self.registry),
            store: shared,
            staged,
            progress,
            facts,
            _pins: pins,
        })
    }

    /// Writes up to so many lines. Whether there may be more; [`CommitInSteps::prepare`] comes before them.
    pub fn commit_step(&mut self, commit: &mut CommitInSteps<'_>, lines_max: usize) -> bool {
        let store = Arc::clone(&self.store);
        let CommitInSteps {
            staged, progress, ..
        } = commit;
        self.step(&mut store.write(), staged, progress, lines_max)
    }

    /// Makes all values of the page visible at once, after the last step and [`CommitInSteps::gather`].
    pub fn finish_commit<'s>(
        &mut self,
        commit: CommitInSteps<'s>,
    ) -> (Committed, CommittedPage<'s>) {
        let CommitInSteps {
            staged,
            progress,
            facts,
            ..
        } = commit;
        let store = Arc::clone(&self.store);
        let store = self.stopwatch.waiting(|| write_soon(&store));
        self.show(store, staged, progress, facts)
    }
}

#[cfg(test)]
mod tests {
    use crate::limits::READ_BATCH_SERIES;
    use crate::{Engine, Format, Limits, TargetSpec};

    use super::*;

    const INTERVAL_MS: i64 = 1_000;

    /// Of a page without a start time all series were looked at after an outage, while reads by autoscalers waited for the signals.
    #[test]
    fn whether_a_counter_has_counted_is_known_before_the_signals_are_told() {
        for has_counted in [false, true] {
            let (mut writer, _reader) = Engine::new(Limits::default());
            let (target, mut stage) = writer.add_target(TargetSpec {
                interval_ms: INTERVAL_MS as u64,
                ..TargetSpec::default()
            });
            let gauges = (0..2 * READ_BATCH_SERIES).map(|at| format!("g{{i=\"{at}\"}} 1\n"));
            let count = u8::from(has_counted);
            let page: String = gauges.chain([format!("c_total {count}\n")]).collect();
            let mut looks = Vec::new();
            for (at, is_good) in [true, true, false, false, false, true, true]
                .iter()
                .enumerate()
            {
                let at = Timestamp::from_ms(at as i64 * INTERVAL_MS);
                let facts = ScrapeFacts::default();
                if !is_good {
                    writer.fail(target, at, facts, "refused").expect("in order");
                    continue;
                }
                let staged = stage.parse(page.as_bytes(), Format::Text).expect("valid");
                let mut commit = writer.begin_commit(staged, at, facts).expect("taken");
                while writer.commit_step(&mut commit, WRITE_BATCH_SERIES) {
                    commit.prepare();
                }
                commit.gather();
                looks.push(commit.progress.has_counted);
                let (_, page) = writer.finish_commit(commit);
                writer.take_template(page.into_template());
            }
            // It is looked where it was away, and only there.
            assert_eq!(looks, [None, None, Some(has_counted), None]);
        }
    }
}

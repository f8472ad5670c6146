//! Columns of the series of a selector, computed by several threads where some are free ([`Helpers`]).
//!
//! Threads take parts, some series each, and compute their columns; the thread that evaluates the query passes these on in
//! the order of the series, and computes parts itself while the next one is not there. Sums are added up in the same order
//! as without help, so answers have the same bits, and annotations are collected in the same order.
//!
//! Memory: the columns of parts that are taken and not passed on are [`BYTES_AHEAD`] or 4 parts, and count as held by the
//! query.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Condvar, Mutex};

use super::annotations::AnnotationCollector;
use super::column::Column;
use super::{Calls, Eval};
use crate::select::{Selection, View};
use crate::{EvalOptions, Helpers, MemoryLease, QueryError};

/// Series in a part: some tens of microseconds of work at least.
const SERIES_PER_PART: usize = 16;
/// Columns of parts that are taken and not passed on. They are many, since a thread may lose its core with a part begun, and
/// the others then go on without it.
const BYTES_AHEAD: usize = 4 << 20;
/// How many parts that may be.
const PARTS_AHEAD: std::ops::RangeInclusive<usize> = 4..=64;
/// Steps of columns whose memory is kept for other series: 128 KiB.
const SPARE_STEPS_MAX: u64 = 16 << 10;
/// Samples and steps from which on help is asked for: to start a thread takes as long as some ten thousand of them.
const WORK_MIN: usize = 200_000;

/// What computes the columns of the series of a selection.
pub(crate) trait Columns: Sync {
    /// The series.
    fn selection(&self) -> &dyn Selection;

    /// Something that computes one column after the other, with buffers of its own; a thread has one.
    fn worker<'w>(&'w self, eval: &'w Eval<'_>) -> Box<Worker<'w>>;
}

/// Computes the column of a series by its index. `None`: it has none; else how many samples it holds (`Eval::hold`) until
/// the column has been passed on.
pub(crate) type Worker<'w> = dyn FnMut(usize, &mut Column) -> Result<Option<u64>, QueryError> + 'w;

/// Receives the index of a series and its column.
type ColumnSink<'s> = dyn FnMut(usize, &mut Column) -> Result<(), QueryError> + 's;

impl<'a> Eval<'a> {
    /// Passes on the columns of all series, in their order.
    pub(crate) fn each_column(
        &self,
        columns: &dyn Columns,
        steps: usize,
        sink: &mut ColumnSink<'_>,
    ) -> Result<(), QueryError> {
        let selection = columns.selection();
        let work = selection.samples_about() + selection.len().saturating_mul(steps);
        let is_much = work >= WORK_MIN && selection.len() > SERIES_PER_PART;
        match self.options.helpers {
            Some(helpers) if is_much && self.options.tally.is_none() => {
                self.each_column_with(helpers, columns, steps, sink)
            }
            _ => {
                let column_bytes = steps * size_of::<f64>();
                self.hold_bytes(column_bytes)?;
                let mut compute = columns.worker(self);
                let mut column = Column::default();
                for index in 0..selection.len() {
                    self.poll()?;
                    if let Some(held) = compute(index, &mut column)? {
                        sink(index, &mut column)?;
                        self.release(held);
                    }
                }
                self.release_bytes(column_bytes);
                Ok(())
            }
        }
    }

    fn each_column_with(
        &self,
        helpers: &dyn Helpers,
        columns: &dyn Columns,
        steps: usize,
        sink: &mut ColumnSink<'_>,
    ) -> Result<(), QueryError> {
        let parts = Parts {
            columns,
            steps: steps as u64,
            count: columns.selection().len().div_ceil(SERIES_PER_PART),
            ahead_max: (BYTES_AHEAD / (SERIES_PER_PART * size_of::<f64>() * steps.max(1)))
                .clamp(*PARTS_AHEAD.start(), *PARTS_AHEAD.end()),
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        };
        let seed = self.seed();
        let mut result = Ok(());
        helpers.run(&|| parts.help(&seed.eval()), &mut || {
            result = self.lead(&parts, &seed.eval(), sink);
        });
        result
    }

    /// Passes parts on, and computes those that nobody has taken while the next one is not ready.
    fn lead(
        &self,
        parts: &Parts<'_>,
        eval: &Eval<'_>,
        sink: &mut ColumnSink<'_>,
    ) -> Result<(), QueryError> {
        let _end = EndOnDrop(parts);
        let mut compute = parts.columns.worker(eval);
        loop {
            match parts.next() {
                Next::PassOn(mut part) => {
                    self.annotations.borrow_mut().append(part.annotations);
                    for (index, column) in &mut part.columns {
                        sink(*index, column)?;
                        self.release(parts.steps);
                    }
                    if let Some(error) = part.error {
                        return Err(error);
                    }
                    // What is kept is not counted: of long ones it would be as much as the query may hold.
                    if parts.steps <= SPARE_STEPS_MAX {
                        let columns = part.columns.into_iter().map(|(_, column)| column);
                        parts.state.lock().spare.extend(columns);
                    }
                }
                Next::Compute(number, spare) => {
                    parts.ready(number, parts.compute(eval, &mut *compute, number, spare));
                }
                Next::Broken => {
                    return Err(QueryError::Internal(
                        "a thread that helped with the query failed".to_owned(),
                    ));
                }
                Next::End => return Ok(()),
            }
        }
    }

    /// What another thread needs to evaluate parts of this query.
    fn seed(&self) -> Seed<'a> {
        Seed {
            view: self.view,
            calls: self.calls,
            options: self.options,
            text: self.text,
            range_ms: (self.query_start_ms, self.query_end_ms, self.query_step_ms),
            samples: Arc::clone(&self.samples),
            memory: Arc::clone(&self.memory),
        }
    }
}

/// A query under way, for any thread: what it holds is counted together.
struct Seed<'a> {
    view: &'a dyn View,
    calls: &'a dyn Calls,
    options: &'a EvalOptions<'a>,
    text: &'a str,
    range_ms: (i64, i64, i64),
    samples: Arc<AtomicU64>,
    memory: Arc<MemoryLease>,
}

impl<'a> Seed<'a> {
    fn eval(&self) -> Eval<'a> {
        let (query_start_ms, query_end_ms, query_step_ms) = self.range_ms;
        Eval {
            view: self.view,
            calls: self.calls,
            options: self.options,
            text: self.text,
            query_start_ms,
            query_end_ms,
            query_step_ms,
            annotations: Default::default(),
            samples: Arc::clone(&self.samples),
            memory: Arc::clone(&self.memory),
            polls: Default::default(),
            work: Default::default(),
        }
    }
}

/// The parts of a selection.
struct Parts<'p> {
    columns: &'p dyn Columns,
    steps: u64,
    count: usize,
    ahead_max: usize,
    state: Mutex<State>,
    /// A part became ready or was passed on, or the work ended.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Parts that threads have taken.
    taken: usize,
    /// Parts that were passed on.
    passed_on: usize,
    ready: BTreeMap<usize, Part>,
    /// Columns whose memory is free.
    spare: Vec<Column>,
    /// Nobody waits for more.
    ended: bool,
    /// A helper has panicked: its part will never be ready.
    broken: bool,
}

/// What was computed of some series.
struct Part {
    columns: Vec<(usize, Column)>,
    annotations: AnnotationCollector,
    /// What happened behind the last column.
    error: Option<QueryError>,
}

/// What the leading thread does next.
enum Next {
    PassOn(Part),
    Compute(usize, Vec<Column>),
    Broken,
    End,
}

impl Parts<'_> {
    /// Takes the next part, unless too many are under way.
    fn take(&self, state: &mut State) -> Option<(usize, Vec<Column>)> {
        if state.taken == self.count || state.taken - state.passed_on >= self.ahead_max {
            return None;
        }
        state.taken += 1;
        let kept = state.spare.len().saturating_sub(SERIES_PER_PART);
        Some((state.taken - 1, state.spare.split_off(kept)))
    }

    fn next(&self) -> Next {
        let mut state = self.state.lock();
        loop {
            let number = state.passed_on;
            if let Some(part) = state.ready.remove(&number) {
                state.passed_on += 1;
                self.changed.notify_all();
                return Next::PassOn(part);
            }
            if number == self.count {
                return Next::End;
            }
            if state.broken {
                return Next::Broken;
            }
            match self.take(&mut state) {
                Some((number, spare)) => return Next::Compute(number, spare),
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// Computes parts until there are no more.
    fn help(&self, eval: &Eval<'_>) {
        let _breaks = BreakOnPanic(self);
        let mut compute = self.columns.worker(eval);
        while let Some((number, spare)) = self.wait_for_part() {
            self.ready(number, self.compute(eval, &mut *compute, number, spare));
        }
    }

    fn wait_for_part(&self) -> Option<(usize, Vec<Column>)> {
        let mut state = self.state.lock();
        loop {
            if state.ended || state.taken == self.count {
                return None;
            }
            if let Some(taken) = self.take(&mut state) {
                return Some(taken);
            }
            self.changed.wait(&mut state);
        }
    }

    fn ready(&self, number: usize, part: Part) {
        self.state.lock().ready.insert(number, part);
        self.changed.notify_all();
    }

    fn compute(
        &self,
        eval: &Eval<'_>,
        compute: &mut Worker<'_>,
        number: usize,
        mut spare: Vec<Column>,
    ) -> Part {
        let first = number * SERIES_PER_PART;
        let behind = (first + SERIES_PER_PART).min(self.columns.selection().len());
        let mut columns = Vec::with_capacity(behind - first);
        let mut each = || {
            for index in first..behind {
                eval.poll()?;
                let mut column = spare.pop().unwrap_or_default();
                // Before there is one.
                let column_bytes = self.steps as usize * size_of::<f64>();
                eval.hold_bytes(column_bytes)?;
                let held = compute(index, &mut column)?;
                eval.release_bytes(column_bytes);
                if let Some(held) = held {
                    eval.release(held);
                    eval.hold(self.steps)?;
                    columns.push((index, column));
                }
            }
            Ok(())
        };
        let error = each().err();
        Part {
            columns,
            annotations: eval.annotations.take(),
            error,
        }
    }
}

/// Lets helpers go when the leading thread has finished, whatever came of it.
struct EndOnDrop<'p, 'c>(&'p Parts<'c>);

impl Drop for EndOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0.state.lock().ended = true;
        self.0.changed.notify_all();
    }
}

/// Lets the leading thread go when a helper panics.
struct BreakOnPanic<'p, 'c>(&'p Parts<'c>);

impl Drop for BreakOnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state.lock().broken = true;
            self.0.changed.notify_all();
        }
    }
}
